//! Fields that nobody here has heard of.
//!
//! The API server drops fields that it does not know itself before it asks a webhook, and the Kubernetes types that the tests
//! are built with are as new as the server; so the real server has no field to show this with. An API server of next year
//! has; it is played here by sending the review to the webhook directly.
use crate::contract::operations;
use crate::pods::asking;
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, PREPARE};
use crate::scene::Scene;
use outrigger_harness::JsonPatch;
use serde_json::{Value, json};

/// A Pod with an unknown field at every level that a patch touches.
fn of_the_future() -> Value {
    let mut pod = asking("log-saver,memcached,metrics,prepare");
    pod["future"] = json!({"a": [1, 2.50, 12345678901234567890u64]});
    pod["metadata"]["future"] = json!("metadata");
    pod["spec"]["future"] = json!({"spec": null});
    pod["spec"]["securityContext"] = json!({"future": true});
    pod["spec"]["volumes"] = json!([{"name": "own", "futureVolume": {"size": 1}, "future": []}]);
    pod["spec"]["initContainers"] = json!([
        {"name": "own-sidecar", "image": "s", "restartPolicy": "Always", "future": {"init": 1}},
        {"name": "own-init", "image": "i", "restartPolicyRules": [{"future": 1}]},
    ]);
    pod["spec"]["containers"] = json!([
        {"name": "app", "image": "a", "future": {"container": 1}, "env": [{"name": "A", "future": 1}],
         "volumeMounts": [{"name": "own", "mountPath": "/own", "future": "mount"}],
         "ports": [{"containerPort": 80, "future": "port"}]},
        {"name": "second", "image": "b", "future": {"container": 2}},
    ]);
    pod
}

/// Whether all of `original` is in `patched`: objects may have gained keys, lists elements.
fn survives(original: &Value, patched: &Value) -> bool {
    match (original, patched) {
        (Value::Object(original), Value::Object(patched)) => original
            .iter()
            .all(|(key, value)| patched.get(key).is_some_and(|patched| survives(value, patched))),
        (Value::Array(original), Value::Array(patched)) => {
            // In the same order, others between them.
            let mut rest = patched.iter();
            original
                .iter()
                .all(|value| rest.any(|patched| survives(value, patched)))
        }
        _ => original == patched,
    }
}

#[tokio::test]
async fn row_7_unknown_fields_survive_where_they_were() {
    let Some(scene) = Scene::new("row7", &[LOG_SAVER, MEMCACHED, METRICS, PREPARE]).await else {
        return;
    };
    let Some(mut library) = JsonPatch::start() else { return };
    let pod = of_the_future();
    let patch = operations(&scene.review(&pod).await);
    for operation in patch.as_array().unwrap() {
        assert_eq!(operation["op"], "add", "only additions: {operation}");
    }
    let patched = library.apply(&pod.to_string(), &patch.to_string()).unwrap();
    assert!(survives(&pod, &patched), "{pod:#}\nbecame {patched:#}");
    let futures = |value: &Value| value.to_string().matches("\"future").count();
    assert_eq!(futures(&patched), futures(&pod), "and nowhere else");
}
