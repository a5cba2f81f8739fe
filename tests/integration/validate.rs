//! `POST /validate`: changes of policies, as the API server asks about them.
use crate::{
    client::{Connection, Response},
    program::{Program, policy},
};
use serde_json::{Value, json};
use std::fs;

fn document(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": name}, "spec": spec})
}

fn review(operation: &str, object: &Value, old: &Value) -> Value {
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "a-uid", "operation": operation, "name": "a", "object": object, "oldObject": old,
            "kind": {"group": "outrigger.dev", "version": "v1alpha1", "kind": "ClusterInjectionPolicy"},
            "resource": {"group": "outrigger.dev", "version": "v1alpha1", "resource": "clusterinjectionpolicies"},
            "userInfo": {"username": "somebody"}, "dryRun": true, "options": null,
        },
    })
}

async fn ask(connection: &mut Connection, review: impl ToString) -> Response {
    let json = "content-type: application/json\r\n";
    connection
        .ask("POST", "/validate?timeout=5s", json, review.to_string())
        .await
}

/// Whether it may be, what is said, and the warnings.
async fn said(connection: &mut Connection, review: Value) -> (bool, String, String) {
    let answer = ask(connection, review).await.json();
    let response = &answer["response"];
    assert_eq!(
        (&answer["kind"], &response["uid"]),
        (&json!("AdmissionReview"), &json!("a-uid"))
    );
    assert!(response.get("patch").is_none());
    let allowed = response["allowed"].as_bool().unwrap();
    let status = &response["status"];
    assert_eq!(status["code"].as_u64(), (!allowed).then_some(422));
    let message = status["message"].as_str().unwrap_or_default().to_owned();
    (
        allowed,
        message,
        response.get("warnings").unwrap_or(&Value::Null).to_string(),
    )
}

#[tokio::test]
async fn a_policy_is_judged_before_it_is_stored() {
    let program = Program::start(&[], |directory| {
        let there = policy("there").replace("spec: {}", "spec: {sidecars: [{container: {name: helper, image: i}}]}");
        fs::write(directory.join("policies/there.yaml"), there).unwrap();
    });
    let mut connection = program.connect().await;
    let helper = json!({"sidecars": [{"container": {"name": "helper", "image": "i"}}]});
    let good = document("a", helper.clone());
    let bad = document(
        "a",
        json!({"sidecars": [{"container": {"name": "A B", "image": "i"}}], "match": {"conditions": [{"name": "", "expression": "1 +"}]}}),
    );
    let mut labelled = bad.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let null = Value::Null;

    let (allowed, _, warnings) = said(&mut connection, review("CREATE", &good, &null)).await;
    assert!(
        allowed && warnings.contains("clashes with policy \\\"there\\\" over container \\\"helper\\\""),
        "{warnings}"
    );
    for review in [review("CREATE", &bad, &null), review("UPDATE", &bad, &good)] {
        let (allowed, message, _) = said(&mut connection, review).await;
        assert!(!allowed);
        for path in [
            "spec.match.conditions[0].name",
            "spec.match.conditions[0].expression",
            "spec.sidecars[0].container.name",
        ] {
            assert!(message.contains(path), "{path} is not in {message}");
        }
    }
    assert_eq!(
        said(&mut connection, review("UPDATE", &labelled, &bad)).await,
        (true, String::new(), "null".into())
    );
    let (allowed, _, warnings) = said(&mut connection, review("DELETE", &null, &bad)).await;
    assert!(allowed && warnings.contains("not known here"), "{warnings}");

    // What is no change of a policy's spec is none of our business.
    let mut status = review("UPDATE", &bad, &good);
    status["request"]["subResource"] = "status".into();
    let mut other = review("CREATE", &bad, &null);
    other["request"]["resource"] = json!({"group": "", "version": "v1", "resource": "pods"});
    for review in [status, other, review("CONNECT", &bad, &null)] {
        assert_eq!(
            said(&mut connection, review).await,
            (true, String::new(), "null".into())
        );
    }
    let counted = r#"outrigger_policy_reviews_total{outcome="refused"} 2"#;
    assert!(program.has_metric(counted).await);
}

#[tokio::test]
async fn what_is_no_review_of_a_policy_gets_400_and_the_process_lives() {
    let program = Program::start(&[], |_| {});
    let mut connection = program.connect().await;
    let good = document("a", json!({}));
    let without = |field: &str| {
        let mut review = review("UPDATE", &good, &good);
        review["request"][field] = Value::Null;
        review.to_string()
    };
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [
        "",
        "[]",
        "{}",
        "null",
        &deep,
        &without("uid"),
        &without("operation"),
        &without("object"),
        &without("oldObject"),
    ] {
        let response = ask(&mut connection, body).await;
        assert_eq!(
            response.status,
            400,
            "{} {}",
            body.chars().take(80).collect::<String>(),
            response.body
        );
    }
    let odd = review("CREATE", &json!({"metadata": 3, "spec": [[]]}), &Value::Null);
    assert!(!said(&mut connection, odd).await.0);
    assert_eq!(program.get("/livez").await.status, 200);
}
