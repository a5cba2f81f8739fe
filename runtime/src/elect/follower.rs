//! Follows the Lease: reads it, watches it, and begins again when that ends. It writes nothing.
use super::{
    clock::Instant,
    election::Election,
    lease::{Failure, Verb},
    standing::Source,
};
use futures_util::StreamExt;
use rand::RngExt;
use std::{pin::pin, time::Duration};
use tokio::time::sleep;

/// A watch that ends earlier has failed, whatever it says.
const SHORT: Duration = Duration::from_secs(1);

/// Follows the Lease for ever; after a failure it waits for `retry` before it begins again.
pub async fn follow(election: &Election, retry: Duration) {
    loop {
        let began = Instant::now();
        let ended = once(election).await;
        if let Err((verb, failure)) = &ended {
            election.reading.raise(election.tell(*verb, failure).await);
        }
        if ended.is_err() || Instant::now() - began < SHORT {
            let pause = retry.mul_f64(rand::rng().random_range(0.8..1.2));
            sleep(pause).await;
        }
    }
}

async fn once(election: &Election) -> Result<(), (Verb, Failure)> {
    let began = Instant::now();
    let leases = &election.leases;
    let record = leases.read().await.map_err(|failure| (Verb::Get, failure))?;
    let version = record.as_ref().map(|record| record.version);
    election.observe(record, Source::Read(began));
    let watching = |failure| (Verb::Watch, failure);
    let mut events = pin!(leases.watch(version).await.map_err(watching)?);
    election.reading.settle();
    while let Some(event) = events.next().await {
        let (record, version) = event.map_err(watching)?;
        election.observe(record, Source::Event(version));
    }
    Ok(())
}
