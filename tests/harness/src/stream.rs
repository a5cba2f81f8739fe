//! A steady stream of Pods, while something happens to the injector.
use crate::namespace::Namespace;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// What is created, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The collection that they are sent to, with what is asked of it.
    pub path: String,
    /// Sent in turn.
    pub pods: Vec<Value>,
    /// The container that each of them must have when it is there, before all others.
    pub helper: String,
    /// How many send at once, over connections of their own.
    pub clients: usize,
    /// From one Pod of a client to its next one.
    pub pause: Duration,
}

/// Pods that are being created.
#[derive(Debug)]
pub struct Stream {
    end: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Lost>>,
    begun: Instant,
}

/// What became of them.
#[derive(Debug)]
pub struct Tally {
    /// How many were sent.
    pub sent: usize,
    /// For how long.
    pub elapsed: Duration,
    /// Those that were refused, or came without their helper.
    pub lost: Vec<Lost>,
}

/// A Pod that is not there as it should be.
#[derive(Debug)]
pub struct Lost {
    /// When its creation was asked for.
    pub asked: Instant,
    /// When the answer came.
    pub answered: Instant,
    /// Which of [`Plan::pods`].
    pub pod: usize,
    /// HTTP status of the answer.
    pub status: u16,
    /// What the answer says.
    pub message: String,
}

impl Stream {
    /// Starts it, through the API server that a kubeconfig names; some have been created then.
    ///
    /// # Panics
    /// When the API server cannot be reached.
    pub async fn start(kubeconfig: &Path, plan: Plan) -> Stream {
        let mut stream = Stream {
            end: Arc::default(),
            sent: Arc::default(),
            clients: JoinSet::new(),
            begun: Instant::now(),
        };
        for _ in 0..plan.clients {
            let client = crate::cluster::connect(kubeconfig)
                .await
                .expect("failed to make a client");
            let (plan, end, sent) = (plan.clone(), Arc::clone(&stream.end), Arc::clone(&stream.sent));
            stream.clients.spawn(async move {
                let mut lost = Vec::new();
                let mut tick = interval(plan.pause);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let pods = plan.pods.iter().enumerate().cycle();
                for (pod, body) in pods.take_while(|_| !end.load(Ordering::Relaxed)) {
                    tick.tick().await;
                    let asked = Instant::now();
                    let answer = Namespace::send(&client, "POST", &plan.path, Some(body)).await;
                    sent.fetch_add(1, Ordering::Relaxed);
                    if !answer.created_with_first(&plan.helper) {
                        lost.push(Lost {
                            asked,
                            answered: Instant::now(),
                            pod,
                            status: answer.status,
                            message: answer.message().to_owned(),
                        });
                    }
                }
                lost
            });
        }
        stream.flows().await;
        stream
    }

    /// Waits until some more have been created from now on.
    pub async fn flows(&self) {
        let until = self.sent.load(Ordering::Relaxed) + 30;
        while self.sent.load(Ordering::Relaxed) < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends it.
    ///
    /// # Panics
    /// When a client did.
    pub async fn end(mut self) -> Tally {
        self.end.store(true, Ordering::Relaxed);
        let mut lost = Vec::new();
        while let Some(client) = self.clients.join_next().await {
            lost.extend(client.expect("a client panicked"));
        }
        Tally {
            sent: self.sent.load(Ordering::Relaxed),
            elapsed: self.begun.elapsed(),
            lost,
        }
    }
}

impl Tally {
    /// How many were sent: every one of them is there with its helper.
    ///
    /// # Panics
    /// When one is not, or when there are fewer than `least`; `told` says what else is known then.
    #[track_caller]
    pub fn flawless(&self, least: usize, told: impl FnOnce() -> String) -> usize {
        let flawless = self.sent >= least && self.lost.is_empty();
        assert!(flawless, "{self:#?}\n{}", told());
        self.sent
    }

    /// Pods a second.
    #[allow(clippy::cast_precision_loss, reason = "some thousands")]
    pub fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64()
    }
}
