//! A steady stream of Pods into a room. They are held back from the scheduler: what is tried is their admission, many times a second.
use crate::room::Room;
use outrigger_harness::stream::Plan;
use outrigger_harness::{Namespace, Stream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Which of the Pods asks for its helper.
pub const ASKS: usize = 0;

fn pod(annotations: Value) -> Value {
    json!({
        "metadata": {"generateName": "held-", "annotations": annotations},
        "spec": {
            "schedulingGates": [{"name": "outrigger.dev/held"}],
            "containers": [{"name": "app", "image": "local/busybox:1", "command": ["sleep", "100000"]}],
        },
    })
}

/// Pods of which every other one asks for log-saver, and the rest have it by the namespace's label.
pub async fn start(room: &Room) -> Stream {
    let label = "inject.outrigger.dev/log-saver=enabled";
    room.cluster(&["label", "namespace", &room.namespace, label]).await;
    let plan = Plan {
        path: format!("/api/v1/namespaces/{}/pods", room.namespace),
        pods: vec![pod(json!({"outrigger.dev/inject": "log-saver"})), pod(json!({}))],
        helper: "log-saver".to_owned(),
        clients: 3,
        pause: Duration::from_millis(50),
    };
    label_is_known(room, &plan).await;
    Stream::start(&room.node.kubeconfig(), plan).await
}

/// Waits until both replicas have been told of it.
async fn label_is_known(room: &Room, plan: &Plan) {
    let client = room.node.client().await;
    let path = format!("{}?dryRun=All", plan.path);
    let (begin, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 20 {
        let answer = Namespace::send(&client, "POST", &path, Some(&pod(json!({})))).await;
        in_a_row = if answer.created_with_first(&plan.helper) {
            in_a_row + 1
        } else {
            0
        };
        assert!(begin.elapsed() < Duration::from_secs(60), "{answer:?}");
    }
}
