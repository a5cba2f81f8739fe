//! What the parts of a worker share: who it is, and how it is doing.
use super::application::Application;
use super::args::Args;
use super::connection::{Connected, Outage};
use super::metrics::Metrics;
use super::streams::{Names, Queue};
use async_nats::jetstream::Context;
use async_nats::{Client, connection::State};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// The worker.
#[derive(Debug)]
pub struct Shared {
    pub args: Args,
    pub names: Names,
    pub client: Client,
    pub context: Context,
    pub application: Application,
    pub metrics: Metrics,
    /// No more items are taken.
    pub stop: CancellationToken,
    /// Items in progress are given back.
    pub hard_stop: CancellationToken,
    /// Told at each new connection.
    pub connected: Connected,
    outage: Outage,
    /// Told when an item is done with, or the application is gone.
    pub changed: Notify,
    /// As many as the application may have items.
    pub slots: Semaphore,
    held: AtomicUsize,
    up: AtomicBool,
    /// Microseconds that the application takes, about.
    pace: AtomicU64,
    queue: Mutex<Option<Arc<Queue>>>,
    trouble: Mutex<Option<String>>,
}

impl Shared {
    pub fn new(
        args: Args,
        (client, outage): (Client, Outage),
        application: Application,
        metrics: Metrics,
        connected: Connected,
        stop: CancellationToken,
    ) -> Shared {
        Shared {
            names: Names::new(&args),
            context: async_nats::jetstream::new(client.clone()),
            client,
            application,
            metrics,
            stop,
            hard_stop: CancellationToken::new(),
            connected,
            outage,
            changed: Notify::new(),
            slots: Semaphore::new(args.handing.concurrency.into()),
            held: AtomicUsize::new(0),
            up: AtomicBool::new(false),
            pace: AtomicU64::new(u64::MAX),
            queue: Mutex::new(None),
            trouble: Mutex::new(None),
            args,
        }
    }

    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The streams, once they have been found or made.
    pub fn queue(&self) -> Option<Arc<Queue>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_queue(&self, queue: Option<Arc<Queue>>) {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = queue;
    }

    /// What keeps items from being done; told once, until it changes.
    pub fn set_trouble(&self, trouble: Option<String>) {
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*told, &trouble) {
            (before, Some(now)) if before.as_ref() != Some(now) => tracing::error!("{now}"),
            (Some(before), None) => tracing::info!("no longer: {before}"),
            _ => {}
        }
        *told = trouble;
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    pub fn set_up(&self, up: bool) {
        self.metrics.application_up.set(up.into());
        let before = self.up.swap(up, Relaxed);
        match (before, up) {
            (false, true) => tracing::info!("the application is up; taking items"),
            (true, false) => tracing::warn!("the application is away; waiting for it"),
            _ => {}
        }
        self.changed.notify_one();
    }

    /// Items that this worker has from the server.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// How many it should have at most. Where the application is quick, more than it can have at a time, so that it need not wait.
    pub fn wanted(&self) -> usize {
        let concurrency = usize::from(self.args.handing.concurrency);
        if self.pace.load(Relaxed) < 20_000 {
            concurrency * 4
        } else {
            concurrency
        }
    }

    /// Items had to wait here: no more than the application can have.
    pub fn is_slow(&self) {
        self.pace.store(1_000_000, Relaxed);
    }

    pub fn took(&self, time: Duration) {
        let now = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2);
        let before = self.pace.load(Relaxed);
        let pace = if before == u64::MAX {
            now
        } else {
            before - before / 8 + now / 8
        };
        self.pace.store(pace, Relaxed);
    }

    /// Ready, or what is lacking.
    pub fn readiness(&self) -> Result<(), String> {
        if self.stop.is_cancelled() {
            return Err("stopping".to_owned());
        }
        if !self.is_connected() {
            let reason = self
                .outage
                .reason()
                .map_or_else(String::new, |reason| format!("; {reason}"));
            let servers = self.args.server.nats.join(", ");
            return Err(format!("not connected to NATS at {servers}{reason}"));
        }
        if let Some(trouble) = self.trouble() {
            return Err(trouble);
        }
        if self.queue().is_none() {
            return Err("the streams have not been opened yet".to_owned());
        }
        if !self.is_up() {
            return Err("the application is not up".to_owned());
        }
        Ok(())
    }
}

/// One item that the worker has.
#[derive(Debug)]
pub struct Held(Arc<Shared>);

impl Held {
    pub fn new(shared: &Arc<Shared>) -> Held {
        shared.held.fetch_add(1, Relaxed);
        Held(Arc::clone(shared))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Relaxed);
        self.0.changed.notify_one();
    }
}
