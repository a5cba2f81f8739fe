//! What the API server asks of a webhook, row by row.
use crate::pods::{asking, plain};
use crate::policies::{LOG_SAVER, METRICS, with};
use crate::scene::Scene;
use outrigger_harness::JsonPatch;
use serde_json::{Value, json};

/// The operations of a response.
pub fn operations(response: &Value) -> Value {
    use k8s_openapi::ByteString;
    assert_eq!(response["patchType"], "JSONPatch", "{response}");
    let patch: ByteString = serde_json::from_value(response["patch"].clone()).expect("base64, as a string");
    serde_json::from_slice(&patch.0).expect("JSON")
}

#[tokio::test]
async fn row_2_a_pod_that_asks_for_nothing_gets_no_patch_though_policies_are_broken() {
    let broken = with(METRICS, "name: exporter", "name: NOT a name");
    let Some(scene) = Scene::new("row2", &[&broken, LOG_SAVER]).await else {
        return;
    };
    let response = scene.review(&plain()).await;
    assert_eq!(response["allowed"], true);
    assert_eq!(
        (response.get("patch"), response.get("patchType")),
        (None, None),
        "{response}"
    );
    let message = scene.refusal(&asking("metrics")).await;
    assert!(
        message.contains("metrics") && message.contains("NOT a name"),
        "{message}"
    );
}

#[tokio::test]
async fn row_3_what_came_out_goes_in_again_without_a_patch() {
    let Some(scene) = Scene::new("row3", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let pod = scene.admit(&asking("log-saver,metrics")).await;
    let response = scene.review(&pod.0).await;
    assert_eq!(
        (&response["allowed"], response.get("patch")),
        (&json!(true), None),
        "{response}"
    );
}

#[tokio::test]
async fn row_4_the_api_servers_library_makes_of_the_patch_what_the_api_server_makes_of_it() {
    let Some(scene) = Scene::new("row4", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let Some(mut library) = JsonPatch::start() else { return };
    let mut pod = asking("log-saver,metrics");
    pod["metadata"]["namespace"] = json!(scene.namespace.name);
    // As the API server sends it, without the mounts that its own plugins add to every container.
    pod["spec"]["automountServiceAccountToken"] = json!(false);
    let patch = operations(&scene.review(&pod).await);
    let patched = library.apply(&pod.to_string(), &patch.to_string()).unwrap();
    let admitted = scene.admit(&pod).await;
    for list in ["containers", "initContainers"] {
        let names = patched["spec"][list]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| &container["name"]);
        assert_eq!(names.collect::<Vec<_>>(), admitted.names(list), "{list}");
    }
    assert_eq!(
        patched["metadata"]["annotations"],
        admitted.0["metadata"]["annotations"]
    );
    assert_eq!(patched["metadata"]["labels"], admitted.0["metadata"]["labels"]);
}

#[tokio::test]
async fn row_9_generate_name_and_an_empty_namespace_are_no_obstacle() {
    let facts = json!({"labels": {"inject.outrigger.dev/metrics": "enabled"}});
    let Some(scene) = Scene::with("row9", facts, &[METRICS]).await else {
        return;
    };
    let mut pod = plain();
    pod["metadata"] = json!({"generateName": "web-"});
    assert_eq!(scene.admit(&pod).await.injected(), ["metrics"]);
    let response = scene.review(&pod).await;
    assert!(
        response["patch"].is_string(),
        "request.namespace is the namespace: {response}"
    );
}

#[tokio::test]
async fn row_10_other_operations_are_allowed_untouched() {
    let Some(scene) = Scene::new("row10", &[METRICS]).await else {
        return;
    };
    for fields in [
        json!({"operation": "UPDATE", "oldObject": plain()}),
        json!({"operation": "CONNECT", "subResource": "exec"}),
        json!({"operation": "UPDATE", "subResource": "ephemeralcontainers"}),
        json!({"operation": "UPDATE", "subResource": "resize"}),
    ] {
        let mut fields = fields;
        fields["object"] = asking("metrics");
        let response = scene.review_request(fields.clone()).await;
        assert_eq!(
            (&response["allowed"], response.get("patch")),
            (&json!(true), None),
            "{fields}"
        );
    }
}

#[tokio::test]
async fn row_13_what_was_decided_stands_in_the_audit_log() {
    let audit = with(METRICS, "spec:", "spec:\n  enforcement: Audit");
    let Some(scene) = Scene::new("row13", &[&audit]).await else {
        return;
    };
    // The harness has asked with Pods of its own before.
    let before = scene.namespace.audit_annotations(1).await.len();
    scene.admit(&asking("metrics")).await;
    let annotations = scene.namespace.audit_annotations(before + 1).await;
    let own = annotations.last().unwrap().as_object().unwrap();
    let own: Vec<_> = own
        .iter()
        .filter(|(key, _)| key.starts_with("pods.outrigger.dev/"))
        .collect();
    assert!(
        own.iter().any(|(_, value)| value.to_string().contains("metrics")),
        "{annotations:?}"
    );
}

#[tokio::test]
async fn row_14_a_mirror_pod_is_left_alone() {
    let facts = json!({"labels": {"inject.outrigger.dev/metrics": "enabled"}});
    let Some(scene) = Scene::with("row14", facts, &[METRICS]).await else {
        return;
    };
    let mut pod = plain();
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "0", "outrigger.dev/inject": "metrics"});
    pod["spec"]["nodeName"] = json!("node");
    assert!(scene.admit(&pod).await.injected().is_empty());
}

#[tokio::test]
async fn row_16_the_order_in_which_policies_are_read_does_not_matter() {
    let Some(one) = Scene::new("row16", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let Some(other) = Scene::new("row16", &[METRICS, LOG_SAVER]).await else {
        return;
    };
    let pod = asking("metrics,log-saver");
    assert_eq!(
        operations(&one.review(&pod).await),
        operations(&other.review(&pod).await)
    );
}
