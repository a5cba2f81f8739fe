//! What is counted. Labels are shards' names, which come from the configuration, and words of closed sets.
use super::memory::Memory;
use super::missing::Missing;
use super::shard::Shard;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

type Labels = Vec<(&'static str, String)>;

/// Seconds.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const PREFIX: &str = "outrigger_gather";

/// What became of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Merged from all shards.
    Complete,
    /// Merged from enough of them.
    Partial,
    /// Not enough have answered.
    TooFew,
    /// The merging container has failed.
    Unmerged,
    /// It was too much at once.
    Overload,
    /// The client's request could not be read.
    Refused,
    /// The client has gone.
    Cancelled,
}

/// What became of a second request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hedge {
    /// It was answered first.
    Won,
    /// It was not.
    Lost,
    /// There were too many already.
    Denied,
}

const OUTCOMES: [&str; 7] = [
    "complete",
    "partial",
    "too-few",
    "unmerged",
    "overload",
    "refused",
    "cancelled",
];
const HEDGES: [&str; 3] = ["won", "lost", "denied"];

/// The metrics, each with its labels at hand: nothing is looked up while requests are served.
pub struct Metrics {
    /// Client's requests in progress.
    pub in_flight: Gauge,
    requests: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    merge_seconds: Histogram,
    hedges: [Counter; HEDGES.len()],
    shards: Vec<ShardMetrics>,
}

struct ShardMetrics {
    answered: Counter,
    missing: [Counter; Missing::KINDS.len()],
    seconds: Histogram,
}

impl Metrics {
    /// Metrics of these shards, in the registry.
    pub fn register(registry: &mut Registry, shards: &[Arc<Shard>], memory: &Arc<Memory>) -> Arc<Metrics> {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        let requests = Family::<Labels, Counter>::default();
        registry.register(
            "requests",
            "Requests of clients, by what became of them",
            requests.clone(),
        );
        let hedges = Family::<Labels, Counter>::default();
        registry.register(
            "hedges",
            "Second requests to slow shards, by what became of them",
            hedges.clone(),
        );
        let of_shards = Family::<Labels, Counter>::default();
        registry.register(
            "shard_requests",
            "Requests to shards, by what became of them",
            of_shards.clone(),
        );
        let shard_seconds = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register(
            "shard_seconds",
            "How long shards take that answer",
            shard_seconds.clone(),
        );
        let metrics = Metrics {
            in_flight: Gauge::default(),
            requests: OUTCOMES.map(|outcome| requests.get_or_create_owned(&vec![("outcome", outcome.to_owned())])),
            seconds: Histogram::new(BUCKETS),
            merge_seconds: Histogram::new(BUCKETS),
            hedges: HEDGES.map(|result| hedges.get_or_create_owned(&vec![("result", result.to_owned())])),
            shards: shards
                .iter()
                .map(|shard| {
                    let of = |result: &str| {
                        let labels = vec![("shard", shard.name.clone()), ("result", result.to_owned())];
                        of_shards.get_or_create_owned(&labels)
                    };
                    ShardMetrics {
                        answered: of("answered"),
                        missing: Missing::KINDS.map(of),
                        seconds: shard_seconds.get_or_create_owned(&vec![("shard", shard.name.clone())]),
                    }
                })
                .collect(),
        };
        registry.register(
            "requests_in_flight",
            "Requests of clients in progress",
            metrics.in_flight.clone(),
        );
        registry.register(
            "request_seconds",
            "How long requests of clients take",
            metrics.seconds.clone(),
        );
        registry.register(
            "merge_seconds",
            "How long the merging container takes",
            metrics.merge_seconds.clone(),
        );
        let seen = Seen {
            shards: shards.to_vec(),
            memory: Arc::clone(memory),
        };
        registry.register_collector(Box::new(seen));
        Arc::new(metrics)
    }

    /// A client's request is over.
    pub fn request_done(&self, outcome: Outcome, took: Duration) {
        self.requests[outcome as usize].inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// The merging container is done.
    pub fn merged(&self, took: Duration) {
        self.merge_seconds.observe(took.as_secs_f64());
    }

    /// A second request is over, or was not made.
    pub fn hedged(&self, hedge: Hedge) {
        self.hedges[hedge as usize].inc();
    }

    /// The shard at this place has answered, or is missing.
    pub fn shard_done(&self, index: usize, missing: Option<Missing>, took: Duration) {
        let Some(shard) = self.shards.get(index) else { return };
        match missing {
            Some(missing) => {
                shard.missing[missing.kind()].inc();
            }
            None => {
                shard.answered.inc();
                shard.seconds.observe(took.as_secs_f64());
            }
        }
    }
}

/// What is looked at when somebody asks.
#[derive(Debug)]
struct Seen {
    shards: Vec<Arc<Shard>>,
    memory: Arc<Memory>,
}

impl Collector for Seen {
    fn encode(&self, mut encoder: DescriptorEncoder) -> std::fmt::Result {
        let held = ConstGauge::new(i64::try_from(self.memory.held()).unwrap_or(i64::MAX));
        let help = "Bytes of bodies that are held";
        held.encode(encoder.encode_descriptor("held_bytes", help, None, held.metric_type())?)?;
        let replicas = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for shard in &self.shards {
            let (all, ejected) = shard.count();
            for (state, count) in [("used", all - ejected), ("ejected", ejected)] {
                let labels = vec![("shard", shard.name.clone()), ("state", state.to_owned())];
                replicas.get_or_create_owned(&labels).set(count as f64);
            }
        }
        let help = "Replicas of shards, as discovery and failures have it";
        replicas.encode(encoder.encode_descriptor("replicas", help, None, replicas.metric_type())?)
    }
}
