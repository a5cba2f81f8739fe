//! What replicas do together in a cluster: they share a certificate, and one of them keeps the cluster's objects right.
//!
//! Every replica stands for a lease ([`lease`]); who holds it performs the duties ([`duty`]). Nothing here is on the way
//! of a request: a replica that loses the lease, or whose API server is away, serves on. Which duties there are,
//! `cli/serve.rs` says.
pub mod apply;
pub mod call;
pub mod certificate;
pub mod duty;
pub mod events;
pub mod guard;
pub mod lease;
pub mod owner;
pub mod pace;
pub mod registration;
pub mod service;
pub mod status;
pub mod term;

use crate::{observe::metrics::Metrics, store::Current};
use anyhow::{Context, Result};
use duty::{Duty, Post};
use kube::{Api, Client};
use lease::{Candidate, Times};
use owner::Owner;
use std::{sync::Arc, thread::JoinHandle, time::Duration};
use term::Term;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

/// Threads: a duty that computes for long must not keep the lease from being renewed.
const THREADS: usize = 2;
/// How often to see whether it has ended.
const GLANCE: Duration = Duration::from_millis(20);
/// How long duties may take to end.
const ENDING: Duration = Duration::from_secs(1);
/// How long what every replica does may take to end.
const LEAVING: Duration = Duration::from_secs(5);
/// Pauses before a duty that failed is begun again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who takes part, and in what.
pub struct Controller {
    /// Makes a client that belongs to the present runtime.
    pub client: Box<dyn FnOnce() -> Result<Client> + Send>,
    /// Namespace of the lease.
    pub namespace: String,
    /// Name of the lease.
    pub lease: String,
    /// Who we are; no other replica has this name.
    pub identity: String,
    /// How long the lease holds.
    pub times: Times,
    /// ClusterRole that owns what is made.
    pub owner: Option<String>,
    /// What is served.
    pub current: Current,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// What the leader does.
    pub duties: Vec<Arc<dyn Duty>>,
    /// What every replica does, for as long as it runs.
    pub always: Vec<Always>,
}

/// Something that every replica does, given a client and word of the end.
pub type Always = Box<dyn FnOnce(Client, Stopped) -> duty::Performing + Send>;

/// Whether it is time to come to an end.
#[derive(Debug, Clone)]
pub struct Stopped(watch::Receiver<bool>);

impl Stopped {
    /// Waits until it is. What cannot be told any more is over.
    pub async fn stopped(&mut self) {
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Waits so long, or until it is; whether it is.
    pub async fn within(&mut self, pause: Duration) -> bool {
        timeout(pause, self.stopped()).await.is_ok()
    }
}

/// A controller that runs on a thread of its own.
#[derive(Debug)]
pub struct Running {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Has it end its duties and release the lease. See [`Running::ended`].
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it has ended, but not longer than that.
    pub async fn ended(self, patience: Duration) {
        let end = tokio::time::Instant::now() + patience;
        while !self.thread.is_finished() && tokio::time::Instant::now() < end {
            sleep(GLANCE).await;
        }
    }
}

impl Controller {
    /// Starts to take part.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(self) -> Result<Running> {
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("controller")
            .enable_all()
            .build()
            .context("failed to start")?;
        let run = move || {
            if let Err(error) = runtime.block_on(self.run(stopped)) {
                tracing::error!("failed to run the controller: {error:#}");
            }
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new()
            .name("controller".into())
            .spawn(run)
            .context("failed to start a thread")?;
        Ok(Running { stop, thread })
    }

    async fn run(self, stopped: watch::Receiver<bool>) -> Result<()> {
        let mut stopped = Stopped(stopped);
        let client = (self.client)()?;
        let api = Api::namespaced(client.clone(), &self.namespace);
        let mut candidate = Candidate::new(api, self.lease, self.identity.clone(), self.times);
        let owner = self.owner.map(|name| Owner::new(client.clone(), &name));
        let mut always = JoinSet::new();
        for work in self.always {
            always.spawn(work(client.clone(), stopped.clone()));
        }
        let post = |term: &Term| Post {
            client: client.clone(),
            current: Arc::clone(&self.current),
            metrics: Arc::clone(&self.metrics),
            term: term.clone(),
            owner: owner.clone(),
        };
        loop {
            let term = tokio::select! {
                term = candidate.acquire() => term,
                () = stopped.stopped() => {
                    finish(always, async {}).await;
                    return Ok(());
                }
            };
            tracing::info!(identity = self.identity, "holds the lease");
            self.metrics.leads(true);
            let mut performing = JoinSet::new();
            for duty in &self.duties {
                performing.spawn(perform(Arc::clone(duty), post(&term)));
            }
            let stops = tokio::select! {
                () = candidate.hold(&term) => false,
                () = stopped.stopped() => true,
            };
            self.metrics.leads(false);
            if timeout(ENDING, performing.shutdown()).await.is_err() {
                tracing::warn!("a duty goes on although it should end");
            }
            if stops {
                finish(always, candidate.release(&term)).await;
                return Ok(());
            }
        }
    }
}

/// Does the last thing, and lets what every replica does come to its end meanwhile.
async fn finish(mut always: JoinSet<Result<()>>, last: impl Future<Output = ()>) {
    let ended = async { while always.join_next().await.is_some() {} };
    if tokio::join!(last, timeout(LEAVING, ended)).1.is_err() {
        tracing::warn!(
            "did not wait for the API server to answer; others notice in half a minute that this replica is gone"
        );
    }
}

/// Performs a duty; after an error, or a panic, it is begun again.
async fn perform(duty: Arc<dyn Duty>, post: Post) {
    let mut pause = FIRST_PAUSE;
    loop {
        let mut performing = JoinSet::new();
        performing.spawn(duty.perform(post.clone()));
        match performing.join_next().await {
            Some(Ok(Ok(()))) | None => return,
            Some(Ok(Err(error))) => {
                tracing::error!(duty = duty.name(), "{}; trying on", call::text(&error));
            }
            Some(Err(_)) => tracing::error!(duty = duty.name(), "an error in outrigger; trying on"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
