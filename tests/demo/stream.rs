//! Pods that are created one after the other while something happens to Outrigger, each of which asks for a helper. They are held back from
//! the scheduler: what is tried is their creation.
use outrigger_harness::{Namespace, Node};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

pub struct Stream {
    end: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    clients: JoinSet<Vec<String>>,
}

fn pod() -> Value {
    json!({
        "metadata": {"generateName": "held-", "annotations": {"outrigger.dev/inject": "log-saver"}},
        "spec": {
            "schedulingGates": [{"name": "outrigger.dev/held"}],
            "containers": [{"name": "app", "image": "local/busybox:1"}],
        },
    })
}

impl Stream {
    pub async fn start(node: &Node, namespace: &str) -> Stream {
        let mut stream = Stream {
            end: Arc::default(),
            created: Arc::default(),
            clients: JoinSet::new(),
        };
        for _ in 0..CLIENTS {
            // Connections of its own.
            let client = node.client().await;
            let path = format!("/api/v1/namespaces/{namespace}/pods");
            let (end, created) = (Arc::clone(&stream.end), Arc::clone(&stream.created));
            stream.clients.spawn(async move {
                let mut lost = Vec::new();
                while !end.load(Ordering::Relaxed) {
                    let answer = Namespace::send(&client, "POST", &path, Some(&pod())).await;
                    created.fetch_add(1, Ordering::Relaxed);
                    if answer.body["spec"]["initContainers"][0]["name"] != "log-saver" {
                        lost.push(format!("{} {}", answer.status, answer.message()));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                lost
            });
        }
        stream.flows().await;
        stream
    }

    /// Waits until some more have been created from now on.
    pub async fn flows(&self) {
        let until = self.created.load(Ordering::Relaxed) + 30;
        while self.created.load(Ordering::Relaxed) < until {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends it: how many there were; all of them must have been created with their helper.
    pub async fn end(mut self) -> usize {
        self.end.store(true, Ordering::Relaxed);
        let mut lost = Vec::new();
        while let Some(some) = self.clients.join_next().await {
            lost.extend(some.unwrap());
        }
        let created = self.created.load(Ordering::Relaxed);
        assert!(lost.is_empty(), "of {created}: {lost:#?}");
        created
    }
}
