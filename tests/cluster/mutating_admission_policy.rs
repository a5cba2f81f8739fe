//! What Kubernetes' own MutatingAdmissionPolicy does where `docs/comparison.md` compares it with Outrigger.
//!
//! Its two kinds of mutation are both tried: JSONPatch, written as carefully as CEL allows, and ApplyConfiguration, as
//! Kubernetes' own example has it. No webhook takes part, save where a test says so.
mod cost;
mod stage;

use crate::pods::Admitted;
use outrigger_harness::{Cluster, Namespace};
use serde_json::{Value, json};
use stage::{
    APPLY, GROUP, JSON_PATCH, PATH, Policies, appended, apply, asking, both, constraints, container, json_patch,
};
use std::time::Duration;

async fn namespace(name: &str) -> Option<Namespace> {
    Some(Cluster::shared()?.namespace(name, json!({})).await)
}

async fn admit(namespace: &Namespace, pod: &Value) -> Admitted {
    Admitted(namespace.dry_run(pod).await.object())
}

/// The message of the refusal.
async fn refusal(namespace: &Namespace, pod: &Value) -> String {
    let answer = namespace.dry_run(pod).await;
    assert!(answer.status >= 400, "admitted: {:#}", answer.body);
    answer.message().to_owned()
}

#[tokio::test]
async fn both_kinds_add_a_native_sidecar_that_shares_a_directory() {
    let Some(namespace) = namespace("map-share").await else {
        return;
    };
    for (kind, mutation) in both() {
        let policies = Policies::careful(&namespace, "log-saver", mutation).await;
        let pod = admit(&namespace, &asking("log-saver")).await;
        assert_eq!(pod.container("log-saver")["restartPolicy"], "Always", "{kind}");
        let shared = pod.volume_at("app", "/var/log/app");
        assert_eq!(pod.volume_at("log-saver", "/var/log/app"), shared, "{kind}");
        assert!(pod.volume(shared)["emptyDir"].is_object(), "{kind}");
        policies.end().await;
    }
}

#[tokio::test]
async fn both_kinds_can_use_the_applications_own_volume_and_leave_its_sidecar_alone() {
    let Some(namespace) = namespace("map-own").await else {
        return;
    };
    let mut pod = asking("log-saver");
    pod["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "own", "mountPath": "/var/log/app"}]);
    pod["spec"]["volumes"] = json!([{"name": "own", "emptyDir": {"sizeLimit": "1Gi"}}]);
    pod["spec"]["initContainers"] = json!([{"name": "sidecar", "image": "sidecar:1", "restartPolicy": "Always"}]);
    for (kind, mutation) in both() {
        let policies = Policies::careful(&namespace, "log-saver", mutation).await;
        let admitted = admit(&namespace, &pod).await;
        assert_eq!(admitted.volume_at("log-saver", "/var/log/app"), "own", "{kind}");
        assert_eq!(admitted.container("sidecar")["restartPolicy"], "Always", "{kind}");
        policies.end().await;
    }
}

#[tokio::test]
async fn a_json_patch_that_forgets_an_absent_parent_refuses_the_pod() {
    let Some(namespace) = namespace("map-parent").await else {
        return;
    };
    // As in Kubernetes' own example.
    let example = r#"[JSONPatch{op: "add", path: "/spec/initContainers/-",
        value: Object.spec.initContainers{name: "proxy", image: "proxy:1", restartPolicy: "Always"}}]"#;
    let policies = Policies::careful(&namespace, "proxy", json_patch(example)).await;
    let message = refusal(&namespace, &asking("proxy")).await;
    assert!(
        message.contains("missing path: \"/spec/initContainers/-\""),
        "{message}"
    );
    policies.end().await;
}

#[tokio::test]
async fn a_second_call_repeats_a_json_patch_and_not_an_apply_configuration() {
    let Some(namespace) = namespace("map-again").await else {
        return;
    };
    let policies = Policies::careless(&namespace, "cache", container("cache")).await;
    let pod = admit(&namespace, &asking("cache")).await;
    assert_eq!(pod.names("containers"), ["app", "cache"]);
    policies.end().await;
    let policies = Policies::careless(&namespace, "cache", appended("cache")).await;
    let message = refusal(&namespace, &asking("cache")).await;
    assert!(message.contains("Duplicate value: \"cache\""), "{message}");
    policies.end().await;
}

