//! Which Pods get a policy: by their own word, by their namespace's, by the policy's.
use crate::pods::{asking, plain};
use crate::policies::{BY_MATCH, LOG_SAVER, METRICS, with};
use crate::scene::Scene;
use serde_json::{Value, json};

fn of_tier(tier: &str, inject: Option<&str>) -> Value {
    let mut pod = inject.map_or_else(plain, asking);
    pod["metadata"]["labels"] = json!({"tier": tier});
    pod
}

#[tokio::test]
async fn a_pod_gets_the_policies_that_it_names() {
    let Some(scene) = Scene::new("by-name", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let pod = scene.admit(&asking("metrics, log-saver")).await;
    assert_eq!(pod.injected(), ["log-saver", "metrics"]);
    assert_eq!(pod.0["metadata"]["labels"]["outrigger.dev/injected"], "true");
    assert_eq!(pod.container("log-saver")["image"], "registry.test/log-saver:1");
    pod.container("exporter");
}

#[tokio::test]
async fn a_pod_that_asks_for_nothing_is_left_alone() {
    let Some(scene) = Scene::new("unasked", &[LOG_SAVER, BY_MATCH]).await else {
        return;
    };
    let pod = scene.admit(&plain()).await;
    assert_eq!(pod.names("containers"), ["app"]);
    assert!(pod.names("initContainers").is_empty());
    assert_eq!(pod.0["metadata"]["annotations"], Value::Null);
    assert_eq!(pod.0["metadata"]["labels"], Value::Null);
}

#[tokio::test]
async fn every_pod_of_a_namespace_that_is_labelled_gets_the_policy() {
    let facts = json!({
        "labels": {"inject.outrigger.dev/log-saver": "enabled"},
        "annotations": {"log-saver.outrigger.dev/path": "/srv/logs", "log-saver.outrigger.dev/destination": "loki"},
    });
    let Some(scene) = Scene::with("by-label", facts, &[LOG_SAVER]).await else {
        return;
    };
    let pod = scene.admit(&plain()).await;
    assert_eq!(pod.injected(), ["log-saver"]);
    assert!(pod.mount("app", "/srv/logs").is_some(), "the namespace's value holds");
}

#[tokio::test]
async fn a_policy_with_a_match_selects_by_itself() {
    let Some(scene) = Scene::with("by-match", json!({"labels": {"team": "web"}}), &[BY_MATCH]).await else {
        return;
    };
    let pod = scene.admit(&of_tier("frontend", None)).await;
    assert_eq!(pod.injected(), ["frontend"]);
    let mut other = of_tier("backend", None);
    other["metadata"]["name"] = json!("other");
    assert!(scene.admit(&other).await.injected().is_empty());
}

#[tokio::test]
async fn a_pod_opts_out_of_one_policy_or_of_all() {
    let facts = json!({"labels": {"team": "web", "inject.outrigger.dev/metrics": "enabled"}});
    let Some(scene) = Scene::with("opt-out", facts, &[BY_MATCH, METRICS]).await else {
        return;
    };
    for (inject, expected) in [
        ("-metrics", &["frontend"][..]),
        ("-frontend", &["metrics"]),
        ("false", &[]),
    ] {
        let mut pod = of_tier("frontend", Some(inject));
        pod["metadata"] = json!({
            "generateName": "web-", "labels": pod["metadata"]["labels"], "annotations": pod["metadata"]["annotations"],
        });
        assert_eq!(scene.admit(&pod).await.injected(), expected, "{inject}");
    }
}

#[tokio::test]
async fn a_required_policy_is_not_opted_out_of() {
    let required = with(BY_MATCH, "spec:", "spec:\n  enforcement: Required");
    let Some(scene) = Scene::with("required", json!({"labels": {"team": "web"}}), &[&required]).await else {
        return;
    };
    let answer = scene.namespace.create(&of_tier("frontend", Some("false"))).await;
    assert!(
        answer.warnings.iter().any(|warning| warning.contains("frontend")),
        "{:?}",
        answer.warnings
    );
    assert_eq!(crate::pods::Admitted(answer.object()).injected(), ["frontend"]);
}

#[tokio::test]
async fn a_disabled_namespace_keeps_everything_out_that_is_not_asked_for() {
    let facts = json!({"labels": {"team": "web", "outrigger.dev/inject": "disabled"}});
    let Some(scene) = Scene::with("disabled", facts, &[BY_MATCH, METRICS]).await else {
        return;
    };
    let pod = scene.admit(&of_tier("frontend", Some("metrics"))).await;
    assert_eq!(pod.injected(), ["metrics"]);
}

#[tokio::test]
async fn a_paused_policy_and_one_in_audit_warn_and_leave_the_pod_alone() {
    let paused = with(METRICS, "spec:", "spec:\n  paused: true");
    let audit = with(BY_MATCH, "spec:", "spec:\n  enforcement: Audit");
    let facts = json!({"labels": {"team": "web"}});
    let Some(scene) = Scene::with("paused", facts, &[&paused, &audit]).await else {
        return;
    };
    let answer = scene.namespace.create(&of_tier("frontend", Some("metrics"))).await;
    for name in ["metrics", "frontend"] {
        assert!(
            answer.warnings.iter().any(|warning| warning.contains(name)),
            "{name}: {:?}",
            answer.warnings
        );
    }
    let pod = crate::pods::Admitted(answer.object());
    assert_eq!(pod.names("containers"), ["app"]);
    assert!(pod.names("initContainers").is_empty() && pod.injected().is_empty());
    assert!(pod.annotation("outrigger.dev/skipped").unwrap().contains("metrics"));
}
