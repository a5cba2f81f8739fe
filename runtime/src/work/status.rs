//! How the queue and its worker are doing: for `GET /status`, and for the metrics.
use super::shared::Shared;
use super::streams::Queue;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often the metrics look.
const EVERY: Duration = Duration::from_secs(5);

/// What is told. Counts are absent while NATS cannot be asked.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub queue: String,
    pub connected: bool,
    pub application_up: bool,
    /// What keeps items from being done.
    pub trouble: Option<String>,
    /// Items that the application of this Pod has now.
    pub in_flight: i64,
    pub concurrency: u16,
    #[serde(flatten)]
    pub counts: Option<Counts>,
}

/// What the server counts, for all workers together.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Items that no worker has got yet.
    pub pending: u64,
    /// Items that workers have, or that wait for their next attempt.
    pub unconfirmed: u64,
    /// Dead letters.
    pub dead: u64,
}

/// Now.
pub async fn of(shared: &Shared) -> Status {
    let counts = match shared.queue() {
        Some(queue) if shared.is_connected() => count(shared, &queue).await,
        _ => None,
    };
    Status {
        queue: shared.args.queue.clone(),
        connected: shared.is_connected(),
        application_up: shared.is_up(),
        trouble: shared.readiness().err(),
        in_flight: shared.metrics.in_flight.get(),
        concurrency: shared.args.handing.concurrency,
        counts,
    }
}

async fn count(shared: &Shared, queue: &Queue) -> Option<Counts> {
    let asked = async {
        let consumer = queue.items.consumer_info(&shared.names.consumer).await.ok()?;
        let dead = queue.dead.get_info().await.ok()?;
        Some(Counts {
            pending: consumer.num_pending,
            unconfirmed: consumer.num_ack_pending as u64,
            dead: dead.state.messages,
        })
    };
    timeout(Duration::from_secs(3), asked).await.ok().flatten()
}

/// Keeps the metrics up to date.
pub async fn watch(shared: Arc<Shared>) {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    loop {
        let status = of(&shared).await;
        shared.metrics.connected.set(status.connected.into());
        if let Some(counts) = status.counts {
            shared.metrics.pending.set(signed(counts.pending));
            shared.metrics.unconfirmed.set(signed(counts.unconfirmed));
            shared.metrics.dead.set(signed(counts.dead));
        }
        sleep(EVERY).await;
    }
}
