//! What a Pod's author cannot do, and what Outrigger does not tell.
use crate::pods::{annotated, asking, plain};
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, PREPARE, VAULT, with};
use crate::scene::Scene;
use serde_json::json;

#[tokio::test]
async fn row_51_quotes_braces_and_line_breaks_in_an_annotation_stay_a_value() {
    let echo = with(
        METRICS,
        "exporter:1\"}",
        "exporter:1\", args: [\"--title=${params.title}\"]}",
    );
    let echo = with(
        &echo,
        "spec:",
        "spec:\n  parameters: [{name: title, type: string, default: none}]",
    );
    let Some(scene) = Scene::new("row51", &[&echo]).await else {
        return;
    };
    let value = "x\"]}\n  - image: evil:1 # ${object.metadata.name} {{ .Env }}";
    let pod = scene
        .admit(&annotated(asking("metrics"), "metrics.outrigger.dev/title", value))
        .await;
    let exporter = pod.container("exporter");
    assert_eq!(exporter["args"], json!([format!("--title={value}")]));
    assert_eq!(exporter["image"], "registry.test/exporter:1");
    assert_eq!(pod.names("initContainers").len() + pod.names("containers").len(), 2);
}

#[tokio::test]
async fn row_51_a_parameter_cannot_read_the_helpers_variables() {
    let echo = with(METRICS, "exporter:1\"}", "exporter:1\", args: [\"${params.title}\"]}");
    let echo = with(
        &echo,
        "spec:",
        "spec:\n  parameters: [{name: title, type: string, default: none}]",
    );
    let Some(scene) = Scene::new("row51", &[&echo]).await else {
        return;
    };
    let pod = scene
        .admit(&annotated(
            asking("metrics"),
            "metrics.outrigger.dev/title",
            "$(PASSWORD)",
        ))
        .await;
    assert_eq!(pod.container("exporter")["args"], json!(["$$(PASSWORD)"]));
}

#[tokio::test]
async fn row_52_a_namespaced_policy_has_no_effect_elsewhere() {
    let elsewhere = with(
        METRICS,
        "kind: ClusterInjectionPolicy\nmetadata: {name: metrics}",
        "kind: InjectionPolicy\nmetadata: {name: metrics, namespace: elsewhere}",
    );
    let elsewhere = with(&elsewhere, "spec:", "spec:\n  match: {podSelector: {}}");
    let facts = json!({"labels": {"inject.outrigger.dev/metrics": "enabled"}});
    let Some(scene) = Scene::with("row52", facts, &[&elsewhere]).await else {
        return;
    };
    assert!(scene.admit(&plain()).await.injected().is_empty());
    let message = scene.refusal(&asking("metrics")).await;
    assert!(message.contains("metrics"), "{message}");
    // Neither does the Pod's own word about its namespace help.
    let mut pod = plain();
    pod["metadata"]["namespace"] = json!("elsewhere");
    let response = scene.review(&pod).await;
    assert_eq!(response.get("patch"), None, "{response}");
}

#[tokio::test]
async fn row_53_no_annotation_changes_what_the_author_made_no_parameter_of() {
    let Some(scene) = Scene::new("row53", &[METRICS]).await else {
        return;
    };
    let mut pod = asking("metrics");
    for field in [
        "image",
        "command",
        "privileged",
        "securityContext",
        "serviceAccountName",
    ] {
        pod = annotated(pod, &format!("metrics.outrigger.dev/{field}"), "evil");
    }
    let answer = scene.namespace.create(&pod).await;
    assert!(
        answer.warnings.iter().any(|warning| warning.contains("image")),
        "{:?}",
        answer.warnings
    );
    let pod = crate::pods::Admitted(answer.object());
    let exporter = pod.container("exporter");
    assert_eq!(exporter["image"], "registry.test/exporter:1");
    assert!(exporter["command"].is_null() && exporter["securityContext"].is_null());
}

