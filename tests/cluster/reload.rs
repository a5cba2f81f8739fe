//! A policy that changes while the webhook runs.
use crate::pods::{Admitted, asking};
use crate::policies::{METRICS, with};
use crate::scene::Scene;
use serde_json::json;
use std::time::Duration;

/// The image that the next Pod gets, once it is the expected one.
async fn wait_for_image(scene: &Scene, expected: &str) {
    let mut image = json!(null);
    for _ in 0..300 {
        let answer = scene.namespace.dry_run(&asking("metrics")).await;
        image = Admitted(answer.object()).container("exporter")["image"].clone();
        if image == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still {image}");
}

#[tokio::test]
async fn a_changed_policy_holds_for_the_next_pod() {
    let Some(scene) = Scene::new("changed", &[METRICS]).await else {
        return;
    };
    wait_for_image(&scene, "registry.test/exporter:1").await;
    scene
        .webhook
        .replace_policy(0, &with(METRICS, "exporter:1", "exporter:2"));
    wait_for_image(&scene, "registry.test/exporter:2").await;
}

#[tokio::test]
async fn row_41_a_policy_that_breaks_is_served_from_its_last_good_version() {
    let Some(scene) = Scene::new("broken", &[METRICS]).await else {
        return;
    };
    let reloads = scene.webhook.metric("outrigger_reloads_total").await;
    scene.webhook.replace_policy(
        0,
        &with(METRICS, "exporter:1\"", "exporter:2\", ports: [{containerPort: much}]"),
    );
    for _ in 0..300 {
        if scene.webhook.metric("outrigger_reloads_total").await > reloads {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    wait_for_image(&scene, "registry.test/exporter:1").await;
    scene
        .webhook
        .replace_policy(0, &with(METRICS, "exporter:1", "exporter:3"));
    wait_for_image(&scene, "registry.test/exporter:3").await;
}
