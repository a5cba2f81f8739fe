//! What the API server expects of an answer.
use crate::{
    reviews::{UID, creation, creation_with, pod},
    server::{Server, Setup},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use outrigger_engine::{Admission, PodRequest, Refusal, Snapshot, Verdict};
use serde_json::{Value, json};

fn admission(verdict: Verdict) -> Admission {
    Admission {
        verdict,
        warnings: vec![],
        audit_annotations: vec![],
        decisions: vec![],
        troubles: vec![],
    }
}

const PATCH: &str = r#"[{"op":"add","path":"/metadata/annotations","value":{"ü":"\n"}}]"#;

fn patching(_: &Snapshot, _: &PodRequest<'_>) -> Admission {
    let mut admission = admission(Verdict::Patched(PATCH.into()));
    admission.warnings = vec!["two\nlines".into()];
    admission.audit_annotations = vec![("injected", "log-saver".into())];
    admission
}

fn refusing(_: &Snapshot, request: &PodRequest<'_>) -> Admission {
    admission(Verdict::Refused(Refusal {
        code: 403,
        message: format!("not in {}", request.namespace),
    }))
}

#[tokio::test]
async fn row_1_a_creation_is_answered_with_version_kind_uid_and_a_patch_as_base64_text() {
    let server = Server::start(Setup::deciding_by(patching)).await;
    let response = server.connect().await.post(creation().to_string()).await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/json"));
    let expected = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": UID, "allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(PATCH),
            "warnings": ["two lines"], "auditAnnotations": {"injected": "log-saver"},
        }
    });
    assert_eq!(response.json(), expected);
    server.assert_metric(r#"outrigger_admissions_total{outcome="injected"} 1"#);
    server.assert_metric("outrigger_admission_duration_seconds_count 1");
}

#[tokio::test]
async fn row_2_a_pod_that_nobody_selects_is_allowed_with_neither_patch_nor_type() {
    let server = Server::start(Setup::default()).await;
    let response = server.connect().await.post(creation().to_string()).await;
    assert_eq!(response.json()["response"], json!({"uid": UID, "allowed": true}));
    server.assert_metric(r#"outrigger_admissions_total{outcome="unchanged"} 1"#);
}

#[tokio::test]
async fn a_refusal_names_the_namespace_of_the_request_as_row_9_demands() {
    let server = Server::start(Setup::deciding_by(refusing)).await;
    let review = creation_with("/request/object/metadata/namespace", "another".into());
    let response = server.connect().await.post(review).await;
    let status = json!({"code": 403, "message": "not in web", "reason": "Forbidden"});
    assert_eq!(
        response.json()["response"],
        json!({"uid": UID, "allowed": false, "status": status})
    );
    server.assert_metric(r#"outrigger_admissions_total{outcome="refused"} 1"#);
}

#[tokio::test]
async fn the_engine_is_given_the_object_when_it_asks() {
    fn echoing(_: &Snapshot, request: &PodRequest<'_>) -> Admission {
        admission(Verdict::Patched((request.object)().unwrap().to_string().into()))
    }
    let server = Server::start(Setup::deciding_by(echoing)).await;
    let answer = server.connect().await.post(creation().to_string()).await.json();
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
    assert_eq!(String::from_utf8(patch).unwrap(), pod().to_string());
}

#[tokio::test]
async fn row_10_what_is_not_a_pod_creation_is_allowed_untouched() {
    let server = Server::start(Setup::deciding_by(patching)).await;
    let mut connection = server.connect().await;
    let deployment = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    let old = creation_with("/request/oldObject", pod());
    let mut delete: Value = serde_json::from_str(&old).unwrap();
    delete["request"]["operation"] = "DELETE".into();
    delete["request"]["object"] = Value::Null;
    for (case, review) in [
        ("UPDATE", creation_with("/request/operation", "UPDATE".into())),
        ("CONNECT", creation_with("/request/operation", "CONNECT".into())),
        ("DELETE", delete.to_string()),
        (
            "ephemeralcontainers",
            creation_with("/request/subResource", "ephemeralcontainers".into()),
        ),
        ("resize", creation_with("/request/subResource", "resize".into())),
        ("binding", creation_with("/request/subResource", "binding".into())),
        ("another kind", creation_with("/request/kind", deployment)),
        (
            "another group",
            creation_with("/request/resource/group", "example.com".into()),
        ),
    ] {
        let response = connection.post(review).await;
        assert_eq!(response.status, 200, "{case}");
        assert_eq!(
            response.json()["response"],
            json!({"uid": UID, "allowed": true}),
            "{case}"
        );
    }
}

#[tokio::test]
async fn row_11_a_dry_run_is_answered_like_any_other() {
    let server = Server::start(Setup::deciding_by(patching)).await;
    let mut connection = server.connect().await;
    let mut absent = creation();
    absent["request"].as_object_mut().unwrap().remove("dryRun");
    let expected = connection.post(absent.to_string()).await.json();
    for value in [json!(true), json!(false), Value::Null] {
        let answer = connection
            .post(creation_with("/request/dryRun", value.clone()))
            .await
            .json();
        assert_eq!(answer, expected, "{value}");
    }
}
