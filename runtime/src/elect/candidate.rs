//! The candidate of one election: the only one here who writes the Lease, so that its writes never cross each other.
use super::{
    clock::Instant,
    durations::Durations,
    election::{Election, Resignation},
    lease::{Failure, Verb},
    record::{Record, created_by},
    spread::{Seat, Spread},
    standing::{Source, Step},
};
use axum::http::HeaderValue;
use k8s_openapi::api::coordination::v1::Lease;
use rand::RngExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// The longest sleep: the clock that tokio sleeps by stands still while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How often it is tried to give up a lease.
const FAREWELLS: u32 = 3;

/// Takes part in one election.
pub struct Candidate {
    election: Arc<Election>,
    identity: String,
    durations: Durations,
    spread: Option<Spread>,
    seat: Option<Seat>,
    /// How long it waits before it takes a lease that has become free, so that not all candidates write at once.
    hesitation: Duration,
    resignations: mpsc::Receiver<Resignation>,
    changes: watch::Receiver<()>,
    seats: Option<watch::Receiver<u32>>,
    stop: CancellationToken,
}

impl Candidate {
    /// A candidate that runs until `stop`.
    pub fn new(
        election: Arc<Election>,
        identity: String,
        durations: Durations,
        spread: Option<Spread>,
        resignations: mpsc::Receiver<Resignation>,
        stop: CancellationToken,
    ) -> Candidate {
        Candidate {
            changes: election.changes(),
            seats: spread.as_ref().map(Spread::changes),
            seat: None,
            hesitation: Duration::ZERO,
            election,
            identity,
            durations,
            spread,
            resignations,
            stop,
        }
    }

    /// Takes part until told to stop; then gives up the lease, if it has it.
    pub async fn run(mut self) {
        while !self.stop.is_cancelled() {
            let step = {
                let standing = self.election.standing();
                let now = Instant::now();
                if !standing.leads(now) {
                    self.seat = None;
                }
                standing.next(now, self.hesitation)
            };
            match step {
                Step::Wait(until) => self.wait(until).await,
                Step::Look => self.look().await,
                Step::Acquire => self.acquire().await,
                Step::Renew => self.renew().await,
            }
        }
        let relied_upon_until = self.election.change(|standing| standing.end());
        if let Err(problem) = self.give_up(relied_upon_until, None).await {
            tracing::warn!(
                election = self.election.name(),
                "the lease is left to run out: {problem}"
            );
        }
    }

