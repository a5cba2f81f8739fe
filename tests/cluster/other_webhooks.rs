//! Other mutating webhooks beside Outrigger's: what they change after its first call meets its second.
use crate::pods::asking;
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, with};
use crate::scene::Scene;
use outrigger_harness::OtherWebhook;
use serde_json::{Value, json};

/// An operation that adds a container, unless the Pod has it.
fn add_container(pod: &Value, container: Value) -> Vec<Value> {
    let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
    let has = containers
        .into_iter()
        .any(|existing| existing["name"] == container["name"]);
    if has {
        vec![]
    } else {
        vec![json!({"op": "add", "path": "/spec/containers/-", "value": container})]
    }
}

/// An operation that moves the images of all containers to a mirror.
fn move_images(pod: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    for list in ["containers", "initContainers"] {
        for (index, container) in pod["spec"][list].as_array().into_iter().flatten().enumerate() {
            let image = container["image"].as_str().unwrap_or_default();
            if let Some(path) = image.strip_prefix("registry.test/") {
                let field = format!("/spec/{list}/{index}/image");
                operations.push(json!({"op": "replace", "path": field, "value": format!("mirror.test/{path}")}));
            }
        }
    }
    operations
}

#[tokio::test]
async fn a_container_that_another_webhook_adds_in_between_gets_what_the_policy_promises() {
    let Some(scene) = Scene::new("between", &[LOG_SAVER, MEMCACHED]).await else {
        return;
    };
    let late = json!({"name": "late", "image": "registry.test/late:1"});
    let other = OtherWebhook::after(&scene.namespace, move |pod| add_container(pod, late.clone())).await;
    let pod = scene.admit(&asking("log-saver,memcached")).await;
    let first = &other.seen()[0];
    assert!(
        first["spec"]["initContainers"].to_string().contains("log-saver"),
        "it came after Outrigger"
    );
    assert_eq!(pod.injected(), ["log-saver", "memcached"]);
    assert_eq!(
        pod.volume_at("late", "/var/log/app"),
        pod.volume_at("app", "/var/log/app")
    );
    assert_eq!(pod.variable("late", "MEMCACHED_ADDR"), Some("127.0.0.1:11211"));
    pod.container("log-saver");
    pod.container("memcached-proxy");
}

#[tokio::test]
async fn a_container_that_another_webhook_has_added_before_counts_as_the_applications() {
    let Some(scene) = Scene::new("earlier", &[LOG_SAVER]).await else {
        return;
    };
    let early = json!({"name": "early", "image": "registry.test/early:1"});
    let _other = OtherWebhook::before(&scene.namespace, move |pod| add_container(pod, early.clone())).await;
    let pod = scene.admit(&asking("log-saver")).await;
    assert_eq!(
        pod.volume_at("early", "/var/log/app"),
        pod.volume_at("app", "/var/log/app")
    );
}

#[tokio::test]
async fn an_image_that_another_webhook_moves_to_a_mirror_stays_there() {
    let Some(scene) = Scene::new("mirror", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let _other = OtherWebhook::after(&scene.namespace, move_images).await;
    let pod = scene.admit(&asking("log-saver,metrics")).await;
    for (container, image) in [
        ("app", "app:1"),
        ("log-saver", "log-saver:1"),
        ("exporter", "exporter:1"),
    ] {
        assert_eq!(pod.container(container)["image"], format!("mirror.test/{image}"));
    }
    assert_eq!(pod.injected(), ["log-saver", "metrics"]);
}

#[tokio::test]
async fn a_required_helper_whose_image_was_moved_is_refused() {
    let required = with(
        METRICS,
        "spec:",
        "spec:\n  enforcement: Required\n  match: {namespaceSelector: {matchLabels: {team: web}}}",
    );
    let Some(scene) = Scene::with("foreign", json!({"labels": {"team": "web"}}), &[&required]).await else {
        return;
    };
    let _other = OtherWebhook::after(&scene.namespace, move_images).await;
    let message = scene.refusal(&crate::pods::plain()).await;
    assert!(message.contains("metrics") && message.contains("exporter"), "{message}");
}

#[tokio::test]
async fn limits_that_another_webhook_sets_on_a_helper_are_let_be() {
    let Some(scene) = Scene::new("limits", &[METRICS]).await else {
        return;
    };
    let limit = |pod: &Value| {
        let helpers = pod["spec"]["initContainers"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate();
        let unlimited = helpers.filter(|(_, helper)| helper["resources"]["limits"].is_null());
        let value = json!({"limits": {"memory": "64Mi"}});
        unlimited
            .map(|(index, _)| json!({"op": "add", "path": format!("/spec/initContainers/{index}/resources"), "value": value}))
            .collect()
    };
    let _other = OtherWebhook::after(&scene.namespace, limit).await;
    let pod = scene.admit(&asking("metrics")).await;
    assert_eq!(pod.container("exporter")["resources"]["limits"]["memory"], "64Mi");
}
