//! Counters and gauges, as OpenMetrics text.
//!
//! No label holds what a caller can choose: policies that are loaded, and closed sets. It must never see a Pod's name.
use crate::webhook::limits::Rejection;
use outrigger_engine::{CompiledPolicy, Decision, PolicyId};
use prometheus_client::{
    encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A patch was sent.
    Injected,
    /// Allowed as it was.
    Unchanged,
    /// Not allowed.
    Refused,
    /// Our own fault.
    Error,
}

impl Outcome {
    const ALL: [Outcome; 4] = [Outcome::Injected, Outcome::Unchanged, Outcome::Refused, Outcome::Error];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Injected => "injected",
            Outcome::Unchanged => "unchanged",
            Outcome::Refused => "refused",
            Outcome::Error => "error",
        }
    }
}

/// What was said of a change of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opinion {
    /// It may be.
    Allowed,
    /// It must not be.
    Refused,
    /// Our own fault.
    Error,
}

impl Opinion {
    const ALL: [Opinion; 3] = [Opinion::Allowed, Opinion::Refused, Opinion::Error];

    fn as_str(self) -> &'static str {
        match self {
            Opinion::Allowed => "allowed",
            Opinion::Refused => "refused",
            Opinion::Error => "error",
        }
    }
}

/// What became of an Event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was sent, or the number of times that it happened.
    Sent,
    /// The API server did not take it.
    Failed,
    /// There were too many.
    Dropped,
}

impl Told {
    const ALL: [Told; 3] = [Told::Sent, Told::Failed, Told::Dropped];

    fn as_str(self) -> &'static str {
        match self {
            Told::Sent => "sent",
            Told::Failed => "failed",
            Told::Dropped => "dropped",
        }
    }
}

/// What was said about a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    Silent,
    /// One warning or more.
    Warned,
    /// Our own fault.
    Error,
}

impl Advice {
    const ALL: [Advice; 3] = [Advice::Silent, Advice::Warned, Advice::Error];

    fn as_str(self) -> &'static str {
        match self {
            Advice::Silent => "silent",
            Advice::Warned => "warned",
            Advice::Error => "error",
        }
    }
}

/// What is reloaded while serving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Policies.
    Policies,
    /// Facts about namespaces.
    Namespaces,
    /// The certificate of the HTTPS port.
    Certificate,
    /// Whose certificates clients must show.
    ClientAuthority,
}

impl Source {
    const ALL: [Source; 4] = [
        Source::Policies,
        Source::Namespaces,
        Source::Certificate,
        Source::ClientAuthority,
    ];

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Policies => "policies",
            Source::Namespaces => "namespaces",
            Source::Certificate => "certificate",
            Source::ClientAuthority => "client-authority",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct DecisionLabels {
    policy: PolicyId,
    reason: &'static str,
}

impl EncodeLabelSet for DecisionLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> Result<(), fmt::Error> {
        ("policy", self.policy.to_string()).encode(encoder.encode_label())?;
        ("reason", self.reason).encode(encoder.encode_label())
    }
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    admissions: [Counter; 4],
    duration: Histogram,
    decisions: Family<DecisionLabels, Counter>,
    decided: Mutex<HashSet<DecisionLabels>>,
    judged: Family<Labels<1>, Counter>,
    advised: Family<Labels<1>, Counter>,
    rejections: Family<Labels<1>, Counter>,
    reloads: Family<Labels<2>, Counter>,
    policies: Family<Labels<1>, Gauge>,
    certificate_expiry: Gauge,
    seen: Family<Labels<1>, Gauge>,
    leads: Gauge,
    repairs: Family<Labels<1>, Counter>,
    wrong: Family<Labels<1>, Gauge>,
    guarding: Family<Labels<1>, Gauge>,
    told: Family<Labels<1>, Counter>,
    statuses: Family<Labels<1>, Counter>,
    panics: Counter,
    connections_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("outrigger");
        let admissions = Family::<Labels<1>, Counter>::default();
        let metrics = Metrics {
            admissions: Outcome::ALL.map(|outcome| admissions.get_or_create_owned(&[("outcome", outcome.as_str())])),
            duration: Histogram::new([
                0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1, 1.0,
            ]),
            decisions: Family::default(),
            decided: Mutex::default(),
            judged: Family::default(),
            advised: Family::default(),
            rejections: Family::default(),
            reloads: Family::default(),
            policies: Family::default(),
            certificate_expiry: Gauge::default(),
            seen: Family::default(),
            leads: Gauge::default(),
            repairs: Family::default(),
            wrong: Family::default(),
            guarding: Family::default(),
            told: Family::default(),
            statuses: Family::default(),
            panics: Counter::default(),
            connections_refused: Counter::default(),
            registry: Registry::default(),
        };
        metrics.start_at_zero();
        registry.register("admissions", "Reviews answered, by outcome", admissions);
        metrics.register(&mut registry);
        Metrics { registry, ..metrics }
    }
}

