//! What the worker counts.
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// One label from a closed set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    outcome: &'static str,
}

/// The metrics, all beginning with `outrigger_work_`.
#[derive(Debug)]
pub struct Metrics {
    pub pending: Gauge,
    pub unconfirmed: Gauge,
    pub dead: Gauge,
    pub in_flight: Gauge,
    pub connected: Gauge,
    pub application_up: Gauge,
    attempts: Family<Outcome, Counter>,
    results: Family<Outcome, Counter>,
    enqueued: Family<Outcome, Counter>,
    pub attempt_duration: Histogram,
    pub latency: Histogram,
}

impl Metrics {
    pub fn new() -> (Metrics, Registry) {
        let metrics = Metrics {
            pending: Gauge::default(),
            unconfirmed: Gauge::default(),
            dead: Gauge::default(),
            in_flight: Gauge::default(),
            connected: Gauge::default(),
            application_up: Gauge::default(),
            attempts: Family::default(),
            results: Family::default(),
            enqueued: Family::default(),
            attempt_duration: Histogram::new(exponential_buckets(0.001, 2.0, 18)),
            latency: Histogram::new(exponential_buckets(0.001, 4.0, 14)),
        };
        let mut registry = Registry::with_prefix("outrigger_work");
        metrics.register(&mut registry);
        (metrics, registry)
    }

    fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("pending", "Items that no worker has got yet", &self.pending),
            (
                "unconfirmed",
                "Items that workers have, or that wait for their next attempt",
                &self.unconfirmed,
            ),
            ("dead", "Dead letters", &self.dead),
            ("in_flight", "Items that the application has now", &self.in_flight),
            ("connected", "1 while there is a connection to NATS", &self.connected),
            (
                "application_up",
                "1 while the application takes items",
                &self.application_up,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let counters = [
            (
                "attempts",
                "Attempts by outcome: done, failed, dead, away (not counted against the item), returned (the worker stopped)",
                &self.attempts,
            ),
            (
                "results",
                "Results by outcome: published, duplicate (the stream had it already)",
                &self.results,
            ),
            (
                "enqueued",
                "Items taken on by POST /items, by outcome: new, duplicate, full, failed",
                &self.enqueued,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let duration = "How long the application took for an attempt";
        registry.register_with_unit("attempt", duration, Unit::Seconds, self.attempt_duration.clone());
        let latency = "From an item's arrival in its stream to its confirmed result";
        registry.register_with_unit("latency", latency, Unit::Seconds, self.latency.clone());
    }

    pub fn attempt(&self, outcome: &'static str) {
        self.attempts.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn result(&self, duplicate: bool) {
        let outcome = if duplicate { "duplicate" } else { "published" };
        self.results.get_or_create(&Outcome { outcome }).inc();
    }

    pub fn enqueued(&self, outcome: &'static str) {
        self.enqueued.get_or_create(&Outcome { outcome }).inc();
    }
}