#[tokio::test]
async fn row_54_secrets_of_a_pod_are_told_nowhere() {
    const CANARY: &str = "c4n4ry-5ecret";
    let Some(mut scene) = Scene::new("row54", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    scene.webhook.advise(&scene.namespace).await;
    let mut pod = annotated(asking("log-saver,metrics"), "example.com/token", CANARY);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": CANARY}]);
    let before = scene.namespace.audit_annotations(1).await.len();
    let answer = scene.namespace.create(&pod).await;
    assert!(!answer.warnings.join("\n").contains(CANARY));
    answer.object();
    pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!("no-such-policy");
    let refused = scene.namespace.create(&pod).await;
    assert!(!refused.message().contains(CANARY));
    // Nor is what a template holds, whose Pods would be refused.
    pod["metadata"]["labels"] = json!({"app": "web"});
    pod["metadata"].as_object_mut().unwrap().remove("name");
    let deployment = json!({"metadata": {"name": "web", "annotations": {"example.com/token": CANARY}},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": pod}});
    let path = format!("/apis/apps/v1/namespaces/{}/deployments", scene.namespace.name);
    let advised = scene.namespace.call("POST", &path, Some(&deployment)).await;
    let warnings = advised.warnings.join("\n");
    assert!(
        warnings.contains("no-such-policy") && !warnings.contains(CANARY),
        "{warnings}"
    );
    advised.object();
    let audit = scene.namespace.audit_annotations(before + 2).await;
    for (place, text) in [
        ("the log", scene.webhook.log().join("\n")),
        ("the metrics", scene.webhook.metrics().await),
        ("the audit log", format!("{audit:?}")),
    ] {
        assert!(!text.contains(CANARY), "{place}: {text}");
    }
}

/// What Outrigger has added is no reason for a `Required` policy in the second call; what somebody adds in its name is in the first.
#[tokio::test]
async fn a_required_policy_sees_what_a_forged_record_would_hide_and_not_what_outrigger_added() {
    const WATCHER: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: watcher}
spec:
  enforcement: Required
  match:
    namespaceSelector: {matchLabels: {watched: "yes"}}
    conditions:
      - name: more-than-the-application
        expression: >-
          object.spec.containers.size() > 1 || object.spec.?initContainers.orValue([]).size() > 0
          || object.spec.?volumes.orValue([]).exists(v, !v.name.startsWith('kube-api-access'))
          || object.spec.containers[0].?env.orValue([]).size() > 0
          || object.spec.containers[0].?volumeMounts.orValue([]).exists(m, !m.name.startsWith('kube-api-access'))
  sidecars: [{container: {name: watcher, image: "registry.test/watcher:1"}}]
"#;
    let facts = json!({"labels": {"watched": "yes"}});
    let policies = [WATCHER, LOG_SAVER, MEMCACHED, METRICS, PREPARE, VAULT];
    let Some(scene) = Scene::with("forged", facts, &policies).await else {
        return;
    };
    let before = scene.calls().await;
    let all = ["log-saver", "memcached", "metrics", "prepare", "vault"];
    let pod = scene.admit(&asking(&all.join(","))).await;
    assert!((scene.calls().await - before - 2.0).abs() < 0.1, "two calls");
    assert_eq!(pod.injected(), all);

    // The same Pod, which somebody sends again: as it is, and with a container that is not what it pretends to be.
    let mut again = pod.again();
    again["metadata"]["name"] = json!("again");
    assert_eq!(scene.admit(&again).await.injected(), all);
    let containers = again["spec"]["initContainers"].as_array_mut().unwrap();
    let exporter = containers
        .iter_mut()
        .find(|container| container["name"] == "exporter")
        .unwrap();
    exporter["securityContext"] = json!({"runAsUser": 0});
    again["metadata"]["name"] = json!("as-root");
    let watched = scene.admit(&again).await;
    assert!(watched.injected().contains(&"watcher"), "{:?}", watched.injected());
    watched.container("watcher");
}

#[tokio::test]
async fn row_56_a_helper_that_meets_the_restricted_level_is_admitted_under_it() {
    let context = "{allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}";
    let policy = with(
        LOG_SAVER,
        "        name: log-saver\n",
        &format!("        name: log-saver\n        securityContext: {context}\n"),
    );
    let facts = json!({"labels": {"pod-security.kubernetes.io/enforce": "restricted"}});
    let Some(scene) = Scene::with("row56", facts, &[&policy]).await else {
        return;
    };
    let mut pod = asking("log-saver");
    pod["spec"]["securityContext"] = json!({"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}});
    pod["spec"]["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    assert_eq!(scene.admit(&pod).await.injected(), ["log-saver"]);
}
