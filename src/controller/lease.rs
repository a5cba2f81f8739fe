//! Which replica leads: a Lease of coordination.k8s.io/v1, by the rules and times of client-go's leader election.
//!
//! A lease is taken when its holder has released it, or has not been seen to renew it for as long as it says, by this
//! machine's own clock: clocks need not agree. Each write names the version that it replaces, so of two who try only one
//! succeeds. Losing the lease is no error; this replica then stands again.
use super::{
    call::{Complaint, within},
    term::Term,
};
use anyhow::Result;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a lease holds, and how it is renewed.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// After so long without renewal, others may take it.
    pub duration: Duration,
    /// Who could not renew it for so long gives up.
    pub renew_deadline: Duration,
    /// How often to try.
    pub retry: Duration,
}

impl Times {
    /// The usual proportions: a duration of 15 s is renewed each 2 s, and given up after 10 s.
    pub fn lasting(duration: Duration) -> Times {
        Times {
            duration,
            renew_deadline: duration * 2 / 3,
            retry: duration * 2 / 15,
        }
    }

    /// Others wait a little longer, each differently, so that they do not all try at once.
    fn retry_with_jitter(self) -> Duration {
        self.retry.mul_f64(1.0 + 1.2 * fastrand::f64())
    }

    fn seconds(self) -> i32 {
        i32::try_from(self.duration.as_secs()).unwrap_or(i32::MAX).max(1)
    }
}

/// What came of an attempt to take or renew the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Ours,
    Theirs,
    /// Somebody wrote it at the same moment.
    Crossed,
}

/// One who stands for the lease.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    times: Times,
    /// The lease as it was last seen, and when it was first seen like that.
    observed: Option<(Lease, Instant)>,
    complaint: Complaint,
}

impl Candidate {
    /// Stands for the lease `name` as `identity`.
    pub fn new(api: Api<Lease>, name: String, identity: String, times: Times) -> Candidate {
        Candidate {
            api,
            name,
            identity,
            times,
            observed: None,
            complaint: Complaint::default(),
        }
    }

    /// Waits until the lease is ours.
    pub async fn acquire(&mut self) -> Term {
        loop {
            let asked = Instant::now();
            match self.attempt().await {
                Ok(Attempt::Ours) => return Term::new(asked, self.times.renew_deadline),
                Ok(_) => {
                    self.complaint.over();
                }
                Err(error) => self.complain(&error, "failed to stand for the lease; trying on"),
            }
            sleep(self.times.retry_with_jitter()).await;
        }
    }

    /// Renews the lease until it is lost.
    pub async fn hold(&mut self, term: &Term) {
        loop {
            sleep(self.times.retry).await;
            let asked = Instant::now();
            let attempt = tokio::select! {
                attempt = self.attempt() => attempt,
                () = sleep_until(term.ends()) => return self.lose(term, "it could not be renewed in time"),
            };
            match attempt {
                // Who slept through the end of the term may have been succeeded, and then taken over again.
                Ok(Attempt::Ours) if term.is_ours() => {
                    self.complaint.over();
                    term.extend(asked, self.times.renew_deadline);
                }
                Ok(Attempt::Ours) => return self.lose(term, "it was renewed too late"),
                Ok(Attempt::Theirs) => return self.lose(term, "another replica holds it"),
                Ok(Attempt::Crossed) => {}
                Err(error) => self.complain(&error, "failed to renew the lease; trying on"),
            }
        }
    }

    /// Lets others have the lease at once. When that fails they have it a little later.
    pub async fn release(&mut self, term: &Term) {
        term.end();
        let Some((lease, _)) = self.observed.take() else { return };
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(String::new()),
            lease_duration_seconds: Some(1),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..lease.spec.unwrap_or_default()
        };
        let lease = Lease {
            spec: Some(spec),
            ..lease
        };
        if let Err(error) = within(self.api.replace(&self.name, &PostParams::default(), &lease)).await {
            self.complain(&error, "failed to release the lease; others wait until it has run out");
        }
    }

    /// Takes the lease, or renews it, if that may be.
    async fn attempt(&mut self) -> Result<Attempt> {
        let Some(found) = within(self.api.get_opt(&self.name)).await? else {
            let new = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return self.written(within(self.api.create(&PostParams::default(), &new)).await);
        };
        let seen_for = self.observe(&found);
        let spec = found.spec.clone().unwrap_or_default();
        if self.is_held_by_another(&spec, seen_for) {
            return Ok(Attempt::Theirs);
        }
        let taken = Lease {
            spec: Some(self.spec(Some(spec))),
            ..found
        };
        self.written(within(self.api.replace(&self.name, &PostParams::default(), &taken)).await)
    }

    /// How long the lease has been seen as it is.
    fn observe(&mut self, found: &Lease) -> Duration {
        match &self.observed {
            Some((lease, since)) if lease.spec == found.spec => since.elapsed(),
            _ => {
                self.observed = Some((found.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }

    fn is_held_by_another(&self, spec: &LeaseSpec, seen_for: Duration) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        !holder.is_empty() && holder != self.identity && seen_for < Duration::from_secs(lasts)
    }

    /// What the lease says when it is ours; `before` is what it says now.
    fn spec(&self, before: Option<LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let was_ours = before.as_ref().and_then(|spec| spec.holder_identity.as_ref()) == Some(&self.identity);
        let transitions = before.as_ref().map(|spec| spec.lease_transitions.unwrap_or_default());
        let acquired = before.as_ref().and_then(|spec| spec.acquire_time.clone());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(self.times.seconds()),
            acquire_time: acquired.filter(|_| was_ours).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions.map_or(0, |count| count.saturating_add(i32::from(!was_ours)))),
            ..before.unwrap_or_default()
        }
    }

    fn written(&mut self, result: Result<Lease>) -> Result<Attempt> {
        match result {
            Ok(lease) => {
                self.observed = Some((lease, Instant::now()));
                Ok(Attempt::Ours)
            }
            Err(error) if super::call::status(&error) == Some(409) => Ok(Attempt::Crossed),
            Err(error) => Err(error),
        }
    }

    fn lose(&mut self, term: &Term, why: &str) {
        term.end();
        tracing::warn!(identity = self.identity, "lost the lease: {why}; serving on");
    }

    fn complain(&mut self, error: &anyhow::Error, outcome: &str) {
        if let Some(text) = self.complaint.about(error) {
            tracing::error!(lease = self.name, "{text}: {outcome}");
        }
    }
}
