//! Makes snapshots of what is seen, and no more of them than are needed.
use super::{
    connection::Contact,
    namespaces::{Metadata, NamespaceCache},
    observed::Observed,
    policies::{Kind, PolicyCache, RawPolicy},
};
use crate::{
    observe::{
        health::Health,
        metrics::{Metrics, Source},
    },
    store::{Current, renderings::Kept},
};
use kube::runtime::watcher::Event;
use outrigger_engine::{Settings, Snapshot};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, timeout_at},
};

/// However much changes, there is one snapshot in this time.
const BETWEEN_SNAPSHOTS: Duration = Duration::from_millis(100);
/// How often the age of what is served is stated.
const TICK: Duration = Duration::from_secs(1);

/// Something that the API server has said.
#[derive(Debug)]
pub(super) enum Change {
    Policy(Kind, Event<RawPolicy>),
    Namespace(Event<Metadata>),
    /// Minor version of Kubernetes 1.x.
    Version(u32),
}

/// What has changed since the last snapshot.
#[derive(Debug, Default)]
struct Unpublished {
    policies: bool,
    namespaces: bool,
    settings: bool,
    failed: bool,
}

impl Unpublished {
    fn any(&self) -> bool {
        self.policies || self.namespaces || self.settings
    }
}

/// What is known, and where it is published.
#[derive(Debug)]
pub(super) struct Publisher {
    policies: [PolicyCache; 2],
    namespaces: NamespaceCache,
    settings: Settings,
    version_known: bool,
    unpublished: Unpublished,
    /// When the last snapshot was made.
    published: Option<Instant>,
    contacts: Vec<(Source, Contact)>,
    current: Current,
    observed: Arc<Observed>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Publisher {
    pub(super) fn new(
        settings: Settings,
        current: Current,
        observed: Arc<Observed>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Publisher {
        Publisher {
            policies: Kind::ALL.map(|kind| PolicyCache::new(kind, Arc::clone(&observed))),
            namespaces: NamespaceCache::default(),
            settings,
            version_known: false,
            unpublished: Unpublished {
                settings: true,
                ..Unpublished::default()
            },
            published: None,
            contacts: Vec::new(),
            current,
            observed,
            health,
            metrics,
        }
    }

    /// What is known from `source` is as old as this.
    pub(super) fn depends_on(&mut self, source: Source, contact: Contact) {
        self.contacts.push((source, contact));
    }

    /// The version of Kubernetes is among the settings.
    pub(super) fn knows_the_version(&mut self) {
        self.version_known = true;
    }

    /// Publishes what comes, until nothing can come any more.
    pub(super) async fn run(mut self, mut changes: Receiver<Change>) {
        loop {
            self.state_ages();
            let wake = self.due().unwrap_or_else(|| Instant::now() + TICK);
            match timeout_at(wake, changes.recv()).await {
                Ok(Some(change)) => self.take(change),
                Ok(None) => return,
                Err(_) => {}
            }
            while let Ok(change) = changes.try_recv() {
                self.take(change);
                // A flood must not keep what is known from being published.
                if self.due().is_some_and(|due| due <= Instant::now()) {
                    break;
                }
            }
            if self.due().is_some_and(|due| due <= Instant::now()) {
                self.publish();
            }
            if self.published.is_some() && !self.unpublished.policies {
                self.observed.publish();
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Policy(kind, event) => {
                let seen = self.policies[kind as usize].take(event);
                self.unpublished.policies |= seen.changed;
                self.unpublished.failed |= seen.failed;
                if seen.failed && !seen.changed {
                    self.metrics.reloaded(Source::Policies, false);
                }
            }
            Change::Namespace(event) => self.unpublished.namespaces |= self.namespaces.take(event),
            Change::Version(minor) => {
                self.version_known = true;
                if self.settings.kubernetes_minor != minor {
                    tracing::info!("the cluster runs Kubernetes 1.{minor}");
                    self.settings.kubernetes_minor = minor;
                    self.unpublished.settings = true;
                }
            }
        }
    }

    /// When to publish, if there is anything to be published.
    fn due(&self) -> Option<Instant> {
        let complete = self.policies.iter().all(PolicyCache::is_complete) && self.namespaces.is_complete();
        if !(complete && self.version_known && self.unpublished.any()) {
            return None;
        }
        Some(
            self.published
                .map_or_else(Instant::now, |last| last + BETWEEN_SNAPSHOTS),
        )
    }

    fn publish(&mut self) {
        let changed = std::mem::take(&mut self.unpublished);
        let mut snapshot = Snapshot::clone(&self.current.load());
        if changed.settings {
            snapshot = snapshot.with_settings(self.settings.clone());
        }
        if changed.namespaces {
            snapshot = snapshot.with_namespaces(self.namespaces.namespaces());
            self.metrics.reloaded(Source::Namespaces, true);
        }
        if changed.policies {
            let policies = self.policies.iter().flat_map(PolicyCache::policies).collect();
            snapshot = snapshot.with_policies(policies).keeping(Arc::<Kept>::default());
            self.metrics.loaded(snapshot.policies());
            self.metrics.reloaded(Source::Policies, !changed.failed);
        }
        let (policies, namespaces) = (snapshot.policies().len(), self.namespaces.len());
        self.current.store(Arc::new(snapshot));
        if self.published.is_none() {
            tracing::info!(policies, namespaces, "loaded");
            self.health.loaded();
        } else {
            tracing::debug!(policies, namespaces, "loaded");
        }
        self.published = Some(Instant::now());
    }

    /// States, for each source, since when nothing can have been missed.
    fn state_ages(&self) {
        for source in [Source::Policies, Source::Namespaces] {
            let contacts = self.contacts.iter().filter(|(of, _)| *of == source);
            if let Some(oldest) = contacts.map(|(_, contact)| contact.last()).min() {
                self.metrics.seen(source, oldest);
            }
        }
    }
}
