//! CEL here and there: the table of `docs/expressions.md`, evaluated by the API server.
//!
//! Each row is a ValidatingAdmissionPolicy that refuses one Pod and says the result in its message.
use crate::expression_table::{Row, Table, evaluate};
use outrigger_harness::{Cluster, Namespace};
use serde_json::{Value, json};
use std::time::Duration;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

#[tokio::test]
async fn expressions_have_the_results_that_the_api_servers_cel_gives() {
    let Some(cluster) = Cluster::shared() else { return };
    let page = Table::read();
    let (facts, pod) = page.facts();
    let metadata = &facts["metadata"];
    let facts = json!({"labels": metadata["labels"], "annotations": metadata["annotations"]});
    let namespace = cluster.namespace("expressions", facts).await;
    let manifest = namespace.manifest().await;
    let rows: Vec<Row> = page.rows().into_iter().filter(|row| !row.only_here).collect();
    let mut differences = Vec::new();
    let mut registered = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        match register(&namespace, index, &row.expression).await {
            Ok(()) => registered.push(index),
            Err(error) => differences.push(format!("{}\n  the API server refuses it: {error}", row.expression)),
        }
    }
    for index in &registered {
        let row = &rows[*index];
        let ours = evaluate(&row.expression, &manifest, &pod).map(|value| printed(&value));
        let theirs = ask(&namespace, *index, &pod).await;
        if ours.as_ref() != Ok(&theirs) {
            differences.push(format!(
                "{}\n  ours {ours:?}\n  the API server's {theirs:?}",
                row.expression
            ));
        }
    }
    for index in registered {
        unregister(&namespace, index).await;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(rows.len() > 100, "only {} rows", rows.len());
}

fn name(namespace: &Namespace, index: usize) -> String {
    format!("{}-{index}", namespace.name)
}

/// Refuses the Pod of this row, once the API server has taken up both objects.
async fn register(namespace: &Namespace, index: usize, expression: &str) -> Result<(), String> {
    let name = name(namespace, index);
    let policy = json!({
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
                "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            },
            "matchConditions": [{"name": "row", "expression": format!("object.metadata.annotations['row'] == '{index}'")}],
            "validations": [{
                "expression": "false",
                // Strings are printed as they are, everything else as CEL writes it.
                "messageExpression": format!("'result=%s;'.format([{expression}])"),
            }],
        },
    });
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    for (collection, object) in [
        ("validatingadmissionpolicies", policy),
        ("validatingadmissionpolicybindings", binding),
    ] {
        let answer = namespace
            .call("POST", &format!("{GROUP}/{collection}"), Some(&object))
            .await;
        if answer.status >= 300 {
            return Err(answer.message().to_owned());
        }
    }
    Ok(())
}

async fn unregister(namespace: &Namespace, index: usize) {
    for collection in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
        let path = format!("{GROUP}/{collection}/{}", name(namespace, index));
        namespace.call("DELETE", &path, None).await;
    }
}

/// The result in the message of the refusal; the whole message where there is none.
async fn ask(namespace: &Namespace, index: usize, pod: &Value) -> String {
    let mut pod = pod.clone();
    pod["metadata"]["annotations"]["row"] = json!(index.to_string());
    for _ in 0..200 {
        let answer = namespace.dry_run(&pod).await;
        if answer.status >= 300 {
            let message = answer.message();
            let result = message
                .split_once("result=")
                .and_then(|(_, rest)| rest.rsplit_once(';'));
            return result.map_or(message, |(result, _)| result).to_owned();
        }
        // Not taken up yet.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the API server does not take up policy {index}");
}

/// As CEL's `%s` prints a value.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(", ")),
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{key:?}: {}", inner(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Number(number) => number.to_string().trim_end_matches(".0").to_owned(),
        other => other.to_string(),
    }
}

/// Within a list or a map, where strings have their quotes.
fn inner(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        other => printed(other),
    }
}
