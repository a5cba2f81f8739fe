//! Pods that many clients create at once, at a rate, each of which asks for a helper.
use crate::release::{asking, has_helper};
use outrigger_harness::{Cluster, Namespace};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// Each creates at most ten Pods a second.
const CLIENTS: usize = 12;
const PAUSE: Duration = Duration::from_millis(100);

pub struct Load {
    end: Arc<AtomicBool>,
    clients: JoinSet<(usize, Vec<String>)>,
    begun: Instant,
}

/// What became of the Pods.
#[derive(Debug)]
pub struct Tally {
    pub created: usize,
    /// Of a second.
    pub rate: f64,
    /// Why Pods were refused, or came without their helper.
    pub lost: Vec<String>,
}

impl Load {
    pub async fn start(cluster: &'static Cluster, application: &Namespace, policy: &str) -> Load {
        let (end, mut clients) = (Arc::<AtomicBool>::default(), JoinSet::new());
        for _ in 0..CLIENTS {
            // Connections of its own.
            let client = cluster.client().await;
            let (path, pod, end) = (application.path("pods"), asking(policy), Arc::clone(&end));
            clients.spawn(async move {
                let mut tick = interval(PAUSE);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let (mut created, mut lost) = (0, Vec::new());
                while !end.load(Ordering::Relaxed) {
                    tick.tick().await;
                    let answer = Namespace::send(&client, "POST", &path, Some(&pod)).await;
                    created += 1;
                    if !has_helper(&answer, "helper") {
                        lost.push(format!("{} {}", answer.status, answer.message()));
                    }
                }
                (created, lost)
            });
        }
        Load {
            end,
            clients,
            begun: Instant::now(),
        }
    }

    pub async fn end(mut self) -> Tally {
        self.end.store(true, Ordering::Relaxed);
        let (mut created, mut lost) = (0, Vec::new());
        while let Some(client) = self.clients.join_next().await {
            let (some, others) = client.unwrap();
            created += some;
            lost.extend(others);
        }
        #[allow(clippy::cast_precision_loss, reason = "some thousands")]
        let rate = created as f64 / self.begun.elapsed().as_secs_f64();
        Tally { created, rate, lost }
    }
}
