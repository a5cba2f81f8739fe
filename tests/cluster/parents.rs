//! Lists and maps that a patch adds to may be absent, `null` or empty.
use crate::contract::operations;
use crate::pods::{Admitted, asking};
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, PREPARE};
use crate::scene::Scene;
use outrigger_harness::JsonPatch;
use serde_json::{Map, Value, json};

/// Where the parents are, with what is empty there.
const PARENTS: [(&str, &str, &str); 6] = [
    ("/metadata", "annotations", "{}"),
    ("/metadata", "labels", "{}"),
    ("/spec", "volumes", "[]"),
    ("/spec", "initContainers", "[]"),
    ("/spec/containers/0", "env", "[]"),
    ("/spec/containers/0", "volumeMounts", "[]"),
];

const ALL: [&str; 4] = ["log-saver", "memcached", "metrics", "prepare"];

fn set(pod: &mut Value, parent: &str, field: &str, value: Option<Value>) {
    let parent: &mut Map<String, Value> = pod.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.remove(field);
    if let Some(value) = value {
        parent.insert(field.to_owned(), value);
    }
}

/// A Pod of a namespace that asks for all policies, with each parent absent, `null` and empty in turn.
fn variants() -> Vec<(String, Value)> {
    let mut variants = Vec::new();
    for (parent, field, empty) in PARENTS {
        for (state, value) in [("absent", None), ("null", Some("null")), ("empty", Some(empty))] {
            let mut pod = json!({
                "metadata": {"generateName": "web-", "annotations": {"a": "1"}, "labels": {"a": "1"}},
                "spec": {
                    "containers": [{
                        "name": "app", "image": "registry.test/app:1", "env": [{"name": "A", "value": "1"}],
                        "volumeMounts": [{"name": "own", "mountPath": "/own"}],
                    }],
                    "initContainers": [{"name": "own", "image": "registry.test/own:1"}],
                    "volumes": [{"name": "own", "emptyDir": {}}],
                },
            });
            if field == "volumes" {
                set(&mut pod, "/spec/containers/0", "volumeMounts", None);
            }
            set(
                &mut pod,
                parent,
                field,
                value.map(|text| serde_json::from_str(text).unwrap()),
            );
            variants.push((format!("{parent}/{field} {state}"), pod));
        }
    }
    variants
}

fn facts() -> Value {
    let labels: Map<_, _> = ALL
        .iter()
        .map(|name| (format!("inject.outrigger.dev/{name}"), json!("enabled")))
        .collect();
    json!({"labels": labels})
}

#[tokio::test]
async fn row_5_every_missing_parent_is_made() {
    let policies = [LOG_SAVER, MEMCACHED, METRICS, PREPARE];
    let Some(scene) = Scene::with("row5", facts(), &policies).await else {
        return;
    };
    for (variant, pod) in variants() {
        let answer = scene.namespace.create(&pod).await;
        assert_eq!(answer.status, 201, "{variant}: {}", answer.message());
        assert_eq!(Admitted(answer.object()).injected(), ALL, "{variant}");
    }
}

/// The API server drops `null` before it asks a webhook; other callers may not.
#[tokio::test]
async fn row_5_every_missing_parent_is_made_when_the_review_holds_null() {
    let policies = [LOG_SAVER, MEMCACHED, METRICS, PREPARE];
    let Some(scene) = Scene::with("row5", facts(), &policies).await else {
        return;
    };
    let Some(mut library) = JsonPatch::start() else { return };
    for (variant, pod) in variants() {
        let patch = operations(&scene.review(&pod).await);
        let patched = library.apply(&pod.to_string(), &patch.to_string());
        let patched = Admitted(patched.unwrap_or_else(|error| panic!("{variant}: {error}: {patch}")));
        assert_eq!(patched.injected(), ALL, "{variant}");
    }
}

#[tokio::test]
async fn row_6_keys_with_slashes_and_tildes_are_met_exactly() {
    let Some(scene) = Scene::new("row6", &[LOG_SAVER]).await else {
        return;
    };
    let mut pod = asking("log-saver");
    pod["metadata"]["annotations"]["example.com/a"] = json!("é ~0 ~1 \"");
    let admitted = scene.admit(&pod).await;
    let annotations = admitted.0["metadata"]["annotations"].as_object().unwrap();
    let keys: Vec<_> = annotations.keys().map(String::as_str).collect();
    let files = keys
        .iter()
        .find(|key| key.starts_with("log-saver.files.outrigger.dev/"))
        .expect("the file");
    let mut expected = vec!["example.com/a", "outrigger.dev/inject", "outrigger.dev/injected", files];
    // Native sidecars stand in another list; a default container need not be named, but may be.
    expected.extend(
        keys.iter()
            .filter(|key| **key == "kubectl.kubernetes.io/default-container"),
    );
    expected.sort_unstable();
    let mut keys = keys.clone();
    keys.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(admitted.annotation("example.com/a"), Some("é ~0 ~1 \""));
}
