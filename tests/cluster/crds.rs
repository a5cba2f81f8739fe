//! What the API server itself says of policies, by the schema of their CRDs.
use crate::stage::{self, CLUSTER, own};
use outrigger_harness::{Namespace, rundir::workspace};
use serde_json::{Value, json};
use std::fs;

/// Each with a part of the message that its author gets.
const WRONG: &str = include_str!("wrong_policies.yaml");

async fn create(namespace: &Namespace, policy: &Value) -> outrigger_harness::Answer {
    let path = match policy["kind"].as_str() {
        Some("InjectionPolicy") => own(&namespace.name),
        _ => CLUSTER.to_owned(),
    };
    let path = format!("{path}?dryRun=All&fieldValidation=Strict");
    namespace.call("POST", &path, Some(policy)).await
}

#[tokio::test]
async fn the_crds_can_be_applied_again_over_themselves() {
    let Some(namespace) = stage::namespace("again").await else {
        return;
    };
    stage::install_crds(&namespace).await;
    for name in ["clusterinjectionpolicies", "injectionpolicies"] {
        let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}.outrigger.dev");
        let crd = namespace.call("GET", &path, None).await.object();
        let conditions = crd["status"]["conditions"].as_array().unwrap();
        let nonstructural = conditions
            .iter()
            .find(|condition| condition["type"] == "NonStructuralSchema");
        assert!(nonstructural.is_none(), "{nonstructural:?}");
        let explained = namespace
            .kubectl(&["explain", &format!("{name}.spec.sidecars.lifecycle")], None)
            .await;
        assert!(
            explained.stdout.contains("KEP-753"),
            "{} {}",
            explained.stdout,
            explained.stderr
        );
    }
}

#[tokio::test]
async fn a_policy_that_the_schema_can_tell_to_be_wrong_is_refused_with_the_way_out() {
    let Some(namespace) = stage::namespace("wrong").await else {
        return;
    };
    let cases: Vec<Value> = serde_saphyr::from_multiple(WRONG).unwrap();
    assert!(cases.len() > 20, "{} cases", cases.len());
    let mut found = Vec::new();
    for case in cases {
        let name = case["name"].as_str().unwrap_or("policy");
        let kind = case["kind"].as_str().unwrap_or("ClusterInjectionPolicy");
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": case["spec"]});
        let answer = create(&namespace, &policy).await;
        let expected = case["says"].as_str().unwrap();
        if !(400..500).contains(&answer.status) || !answer.message().contains(expected) {
            found.push(format!(
                "{}\n  expected {expected}\n  got {} {}",
                case["spec"],
                answer.status,
                answer.message()
            ));
        }
        // Whatever the schema refuses, the engine refuses too.
        let compiled = outrigger_engine::compile(&policy);
        if compiled.is_ok_and(|compiled| compiled.errors().is_empty()) {
            found.push(format!("{}\n  is fine for the engine", case["spec"]));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whole policies in the documents and bundled ones.
fn good() -> Vec<Value> {
    let root = workspace();
    let mut texts: Vec<String> = ["README.md", "docs/policies.md", "docs/expressions.md"]
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(root.join(path)).unwrap();
            let blocks = text.split("\n```yaml\n").skip(1);
            blocks
                .filter_map(|rest| Some(rest.split("\n```").next()?.to_owned()))
                .collect::<Vec<_>>()
        })
        .filter(|block| block.lines().any(|line| line.starts_with("apiVersion: outrigger.dev/")))
        .collect();
    for folder in fs::read_dir(root.join("policies")).unwrap().flatten() {
        texts.extend(fs::read_to_string(folder.path().join("policy.yaml")));
    }
    let documents = texts
        .iter()
        .flat_map(|text| serde_saphyr::from_multiple::<Value>(text).unwrap());
    documents
        .filter(|document| document["apiVersion"] == "outrigger.dev/v1alpha1")
        .collect()
}

#[tokio::test]
async fn every_policy_of_ours_is_stored_as_it_is_written() {
    let Some(namespace) = stage::namespace("good").await else {
        return;
    };
    let policies = good();
    assert!(policies.len() >= 5, "{} policies", policies.len());
    for mut policy in policies {
        if let Some(metadata) = policy["metadata"].as_object_mut() {
            metadata.remove("namespace");
        }
        let mut stored = create(&namespace, &policy).await.object();
        for (field, default) in [("enforcement", json!("BestEffort")), ("paused", json!(false))] {
            if policy["spec"].get(field).is_none() {
                assert_eq!(stored["spec"].as_object_mut().unwrap().remove(field), Some(default));
            }
        }
        assert_eq!(stored["spec"], policy["spec"], "{}", policy["metadata"]["name"]);
    }
}
