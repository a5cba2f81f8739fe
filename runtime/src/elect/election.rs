//! One election, shared by those who follow the Lease, write it, and answer about it.
use super::{
    clock::Instant,
    complaints::Complaints,
    durations::Durations,
    lease::{Failure, Leases, Verb},
    metrics::Metrics,
    permission,
    record::Record,
    standing::{Source, Standing, View},
};
use axum::http::HeaderValue;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};

/// How long what the server said about permissions is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(10);

/// To give up the lease; and whether that was done.
pub struct Resignation {
    /// The trace context of who asked.
    pub trace: Option<HeaderValue>,
    /// Told when it is over, with what went wrong.
    pub done: oneshot::Sender<Result<(), String>>,
}

/// One election.
pub struct Election {
    /// The way to its Lease.
    pub leases: Leases,
    /// Where resignations go.
    pub resignations: mpsc::Sender<Resignation>,
    /// What is counted.
    pub metrics: Metrics,
    /// What hinders reading the Lease.
    pub reading: Complaints,
    /// What hinders writing it.
    pub writing: Complaints,
    standing: Mutex<Standing>,
    changed: watch::Sender<()>,
    refusal: tokio::sync::Mutex<Option<(Verb, Instant, String)>>,
}

impl Election {
    /// An election that nothing is known of; resignations are to be taken from the receiver.
    pub fn new(
        leases: Leases,
        identity: &str,
        durations: Durations,
        metrics: Metrics,
    ) -> (Election, mpsc::Receiver<Resignation>) {
        let (resignations, receiver) = mpsc::channel(16);
        let election = Election {
            resignations,
            metrics,
            reading: Complaints::new(leases.name()),
            writing: Complaints::new(leases.name()),
            standing: Mutex::new(Standing::new(identity.to_owned(), durations)),
            changed: watch::Sender::new(()),
            refusal: tokio::sync::Mutex::default(),
            leases,
        };
        (election, receiver)
    }

    /// The election's name.
    pub fn name(&self) -> &str {
        self.leases.name()
    }

    /// Where it stands. Nobody waits for anything while holding this.
    pub fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks every change of where it stands.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Changes where it stands, and tells those who wait for that.
    pub fn change<T>(&self, change: impl FnOnce(&mut Standing) -> T) -> T {
        let changed = change(&mut self.standing());
        self.changed.send_replace(());
        changed
    }

    /// Something was learned about the Lease.
    pub fn observe(&self, record: Option<Record>, source: Source) {
        self.change(|standing| standing.observe(record, source, Instant::now()));
    }

    /// Whether this process leads at this instant.
    pub fn leads(&self) -> bool {
        let standing = self.standing();
        standing.leads(Instant::now())
    }

    /// What holds at this instant, without a promise.
    pub fn view(&self) -> View {
        let standing = self.standing();
        standing.view(Instant::now())
    }

    /// What holds at this instant, and how long it can be relied upon. The clock is read last: a process that was stopped before
    /// that says what holds after it.
    pub fn answer(&self) -> (View, Duration) {
        let mut standing = self.standing();
        standing.answer(Instant::now())
    }

    /// Ready when the Lease, or its absence, has been seen; else what is lacking.
    pub fn readiness(&self) -> Result<(), String> {
        if self.standing().is_known() {
            return Ok(());
        }
        let lacking = self.reading.present().or_else(|| self.writing.present());
        let lacking = lacking.unwrap_or_else(|| "the API server has not answered yet".to_owned());
        Err(format!("election {:?}: {lacking}", self.name()))
    }

    /// What to say of a failure.
    pub async fn tell(&self, verb: Verb, failure: &Failure) -> String {
        if !matches!(failure, Failure::Forbidden(_)) {
            return failure.to_string();
        }
        let mut refusal = self.refusal.lock().await;
        match refusal.as_ref() {
            Some((known, asked, text)) if *known == verb && Instant::now() - *asked < BELIEVED_FOR => text.clone(),
            _ => {
                let text = permission::missing(self.leases.client(), self.leases.namespace(), self.name(), verb).await;
                refusal.insert((verb, Instant::now(), text)).2.clone()
            }
        }
    }
}
