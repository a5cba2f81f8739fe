//! Serves from the API server: follows policies and namespaces, and replaces the snapshot when they change.
//!
//! Nothing here is on the way of a request. While the API server is away, what was last seen is served on; how old that
//! is, a metric says. Everything is read on a thread of its own, so that compiling thousands of policies holds up
//! neither requests nor probes.
mod connection;
mod follow;
mod lookup;
mod namespaces;
mod observed;
mod policies;
mod publisher;
mod replica;
mod version;

pub use connection::Connection;
pub use lookup::NamespaceReader;
pub use observed::{Marks, Observed, ObservedPolicy};

use super::Current;
use crate::observe::{
    health::Health,
    metrics::{Metrics, Source},
};
use anyhow::{Context, Result};
use follow::follow;
use outrigger_engine::Settings;
use publisher::{Change, Publisher};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events that wait to be taken up; who follows waits when there are more.
const WAITING: usize = 1024;

/// The API server as a source of snapshots.
#[derive(Debug)]
pub struct ClusterStore {
    connection: Connection,
    settings: Settings,
    version_is_given: bool,
    current: Current,
    observed: Arc<Observed>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl ClusterStore {
    /// A store that has read nothing yet. Unless `version_is_given`, the server's version decides about sidecars.
    pub fn new(
        connection: Connection,
        settings: Settings,
        version_is_given: bool,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> ClusterStore {
        ClusterStore {
            connection,
            settings,
            version_is_given,
            current: Current::default(),
            observed: Arc::default(),
            health,
            metrics,
        }
    }

    /// The snapshot of the moment; empty at first.
    pub fn current(&self) -> Current {
        Arc::clone(&self.current)
    }

    /// The way to the API server.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The policies as they were last seen.
    pub fn observed(&self) -> Arc<Observed> {
        Arc::clone(&self.observed)
    }

    /// Who can be asked about a namespace that the snapshot lacks; it belongs to the present runtime.
    ///
    /// # Errors
    /// When certificates or credentials cannot be used.
    pub fn reader(&self) -> Result<NamespaceReader> {
        NamespaceReader::new(&self.connection)
    }

    /// Keeps the snapshot up to date from a thread of its own, for as long as the process lives, and says so to health
    /// when there is a first one.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(self) -> Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start")?;
        let run = move || {
            if let Err(error) = runtime.block_on(self.run()) {
                tracing::error!("failed to read from the cluster: {error:#}");
            }
        };
        std::thread::Builder::new()
            .name("cluster-store".into())
            .spawn(run)
            .context("failed to start a thread")?;
        Ok(())
    }

    async fn run(self) -> Result<()> {
        let (sender, changes) = mpsc::channel(WAITING);
        let mut publisher = Publisher::new(
            self.settings,
            self.current,
            self.observed,
            self.health,
            Arc::clone(&self.metrics),
        );
        for kind in policies::Kind::ALL {
            let (client, contact) = self.connection.client()?;
            publisher.depends_on(Source::Policies, contact);
            let (metrics, sender) = (Arc::clone(&self.metrics), sender.clone());
            let wrap = move |event| Change::Policy(kind, event);
            tokio::spawn(follow(kind.api(client), Source::Policies, metrics, sender, wrap));
        }
        let (client, contact) = self.connection.client()?;
        publisher.depends_on(Source::Namespaces, contact);
        tokio::spawn(follow(
            namespaces::api(client),
            Source::Namespaces,
            Arc::clone(&self.metrics),
            sender.clone(),
            Change::Namespace,
        ));
        if self.version_is_given {
            publisher.knows_the_version();
        } else {
            let (client, _) = self.connection.client()?;
            tokio::spawn(version::follow(client, sender));
        }
        publisher.run(changes).await;
        Ok(())
    }
}
