//! Facts about namespaces from the API server: labels and annotations, nothing else is asked for.
use super::replica::Replica;
use k8s_openapi::api::core::v1 as core;
use kube::{Api, Client, core::PartialObjectMeta, runtime::watcher::Event};
use outrigger_engine::Namespace;
use std::sync::Arc;

/// A namespace without spec and status.
pub(super) type Metadata = PartialObjectMeta<core::Namespace>;

/// All namespaces.
pub(super) fn api(client: Client) -> Api<Metadata> {
    Api::all(client)
}

/// What the engine wants to know.
pub(super) fn facts(object: Metadata) -> Option<Arc<Namespace>> {
    let metadata = object.metadata;
    let name = metadata.name.filter(|name| !name.is_empty())?;
    let mut annotations = metadata.annotations.unwrap_or_default();
    // Long, everywhere, and of no interest to any policy.
    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    Some(Arc::new(Namespace {
        name,
        labels: metadata.labels.unwrap_or_default(),
        annotations,
    }))
}

/// The namespaces of the cluster.
#[derive(Debug, Default)]
pub(super) struct NamespaceCache {
    replica: Replica<String, Arc<Namespace>>,
}

impl NamespaceCache {
    /// Whether all have been seen once.
    pub(super) fn is_complete(&self) -> bool {
        self.replica.is_complete()
    }

    /// All of them.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = Arc<Namespace>> {
        self.replica.values().cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.replica.len()
    }

    /// Takes up an event, and says whether it changed anything.
    pub(super) fn take(&mut self, event: Event<Metadata>) -> bool {
        match event {
            Event::Init => self.replica.begin(),
            Event::InitApply(object) => {
                if let Some(facts) = facts(object) {
                    self.replica.arrive(facts.name.clone(), facts);
                }
            }
            Event::InitDone => {
                self.replica.end();
                return true;
            }
            Event::Apply(object) => {
                let Some(facts) = facts(object) else { return false };
                if self.replica.get(&facts.name) == Some(&facts) {
                    return false;
                }
                self.replica.put(facts.name.clone(), facts);
                return true;
            }
            Event::Delete(object) => {
                return object.metadata.name.is_some_and(|name| self.replica.remove(&name));
            }
        }
        false
    }
}
