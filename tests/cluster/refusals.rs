//! A Pod that names a policy gets it or is refused with the reason, and the reason is what kubectl prints.
use crate::pods::{annotated, asking};
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS};
use crate::scene::Scene;
use serde_json::{Value, json};

/// What a user reads after `kubectl create -f`.
async fn kubectl(scene: &Scene, pod: &Value) -> String {
    let mut manifest = pod.clone();
    manifest["apiVersion"] = json!("v1");
    manifest["kind"] = json!("Pod");
    let output = scene.namespace.kubectl(&["create", "-f", "-"], Some(&manifest)).await;
    assert!(!output.success, "expected a refusal: {}", output.stdout);
    output.stderr
}

#[tokio::test]
async fn an_unknown_policy_is_refused_with_the_nearest_name() {
    let Some(scene) = Scene::new("unknown", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let message = kubectl(&scene, &asking("log-savre")).await;
    for part in [
        "admission webhook \"pods.outrigger.dev\" denied the request",
        "log-savre",
        "did you mean",
        "log-saver",
    ] {
        assert!(message.contains(part), "no {part} in {message}");
    }
}

#[tokio::test]
async fn a_word_that_is_no_name_is_refused_with_what_to_write() {
    let Some(scene) = Scene::new("grammar", &[LOG_SAVER]).await else {
        return;
    };
    for word in ["true", "Log-Saver", "log_saver", "false, log-saver"] {
        let message = scene.refusal(&asking(word)).await;
        assert!(message.contains("outrigger.dev/inject"), "{word}: {message}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_refused_with_its_key_value_and_rule() {
    let Some(scene) = Scene::new("parameter", &[LOG_SAVER]).await else {
        return;
    };
    let cases = [
        ("log-saver.outrigger.dev/path", "relative", "/[a-z0-9/._-]+"),
        ("log-saver.outrigger.dev/memoryMiB", "4096", "1024"),
        ("log-saver.outrigger.dev/memoryMiB", "much", "integer"),
    ];
    for (key, value, rule) in cases {
        let message = kubectl(&scene, &annotated(asking("log-saver"), key, value)).await;
        for part in [key, value, rule] {
            assert!(message.contains(part), "no {part} in {message}");
        }
    }
}

#[tokio::test]
async fn row_8_a_clash_refuses_the_pod_that_asked_and_never_makes_two() {
    let Some(scene) = Scene::new("clash", &[LOG_SAVER, MEMCACHED]).await else {
        return;
    };
    let mut pod = asking("log-saver");
    pod["spec"]["containers"][0]["name"] = json!("log-saver");
    let message = scene.refusal(&pod).await;
    assert!(
        message.contains("log-saver") && message.contains("container"),
        "{message}"
    );

    let mut pod = asking("memcached");
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 11211}]);
    let message = scene.refusal(&pod).await;
    assert!(message.contains("11211") && message.contains("app"), "{message}");
}

#[tokio::test]
async fn row_8_a_clash_with_a_policy_that_nobody_asked_for_leaves_that_policy_out() {
    let facts =
        json!({"labels": {"inject.outrigger.dev/memcached": "enabled", "inject.outrigger.dev/metrics": "enabled"}});
    let Some(scene) = Scene::with("skipped", facts, &[MEMCACHED, METRICS]).await else {
        return;
    };
    let mut pod = crate::pods::plain();
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 11211}]);
    let answer = scene.namespace.create(&pod).await;
    assert!(
        answer.warnings.iter().any(|warning| warning.contains("11211")),
        "{:?}",
        answer.warnings
    );
    let pod = crate::pods::Admitted(answer.object());
    assert_eq!(pod.injected(), ["metrics"]);
    let skipped = pod.annotation("outrigger.dev/skipped").unwrap();
    assert!(
        skipped.starts_with("memcached: ") && skipped.contains("11211"),
        "{skipped}"
    );
    assert_eq!(pod.variable("app", "MEMCACHED_ADDR"), None, "whole or not at all");
}
