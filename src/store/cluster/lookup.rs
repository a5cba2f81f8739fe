//! Reads one namespace that the watch has not brought yet.
//!
//! Many Pods may come at once in many new namespaces: each namespace is read once, not many at a time, and what came of it
//! is remembered until the watch catches up.
use super::{
    connection::Connection,
    namespaces::{self, Metadata, facts},
};
use crate::webhook::namespaces::{Namespaces, Reading, Unreadable};
use anyhow::Result;
use kube::Api;
use moka::{Expiry, future::Cache};
use outrigger_engine::Namespace;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Namespaces read at once.
const AT_ONCE: usize = 64;
/// Namespaces remembered.
const REMEMBERED: u64 = 10_000;
/// How long one is remembered: the watch is seldom later.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// How long it is remembered that there is none: it may be made at any moment.
const ABSENT_FOR: Duration = Duration::from_millis(500);

type Found = Option<Arc<Namespace>>;

/// Reads namespaces one by one.
#[derive(Debug)]
pub struct NamespaceReader {
    api: Api<Metadata>,
    remembered: Cache<String, Found>,
    room: Semaphore,
}

impl NamespaceReader {
    /// A reader that belongs to the present runtime.
    ///
    /// # Errors
    /// When certificates or credentials cannot be used.
    pub fn new(connection: &Connection) -> Result<NamespaceReader> {
        let (client, _) = connection.client()?;
        Ok(NamespaceReader {
            api: namespaces::api(client),
            remembered: Cache::builder()
                .max_capacity(REMEMBERED)
                .expire_after(ForAWhile)
                .build(),
            room: Semaphore::new(AT_ONCE),
        })
    }

    async fn ask(&self, name: &str) -> Result<Found, Unreadable> {
        let _room = self.room.acquire().await.map_err(|_| Unreadable)?;
        match self.api.get_opt(name).await {
            Ok(found) => Ok(found.and_then(facts)),
            Err(error) => {
                tracing::warn!(%error, "failed to read a namespace");
                Err(Unreadable)
            }
        }
    }
}

impl Namespaces for NamespaceReader {
    fn read<'a>(&'a self, name: &'a str) -> Reading<'a> {
        Box::pin(async move {
            let found = self.remembered.try_get_with_by_ref(name, self.ask(name)).await;
            found.map_err(|error| *error)
        })
    }
}

#[derive(Debug)]
struct ForAWhile;

impl Expiry<String, Found> for ForAWhile {
    fn expire_after_create(&self, _: &String, found: &Found, _: Instant) -> Option<Duration> {
        Some(if found.is_some() { KNOWN_FOR } else { ABSENT_FOR })
    }
}
