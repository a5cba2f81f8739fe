//! What elections count, and what is read from them when metrics are asked for.
use super::{clock::Instant, election::Election, lease::Failure};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::Counter,
        family::Family,
        gauge::ConstGauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};
use std::{fmt, sync::Arc, time::Duration};

type Labels<const N: usize> = [(&'static str, String); N];

/// How the writes of Leases ended, and how often a term began.
#[derive(Debug, Clone)]
pub struct Metrics {
    terms: Family<Labels<1>, Counter>,
    writes: Family<Labels<2>, Counter>,
    duration: Family<Labels<1>, Histogram, fn() -> Histogram>,
}

fn election(name: &str) -> (&'static str, String) {
    ("election", name.to_owned())
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics {
            terms: Family::default(),
            writes: Family::default(),
            // From a millisecond to half a minute.
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
        }
    }
}

impl Metrics {
    /// A write of this election's Lease was answered, or not, after this time.
    pub fn wrote<T>(&self, name: &str, outcome: &Result<T, Failure>, after: Duration) {
        let outcome = match outcome {
            Ok(_) => "done",
            Err(Failure::Conflict | Failure::Gone(_)) => "conflict",
            Err(Failure::Forbidden(_) | Failure::Unauthorized(_)) => "refused",
            Err(_) => "failed",
        };
        let labels = [election(name), ("outcome", outcome.to_owned())];
        self.writes.get_or_create(&labels).inc();
        self.duration
            .get_or_create(&[election(name)])
            .observe(after.as_secs_f64());
    }

    /// This process begins to lead the election.
    pub fn leads(&self, name: &str) {
        self.terms.get_or_create(&[election(name)]).inc();
    }

    /// All metrics of these elections.
    pub fn registry(&self, elections: &[Arc<Election>]) -> Registry {
        let mut registry = Registry::with_prefix("outrigger_elect");
        let help = "Terms of leadership that this process has begun";
        registry.register("terms", help, self.terms.clone());
        registry.register("writes", "Writes of the Lease, by how they ended", self.writes.clone());
        let help = "Time until the API server answered a write of the Lease";
        registry.register_with_unit("write_duration", help, Unit::Seconds, self.duration.clone());
        registry.register_collector(Box::new(Present(elections.to_vec())));
        registry
    }
}

/// What holds at the instant of asking.
struct Present(Vec<Arc<Election>>);

impl fmt::Debug for Present {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Present({})", self.0.len())
    }
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "Whether this process leads";
        let mut leader = encoder.encode_descriptor("leader", help, None, MetricType::Gauge)?;
        for one in &self.0 {
            let leads = ConstGauge::new(i64::from(one.leads()));
            leads.encode(leader.encode_family(&[election(one.name())])?)?;
        }
        let help = "Time since the API server last answered as it should";
        let mut age = encoder.encode_descriptor("contact_age", help, Some(&Unit::Seconds), MetricType::Gauge)?;
        for one in &self.0 {
            if let Some(contact) = one.leases.last_contact() {
                let since = ConstGauge::new((Instant::now() - contact).as_secs_f64());
                since.encode(age.encode_family(&[election(one.name())])?)?;
            }
        }
        Ok(())
    }
}
