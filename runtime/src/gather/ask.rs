//! One shard's answer: one replica is asked; another one too when it fails, or is slow; the first whole answer counts, and what
//! still runs is dropped.
use super::hedge::{Extra, HedgeAfter};
use super::leaf::{Leaves, Outgoing, Part};
use super::metrics::{Hedge, Metrics};
use super::missing::Missing;
use super::replica::Replica;
use super::shard::Shard;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

/// More replicas than this are not tried for one request.
const MOST_TRIES: usize = 4;

/// What asking shards needs.
pub struct Asking {
    /// How leaves are talked to.
    pub leaves: Leaves,
    /// When a second replica is asked.
    pub hedge_after: HedgeAfter,
    /// How many second requests there may be.
    pub extra: Extra,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

impl Asking {
    /// Asks one shard. It takes as long as it takes: whoever waits has the deadline.
    ///
    /// # Errors
    /// With the reason why it is missing.
    pub async fn ask(&self, shard: &Shard, outgoing: &Outgoing) -> Result<Part, Missing> {
        let first = shard.choose(&[]).ok_or(Missing::NoReplica)?;
        let mut tried = vec![first.address];
        let mut running = FuturesUnordered::new();
        running.push(self.one(shard, first, outgoing, false));
        let delay = self
            .hedge_after
            .delay(&shard.latencies)
            .filter(|_| outgoing.may_repeat && shard.has_several());
        let mut hedging = false;
        let mut hedge_at = delay.map(|delay| Instant::now() + delay);
        loop {
            tokio::select! {
                biased;
                Some((hedged, result)) = running.next() => match result {
                    Ok(part) => {
                        if hedging {
                            self.metrics.hedged(if hedged { Hedge::Won } else { Hedge::Lost });
                        }
                        return Ok(part);
                    }
                    Err(missing) => match self.again(shard, outgoing, missing, &tried) {
                        Some(replica) => {
                            tried.push(replica.address);
                            running.push(self.one(shard, replica, outgoing, false));
                        }
                        None if running.is_empty() => return Err(missing),
                        None => {}
                    },
                },
                () = until(hedge_at), if hedge_at.is_some() => {
                    hedge_at = None;
                    if !self.extra.take() {
                        self.metrics.hedged(Hedge::Denied);
                    } else if let Some(replica) = shard.choose(&tried) {
                        hedging = true;
                        tried.push(replica.address);
                        running.push(self.one(shard, replica, outgoing, true));
                    }
                }
            }
        }
    }

    async fn one(
        &self,
        shard: &Shard,
        replica: Arc<Replica>,
        outgoing: &Outgoing,
        hedged: bool,
    ) -> (bool, Result<Part, Missing>) {
        (hedged, self.leaves.ask(shard, replica, outgoing).await)
    }

    /// The replica to try after a failure, if that may be: no leaf has got the request yet, or it may get it twice. A connection that
    /// the leaf closed meanwhile is no reason to leave a shard without another replica out.
    fn again(
        &self,
        shard: &Shard,
        outgoing: &Outgoing,
        missing: Missing,
        tried: &[SocketAddr],
    ) -> Option<Arc<Replica>> {
        if tried.len() >= MOST_TRIES || !missing.is_failure_of_replica() {
            return None;
        }
        if missing == Missing::Connect {
            return shard.choose(tried);
        }
        let other = || {
            shard.choose(tried).or_else(|| {
                shard
                    .choose(&[])
                    .filter(|_| missing == Missing::Broken && tried.len() == 1)
            })
        };
        let replica = Some(()).filter(|()| outgoing.may_repeat).and_then(|()| other())?;
        self.extra.take().then_some(replica)
    }
}

async fn until(time: Option<Instant>) {
    if let Some(time) = time {
        sleep_until(time).await;
    }
}