#[tokio::test]
async fn a_container_of_the_helpers_name_is_merged_with_it_or_refused() {
    let Some(namespace) = namespace("map-name").await else {
        return;
    };
    let own = json!({"name": "cache", "image": "registry.test/own:1", "args": ["own"]});
    let mut pod = asking("cache");
    pod["spec"]["containers"].as_array_mut().unwrap().push(own);
    let policies = Policies::careless(&namespace, "cache", container("cache")).await;
    let merged = admit(&namespace, &pod).await;
    assert_eq!(
        merged.container("cache")["image"],
        "registry.test/cache:1",
        "the helper's"
    );
    assert_eq!(merged.container("cache")["args"], json!(["own"]), "the application's");
    policies.end().await;
    let mut pod = asking("log-saver");
    pod["spec"]["containers"][0]["name"] = json!("log-saver");
    let policies = Policies::careful(&namespace, "log-saver", apply(APPLY)).await;
    let message = refusal(&namespace, &pod).await;
    assert!(message.contains("Duplicate value: \"log-saver\""), "{message}");
    policies.end().await;
}

#[tokio::test]
async fn nothing_notices_a_port_that_is_taken_or_a_policy_that_does_not_exist() {
    let Some(namespace) = namespace("map-port").await else {
        return;
    };
    let policies = Policies::careless(&namespace, "cache", container("cache")).await;
    let mut pod = asking("cache");
    pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 11211}]);
    let admitted = admit(&namespace, &pod).await;
    for name in ["app", "cache"] {
        assert_eq!(admitted.container(name)["ports"][0]["containerPort"], 11211, "{name}");
    }
    let answer = namespace.dry_run(&asking("cahce")).await;
    assert_eq!(answer.warnings, [""; 0]);
    assert_eq!(Admitted(answer.object()).names("containers"), ["app"]);
    policies.end().await;
}

#[tokio::test]
async fn a_value_from_an_annotation_is_checked_by_a_validating_policy_only() {
    let Some(namespace) = namespace("map-value").await else {
        return;
    };
    let mut policies = Policies::careful(&namespace, "log-saver", apply(APPLY)).await;
    let with = |path: &str| crate::pods::annotated(asking("log-saver"), PATH, path);
    let pod = admit(&namespace, &with("../../etc")).await;
    pod.volume_at("log-saver", "../../etc");
    policies.add_check().await;
    policies.wait(&with("../../etc"), "never").await;
    let message = refusal(&namespace, &with("../../etc")).await;
    assert!(
        message.ends_with(&format!("{PATH}: ../../etc is not a path")),
        "{message}"
    );
    let pod = admit(&namespace, &with("/var/log/nginx")).await;
    pod.volume_at("log-saver", "/var/log/nginx");
    policies.end().await;
}

#[tokio::test]
async fn a_helpers_configuration_travels_in_the_pod_where_the_policy_says_so() {
    let Some(namespace) = namespace("map-file").await else {
        return;
    };
    let policies = Policies::careful(&namespace, "log-saver", json_patch(JSON_PATCH)).await;
    let mut asks = asking("log-saver");
    asks["metadata"]["name"] = json!("real");
    let pod = Admitted(namespace.create(&asks).await.object());
    let file = &pod.volume(pod.volume_at("log-saver", "/etc/log-saver"))["downwardAPI"]["items"][0];
    assert_eq!(
        file["fieldRef"]["fieldPath"],
        "metadata.annotations['log-saver.inject.test/config']"
    );
    let text = pod.annotation("log-saver.inject.test/config");
    assert_eq!(text, Some("inputs: [{name: tail, path: /var/log/app/*.log}]"));
    policies.end().await;
}

#[tokio::test]
async fn an_image_that_another_policy_moves_to_a_mirror_stays_there() {
    let Some(namespace) = namespace("map-mirror").await else {
        return;
    };
    let mut policies = Policies::careful(&namespace, "log-saver", apply(APPLY)).await;
    let moved = r#"Object{spec: Object.spec{
        containers: object.spec.containers.map(c, Object.spec.containers{name: c.name,
            image: c.image.replace("registry.test", "mirror.test")}),
        initContainers: object.spec.?initContainers.orValue([]).map(c, Object.spec.initContainers{name: c.name,
            image: c.image.replace("registry.test", "mirror.test")})}}"#;
    policies.add("z-mirror", json!({"mutations": [apply(moved)]})).await;
    policies.wait(&crate::pods::plain(), "mirror.test").await;
    let pod = admit(&namespace, &asking("log-saver")).await;
    // What the application has is changed as well, which Outrigger never does.
    for (name, image) in [("app", "mirror.test/app:1"), ("log-saver", "mirror.test/log-saver:1")] {
        assert_eq!(pod.container(name)["image"], image);
    }
    policies.end().await;
}

