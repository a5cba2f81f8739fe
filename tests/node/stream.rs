//! A steady stream of Pods, while something happens to the injector. They are held back from the scheduler: what is tried is their
//! admission, many times a second.
use crate::room::Room;
use outrigger_harness::{Answer, Namespace};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);

/// Pods of which every other one asks for log-saver, and the rest have it by the namespace's label.
pub struct Stream {
    end: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    clients: JoinSet<Tally>,
}

/// What became of them, and when they were asked for.
#[derive(Debug, Default)]
pub struct Tally {
    pub created: usize,
    /// Why they were refused.
    pub refused: Vec<(Instant, String)>,
    /// Those that were created without their helper.
    pub bare: Vec<(Instant, String)>,
}

fn pod(asks: bool) -> Value {
    let annotations = if asks {
        json!({"outrigger.dev/inject": "log-saver"})
    } else {
        json!({})
    };
    json!({
        "metadata": {"generateName": "held-", "annotations": annotations},
        "spec": {
            "schedulingGates": [{"name": "outrigger.dev/held"}],
            "containers": [{"name": "app", "image": "local/busybox:1", "command": ["sleep", "100000"]}],
        },
    })
}

fn has_helper(created: &Answer) -> bool {
    created.body["spec"]["initContainers"][0]["name"] == "log-saver"
}

/// Waits until both replicas have been told of it.
async fn label_is_known(room: &Room) {
    let client = room.node.client().await;
    let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", room.namespace);
    let (begin, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 20 {
        let answer = Namespace::send(&client, "POST", &path, Some(&pod(false))).await;
        in_a_row = if has_helper(&answer) { in_a_row + 1 } else { 0 };
        assert!(begin.elapsed() < Duration::from_secs(60), "{answer:?}");
    }
}

impl Stream {
    pub async fn start(room: &Room) -> Stream {
        let label = "inject.outrigger.dev/log-saver=enabled";
        room.cluster(&["label", "namespace", &room.namespace, label]).await;
        label_is_known(room).await;
        let mut stream = Stream {
            end: Arc::default(),
            created: Arc::default(),
            clients: JoinSet::new(),
        };
        for _ in 0..CLIENTS {
            // Connections of its own.
            let client = room.node.client().await;
            let path = format!("/api/v1/namespaces/{}/pods", room.namespace);
            let (end, created) = (Arc::clone(&stream.end), Arc::clone(&stream.created));
            stream.clients.spawn(async move {
                let mut tally = Tally::default();
                while !end.load(Ordering::Relaxed) {
                    let (begin, asks) = (Instant::now(), tally.created.is_multiple_of(2));
                    let answer = Namespace::send(&client, "POST", &path, Some(&pod(asks))).await;
                    tally.created += 1;
                    created.fetch_add(1, Ordering::Relaxed);
                    if answer.status != 201 {
                        tally.refused.push((begin, answer.message().to_owned()));
                    } else if !has_helper(&answer) {
                        tally.bare.push((begin, format!("asked: {asks}")));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                tally
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

    /// Ends it.
    pub async fn end(mut self) -> Tally {
        self.end.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.clients.join_next().await {
            let tally = tally.unwrap();
            sum.created += tally.created;
            sum.refused.extend(tally.refused);
            sum.bare.extend(tally.bare);
        }
        sum
    }
}

impl Tally {
    /// Every Pod was created, and had its helper.
    #[track_caller]
    pub fn is_flawless(&self) {
        assert!(self.created >= 90, "{}", self.created);
        assert!(self.refused.is_empty() && self.bare.is_empty(), "{self:?}");
    }
}