impl Metrics {
    fn start_at_zero(&self) {
        for reason in Rejection::REASONS {
            let _ = self.rejections.get_or_create(&[("reason", reason)]);
        }
        for opinion in Opinion::ALL {
            let _ = self.judged.get_or_create(&[("outcome", opinion.as_str())]);
        }
        for told in Told::ALL {
            let _ = self.told.get_or_create(&[("outcome", told.as_str())]);
        }
        for result in ["ok", "failed"] {
            let _ = self.statuses.get_or_create(&[("result", result)]);
        }
        for advice in Advice::ALL {
            let _ = self.advised.get_or_create(&[("outcome", advice.as_str())]);
        }
        for source in Source::ALL {
            for result in ["ok", "failed"] {
                let labels = [("source", source.as_str()), ("result", result)];
                let _ = self.reloads.get_or_create(&labels);
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "admission_duration_seconds",
            "From the end of a request's head to its answer",
            self.duration.clone(),
        );
        registry.register(
            "decisions",
            "Decisions about a Pod, by policy and reason",
            self.decisions.clone(),
        );
        registry.register(
            "policy_reviews",
            "Changes of policies judged, by outcome",
            self.judged.clone(),
        );
        registry.register(
            "workload_reviews",
            "Workloads advised about, by outcome",
            self.advised.clone(),
        );
        registry.register(
            "requests_rejected",
            "Requests not answered with a review",
            self.rejections.clone(),
        );
        registry.register("reloads", "Attempts to take up a change", self.reloads.clone());
        registry.register("policies", "Policies loaded", self.policies.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When the served certificate expires, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
        registry.register(
            "source_seen_timestamp_seconds",
            "When it was last certain that what is served is what the source has, in seconds since 1970",
            self.seen.clone(),
        );
        registry.register("leads", "Whether this replica holds the lease", self.leads.clone());
        registry.register(
            "repairs",
            "Times that an object of the cluster was put right after somebody else had changed it",
            self.repairs.clone(),
        );
        registry.register(
            "object_wrong",
            "Whether an object of the cluster is not as it should be, as the lease holder has last seen it",
            self.wrong.clone(),
        );
        registry.register(
            "guard_in_effect",
            "Whether the API server refuses Pods by an object of the guard, as the lease holder has last seen it",
            self.guarding.clone(),
        );
        registry.register("events", "Events, by what became of them", self.told.clone());
        registry.register(
            "policy_status_writes",
            "Attempts to write the status of a policy",
            self.statuses.clone(),
        );
        registry.register("panics", "Errors in outrigger that cost a call", self.panics.clone());
        registry.register(
            "connections_refused",
            "Connections closed at once because there were too many",
            self.connections_refused.clone(),
        );
        let build = Family::<Labels<1>, Gauge>::default();
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        registry.register("build_info", "Always 1", build);
    }

    /// Counts an answered review.
    pub fn admitted(&self, outcome: Outcome, duration: Duration) {
        self.admissions[outcome as usize].inc();
        self.duration.observe(duration.as_secs_f64());
    }

    /// Counts decisions.
    pub fn decided(&self, decisions: Vec<Decision>) {
        for Decision { policy, reason } in decisions {
            let labels = DecisionLabels { policy, reason };
            if let Some(counter) = self.decisions.get(&labels) {
                counter.inc();
                continue;
            }
            self.decisions.get_or_create(&labels).inc();
            self.decided
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(labels);
        }
    }

    /// Counts a change of a policy.
    pub fn judged(&self, opinion: Opinion) {
        self.judged.get_or_create(&[("outcome", opinion.as_str())]).inc();
    }

    /// Counts an Event.
    pub fn told(&self, told: Told) {
        self.told.get_or_create(&[("outcome", told.as_str())]).inc();
    }

    /// Counts an attempt to write the status of a policy.
    pub fn status_written(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.statuses.get_or_create(&[("result", result)]).inc();
    }

    /// Counts advice about a workload.
    pub fn advised(&self, advice: Advice) {
        self.advised.get_or_create(&[("outcome", advice.as_str())]).inc();
    }

    /// Counts a request that was not answered with a review; `reason` from [`Rejection::REASONS`].
    pub fn rejected(&self, reason: &'static str) {
        self.rejections.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts a caught panic.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// Counts a connection beyond the cap.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Counts an attempt to take up a change.
    pub fn reloaded(&self, source: Source, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.reloads
            .get_or_create(&[("source", source.as_str()), ("result", result)])
            .inc();
    }

    /// States when what is served from `source` was last known to be what is there, in seconds since 1970.
    pub fn seen(&self, source: Source, at: i64) {
        self.seen.get_or_create(&[("source", source.as_str())]).set(at);
    }

    /// States whether this replica holds the lease. Who does not knows nothing of the cluster's objects.
    pub fn leads(&self, leads: bool) {
        self.leads.set(i64::from(leads));
        self.wrong.clear();
        self.guarding.clear();
    }

    /// Counts a repair of an object of this name.
    pub fn repaired(&self, object: &'static str) {
        self.repairs.get_or_create(&[("object", object)]).inc();
    }

    /// States whether the object of this name is as it should be.
    pub fn is_wrong(&self, object: &'static str, wrong: bool) {
        self.wrong.get_or_create(&[("object", object)]).set(i64::from(wrong));
    }

    /// States whether the guard's object of this name is in effect.
    pub fn is_guarding(&self, object: &'static str, guarding: bool) {
        self.guarding
            .get_or_create(&[("object", object)])
            .set(i64::from(guarding));
    }

    /// States when the served certificate expires, in seconds since 1970.
    pub fn certificate_expires(&self, at: i64) {
        self.certificate_expiry.set(at);
    }

    /// States what is loaded, and forgets the decisions of policies that are gone.
    pub fn loaded(&self, policies: &[Arc<CompiledPolicy>]) {
        let broken = policies.iter().filter(|policy| !policy.errors().is_empty()).count();
        let set = |state, count: usize| {
            self.policies
                .get_or_create(&[("state", state)])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        set("accepted", policies.len() - broken);
        set("broken", broken);
        let ids: HashSet<&PolicyId> = policies.iter().map(|policy| policy.id()).collect();
        let mut decided = self.decided.lock().unwrap_or_else(PoisonError::into_inner);
        decided.retain(|labels| ids.contains(&labels.policy) || !self.decisions.remove(labels));
    }

    /// All of them, as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(name: &str) -> Arc<CompiledPolicy> {
        let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": name}, "spec": {}});
        Arc::new(outrigger_engine::compile(&document).unwrap())
    }

    #[test]
    fn every_counter_is_there_from_the_start() {
        let text = Metrics::default().text();
        for line in [
            "outrigger_admissions_total{outcome=\"injected\"} 0",
            "outrigger_requests_rejected_total{reason=\"too_large\"} 0",
            "outrigger_reloads_total{source=\"certificate\",result=\"failed\"} 0",
            "outrigger_panics_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} not in\n{text}");
        }
    }

    #[test]
    fn decisions_are_counted_until_their_policy_is_gone() {
        let metrics = Metrics::default();
        let (kept, removed) = (policy("kept"), policy("removed"));
        for policy in [&kept, &removed, &kept] {
            metrics.decided(vec![Decision {
                policy: policy.id().clone(),
                reason: "Request",
            }]);
        }
        assert!(
            metrics
                .text()
                .contains(r#"outrigger_decisions_total{policy="kept",reason="Request"} 2"#)
        );
        metrics.loaded(&[kept]);
        let text = metrics.text();
        assert!(
            text.contains(r#"policy="kept""#) && !text.contains(r#"policy="removed""#),
            "{text}"
        );
    }
}
