//! All shards at once: gathers until all have answered, enough can not be had any more, or the time is over.
use super::ask::Asking;
use super::leaf::{Outgoing, Part};
use super::missing::Missing;
use super::shard::Shard;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// A header with the names of missing shards is not longer than this; how many there are is always told.
const LONGEST_LIST: usize = 4096;

/// What came of the shards, in the order in which they are declared.
pub struct Gathered {
    /// The shards, with the answer or the reason.
    pub parts: Vec<(Arc<Shard>, Result<Part, Missing>)>,
    /// The first answer was enough, so a shard that nobody waited for is not missing.
    first: bool,
}

/// When gathering ends before all shards have answered.
#[derive(Debug, Clone, Copy)]
pub struct Enough {
    /// So many answers must come; where that cannot be any more, nobody waits.
    pub required: usize,
    /// With the first answer it is over.
    pub first: bool,
}

/// Asks all shards.
pub async fn scatter(asking: &Asking, shards: &[Arc<Shard>], outgoing: &Outgoing, enough: Enough) -> Gathered {
    asking.extra.earn(shards.len());
    let start = Instant::now();
    let mut results: Vec<Option<Result<Part, Missing>>> = shards.iter().map(|_| None).collect();
    let one = |(index, shard)| async move { (index, asking.ask(shard, outgoing).await) };
    let mut running: FuturesUnordered<_> = shards.iter().map(|shard| &**shard).enumerate().map(one).collect();
    let (mut answered, mut failed) = (0, 0);
    let deadline = tokio::time::sleep_until(outgoing.deadline.into());
    tokio::pin!(deadline);
    let unanswered = loop {
        tokio::select! {
            biased;
            next = running.next() => match next {
                None => break Missing::Timeout,
                Some((index, result)) => {
                    match &result {
                        Ok(_) => answered += 1,
                        Err(_) => failed += 1,
                    }
                    asking.metrics.shard_done(index, result.as_ref().err().copied(), start.elapsed());
                    results[index] = Some(result);
                    if (enough.first && answered > 0) || shards.len() - failed < enough.required {
                        break Missing::NotAwaited;
                    }
                }
            },
            () = &mut deadline => break Missing::Timeout,
        }
    };
    // Ends what still runs: the leaves see that nobody waits any more.
    drop(running);
    let parts = shards.iter().zip(results).enumerate().map(|(index, (shard, result))| {
        let result = result.unwrap_or_else(|| {
            asking.metrics.shard_done(index, Some(unanswered), start.elapsed());
            Err(unanswered)
        });
        (Arc::clone(shard), result)
    });
    Gathered {
        parts: parts.collect(),
        first: enough.first,
    }
}

impl Gathered {
    /// The answers, with their shards' names.
    pub fn answers(&self) -> impl Iterator<Item = (&str, &Part)> {
        self.parts
            .iter()
            .filter_map(|(shard, result)| Some((shard.name.as_str(), result.as_ref().ok()?)))
    }

    /// The missing shards, with the reasons.
    pub fn missing(&self) -> impl Iterator<Item = (&str, Missing)> {
        self.parts
            .iter()
            .filter_map(|(shard, result)| Some((shard.name.as_str(), *result.as_ref().err()?)))
    }

    /// `14/16`.
    pub fn count(&self) -> String {
        format!("{}/{}", self.answers().count(), self.parts.len())
    }

    /// `c=timeout, d=connect`; `...` where not all fit; empty where none is missing.
    pub fn list_of_missing(&self) -> String {
        let mut list = String::new();
        let told = |(_, missing): &(&str, Missing)| !(self.first && *missing == Missing::NotAwaited);
        for (name, missing) in self.missing().filter(told) {
            if list.len() > LONGEST_LIST {
                list += ", ...";
                break;
            }
            let comma = if list.is_empty() { "" } else { ", " };
            let _ = write!(list, "{comma}{name}={missing}");
        }
        list
    }
}
