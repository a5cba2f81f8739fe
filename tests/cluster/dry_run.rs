//! A dry run tells what would happen.
use crate::contract::operations;
use crate::pods::{Admitted, asking};
use crate::policies::{LOG_SAVER, MEMCACHED};
use crate::scene::Scene;
use serde_json::{Value, json};

#[tokio::test]
async fn row_11_kubectl_shows_in_a_dry_run_what_the_pod_will_be() {
    let Some(scene) = Scene::new("row11", &[LOG_SAVER, MEMCACHED]).await else {
        return;
    };
    let mut manifest = asking("log-saver,memcached");
    manifest["apiVersion"] = json!("v1");
    manifest["kind"] = json!("Pod");
    let create = ["create", "-f", "-", "-o", "json"];
    let dry = scene
        .namespace
        .kubectl(&[&create[..], &["--dry-run=server"]].concat(), Some(&manifest))
        .await;
    assert!(dry.success, "{}", dry.stderr);
    let real = scene.namespace.kubectl(&create, Some(&manifest)).await;
    assert!(real.success, "the dry run has created nothing: {}", real.stderr);
    let pods = [dry, real].map(|output| Admitted(serde_json::from_str(&output.stdout).unwrap()));
    let [dry, real] = pods.map(|pod| without_random_names(pod.again()));
    assert_eq!(dry, real);
    assert!(dry["spec"]["initContainers"].to_string().contains("log-saver"));
}

/// The API server gives the token's volume a random name.
fn without_random_names(pod: Value) -> Value {
    let mut text = pod.to_string();
    while let Some(at) = text.find("kube-api-access-") {
        text.replace_range(at.."kube-api-access-xxxxx".len() + at, "token");
    }
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn row_11_dry_run_true_false_null_and_absent_are_answered_alike() {
    let Some(scene) = Scene::new("row11", &[LOG_SAVER]).await else {
        return;
    };
    let pod = asking("log-saver");
    let expected = operations(&scene.review_request(json!({"object": pod, "dryRun": true})).await);
    for dry_run in [json!(false), Value::Null] {
        let response = scene.review_request(json!({"object": pod, "dryRun": dry_run})).await;
        assert_eq!(operations(&response), expected, "{dry_run}");
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "1", "operation": "CREATE", "namespace": scene.namespace.name, "object": pod,
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
    }});
    let answer = scene.webhook.review(&review).await.object();
    assert_eq!(operations(&answer["response"]), expected, "absent");
}