    async fn wait(&mut self, until: Instant) {
        let seats = async {
            match &mut self.seats {
                Some(seats) => seats.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep(until.left().min(LONGEST_SLEEP)) => {}
            _ = self.changes.changed() => {}
            _ = seats => {}
            () = self.stop.cancelled() => {}
            Some(resignation) = self.resignations.recv() => self.resign(resignation).await,
        }
    }

    async fn look(&mut self) {
        let began = Instant::now();
        match self.election.leases.read().await {
            Ok(record) => {
                self.election.observe(record, Source::Read(began));
                self.election.standing().unsure = false;
            }
            Err(failure) => self.failed(Verb::Get, &failure).await,
        }
    }

    async fn acquire(&mut self) {
        if let Some(spread) = &self.spread {
            let free_at = self.election.standing().free_at().unwrap_or_default();
            match spread.seat(free_at, Instant::now()) {
                Ok(seat) => self.seat = Some(seat),
                Err(turn) => return self.wait(turn).await,
            }
        }
        let seconds = self.durations.lease_seconds();
        let (verb, lease) = match self.election.standing().record() {
            Some(record) => (Verb::Update, record.acquired_by(&self.identity, seconds)),
            None => (Verb::Create, created_by(self.election.name(), &self.identity, seconds)),
        };
        self.write(verb, &lease).await;
        self.hesitation = self.durations.retry.mul_f64(rand::rng().random_range(0.0..0.25));
    }

    async fn renew(&mut self) {
        let renewed = self
            .election
            .standing()
            .record()
            .map(|record| record.renewed(self.durations.lease_seconds()));
        if let Some(lease) = renewed {
            self.write(Verb::Update, &lease).await;
        }
    }

    async fn write(&mut self, verb: Verb, lease: &Lease) {
        // Before it is sent: others see it later, and wait from then on.
        let sent = Instant::now();
        let outcome = self.election.leases.write(lease, None).await;
        self.wrote(&outcome, sent);
        match outcome {
            Ok(record) => self.confirmed(record, sent),
            Err(failure) => self.failed(verb, &failure).await,
        }
    }

    fn wrote(&self, outcome: &Result<Record, Failure>, sent: Instant) {
        let after = Instant::now() - sent;
        self.election.metrics.wrote(self.election.name(), outcome, after);
    }

    fn confirmed(&mut self, record: Record, sent: Instant) {
        let token = record.version;
        self.election.writing.settle();
        let begins = self
            .election
            .change(|standing| standing.confirm(record, sent, Instant::now()));
        if begins {
            self.election.metrics.leads(self.election.name());
            tracing::info!(
                election = self.election.name(),
                identity = self.identity,
                fencing_token = token,
                "leading"
            );
        }
    }

    async fn failed(&mut self, verb: Verb, failure: &Failure) {
        let lost_race = matches!(failure, Failure::Conflict | Failure::Gone(_));
        let pause = self.durations.retry / if lost_race { 10 } else { 1 };
        {
            let mut standing = self.election.standing();
            standing.unsure = true;
            standing.not_before = Instant::now() + pause;
        }
        if !matches!(failure, Failure::Conflict) {
            let text = self.election.tell(verb, failure).await;
            self.election.writing.raise(text);
        }
    }

    async fn resign(&mut self, resignation: Resignation) {
        let mine = {
            let standing = self.election.standing();
            standing.leads(Instant::now()) || standing.holds()
        };
        let outcome = if mine {
            let relied_upon_until = self.election.change(|standing| standing.rest(Instant::now()));
            tracing::info!(election = self.election.name(), "resigning");
            self.give_up(relied_upon_until, resignation.trace.as_ref()).await
        } else {
            Ok(())
        };
        // Whoever asked may have gone.
        let _ = resignation.done.send(outcome.map_err(|failure| failure.to_string()));
    }

    /// Gives up the lease once no answer can be relied upon any more that was given before.
    async fn give_up(&mut self, relied_upon_until: Instant, trace: Option<&HeaderValue>) -> Result<(), Failure> {
        self.seat = None;
        if !self.election.standing().holds() && !self.election.standing().unsure {
            return Ok(());
        }
        sleep(relied_upon_until.left()).await;
        let mut outcome = Ok(());
        for _ in 0..FAREWELLS {
            outcome = self.farewell(trace).await;
            if outcome.is_ok() {
                break;
            }
            sleep(self.durations.retry / 10).await;
        }
        outcome
    }

    async fn farewell(&mut self, trace: Option<&HeaderValue>) -> Result<(), Failure> {
        if self.election.standing().unsure {
            let began = Instant::now();
            let record = self.election.leases.read().await?;
            self.election.observe(record, Source::Read(began));
            self.election.standing().unsure = false;
        }
        let released = {
            let standing = self.election.standing();
            match standing.record().filter(|_| standing.holds()) {
                Some(record) => record.released(),
                None => return Ok(()),
            }
        };
        let sent = Instant::now();
        let outcome = self.election.leases.write(&released, trace).await;
        self.wrote(&outcome, sent);
        match outcome {
            Ok(record) => {
                self.election.observe(Some(record), Source::Read(sent));
                tracing::info!(election = self.election.name(), "gave up the lease");
                Ok(())
            }
            Err(failure) => {
                self.election.standing().unsure = true;
                Err(failure)
            }
        }
    }
}