#[tokio::test]
async fn the_order_of_helpers_depends_on_more_than_the_policies() {
    let Some(namespace) = namespace("map-order").await else {
        return;
    };
    let names = ["one", "two", "three"];
    let mut seen: Vec<Vec<String>> = Vec::new();
    // As good as never the same six times.
    for turn in 0..6 {
        if seen.iter().any(|order| *order != seen[0]) {
            break;
        }
        let mut policies = Policies::of(&namespace);
        for index in [turn % 3, (turn + 1 + turn / 3) % 3, (turn + 2 - turn / 3) % 3] {
            let name = names[index];
            policies.add(name, json!({"mutations": [container(name)]})).await;
            policies
                .wait(&crate::pods::plain(), &format!("registry.test/{name}:1"))
                .await;
        }
        let pod = admit(&namespace, &crate::pods::plain()).await;
        let order: Vec<String> = pod.names("containers").into_iter().map(str::to_owned).collect();
        assert_eq!(order.len(), 4, "{order:?}");
        seen.push(order);
        policies.end().await;
    }
    assert!(seen.iter().any(|order| *order != seen[0]), "always {:?}", seen[0]);
}

#[tokio::test]
async fn other_objects_than_pods_are_changed() {
    let Some(namespace) = namespace("map-kinds").await else {
        return;
    };
    let mut policies = Policies::of(&namespace);
    let labelled = r#"Object{metadata: Object.metadata{labels: Object.metadata.labels{team: "web"}}}"#;
    let mut constraints = constraints(&namespace);
    constraints["resourceRules"][0]["resources"] = json!(["configmaps"]);
    policies
        .add(
            "label",
            json!({"matchConstraints": constraints, "variables": [], "mutations": [apply(labelled)]}),
        )
        .await;
    let (path, map) = (
        namespace.path("configmaps?dryRun=All"),
        json!({"metadata": {"name": "a"}}),
    );
    let mut label = Value::Null;
    for _ in 0..200 {
        label = namespace.call("POST", &path, Some(&map)).await.object()["metadata"]["labels"]["team"].take();
        if !label.is_null() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(label, "web");
    policies.end().await;
}

#[tokio::test]
async fn a_webhook_can_be_down_and_a_policy_in_the_api_server_cannot() {
    let Some(namespace) = namespace("map-down").await else {
        return;
    };
    let policies = Policies::careful(&namespace, "log-saver", apply(APPLY)).await;
    admit(&namespace, &asking("log-saver")).await.container("log-saver");
    policies.end().await;
    let failing = |policy: &str| {
        json!({
            "name": format!("{}.outrigger.dev", policy.to_lowercase()),
            "admissionReviewVersions": ["v1"], "sideEffects": "None",
            // Nobody listens at port 1.
            "clientConfig": {"url": "https://127.0.0.1:1/mutate"},
            "namespaceSelector": constraints(&namespace)["namespaceSelector"],
            "objectSelector": {"matchLabels": {"failure": policy}},
            "rules": constraints(&namespace)["resourceRules"],
            "failurePolicy": policy,
        })
    };
    let name = format!("down-{}", namespace.name);
    let webhooks = json!({"metadata": {"name": name}, "webhooks": [failing("Fail"), failing("Ignore")]});
    let collection = format!("{GROUP}/mutatingwebhookconfigurations");
    namespace.call("POST", &collection, Some(&webhooks)).await.object();
    let with = |policy: &str| {
        let mut pod = crate::pods::asking("log-saver");
        pod["metadata"]["labels"] = json!({"failure": policy});
        pod
    };
    // Once it is refused there, the other webhook of the same object is in effect too.
    assert!(
        until_refused(&namespace, &with("Fail"))
            .await
            .contains("failed calling webhook")
    );
    assert_eq!(
        admit(&namespace, &with("Ignore")).await.names("initContainers"),
        [""; 0]
    );
    namespace.call("DELETE", &format!("{collection}/{name}"), None).await;
}

async fn until_refused(namespace: &Namespace, pod: &Value) -> String {
    for _ in 0..200 {
        let answer = namespace.dry_run(pod).await;
        if answer.status >= 300 {
            return answer.message().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the Pod is always admitted");
}
