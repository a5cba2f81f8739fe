//! Pods that are created one after the other, by several clients at once, through the API server.
use crate::stage::{HasHelper, Stage, asking};
use outrigger_harness::Namespace;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// Creates Pods until it is told to end.
pub struct Load {
    end: Arc<AtomicBool>,
    clients: JoinSet<Tally>,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Tally {
    pub created: usize,
    /// Pods that were refused, or came without their helper: when that was, and why.
    pub lost: Vec<(Instant, String)>,
}

impl Load {
    /// As many clients, each of which creates a Pod every `pause`.
    pub async fn start(stage: &Stage, clients: usize, pause: Duration) -> Load {
        let end = Arc::<AtomicBool>::default();
        let mut all = JoinSet::new();
        for _ in 0..clients {
            // Connections of its own.
            let client = stage.app.cluster().client().await;
            let path = stage.app.path("pods");
            let end = Arc::clone(&end);
            all.spawn(async move {
                let mut tally = Tally::default();
                while !end.load(Ordering::Relaxed) {
                    let answer = Namespace::send(&client, "POST", &path, Some(&asking())).await;
                    tally.created += 1;
                    if !answer.has_helper() {
                        let why = format!("{} {}", answer.status, answer.message());
                        tally.lost.push((Instant::now(), why));
                    }
                    sleep(pause).await;
                }
                tally
            });
        }
        Load { end, clients: all }
    }

    /// Ends it.
    pub async fn end(mut self) -> Tally {
        self.end.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        while let Some(tally) = self.clients.join_next().await {
            let tally = tally.unwrap();
            sum.created += tally.created;
            sum.lost.extend(tally.lost);
        }
        sum
    }
}
