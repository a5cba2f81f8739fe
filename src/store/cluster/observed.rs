//! What the API server was last seen to hold of each policy, for those who write its status.
//!
//! It is another view of the same watches that snapshots are made of, so it costs the API server nothing. It is not on the
//! way of any request.
use super::policies::Kind;
use outrigger_engine::{CompiledPolicy, PolicyId, status::PolicyStatus};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Up to which resource version a replica serves the policies of each kind: the cluster's, and namespaces' own. The API
/// server's resource versions of one kind are numbers that only grow.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Of ClusterInjectionPolicies.
    pub cluster: u64,
    /// Of InjectionPolicies.
    pub namespaced: u64,
}

impl Marks {
    /// The mark for policies with this id.
    pub fn of(&self, id: &PolicyId) -> u64 {
        match id.namespace {
            None => self.cluster,
            Some(_) => self.namespaced,
        }
    }

    fn get_mut(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Cluster => &mut self.cluster,
            Kind::Namespaced => &mut self.namespaced,
        }
    }
}

/// A policy as it was last seen.
#[derive(Debug, Clone)]
pub struct ObservedPolicy {
    /// Of the object.
    pub uid: String,
    /// Of the object.
    pub resource_version: u64,
    /// The resource version at which this generation was first seen.
    pub served_from: u64,
    /// What is served.
    pub policy: Arc<CompiledPolicy>,
    /// What the policy alone says of its status.
    pub own: PolicyStatus,
    /// The status that it has.
    pub status: PolicyStatus,
}

/// All policies as they were last seen.
#[derive(Debug, Default)]
pub struct Observed {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    policies: HashMap<PolicyId, Arc<ObservedPolicy>>,
    changed: HashSet<PolicyId>,
    /// What has been seen, and what of it is in the snapshot.
    seen: Marks,
    served: Marks,
    /// The same, of generations alone: writing a status changes nothing of what is served.
    newest_seen: Marks,
    newest_served: Marks,
    complete: bool,
}

impl Observed {
    /// Waits until policies have changed; takes who they are.
    pub async fn changes(&self) -> HashSet<PolicyId> {
        loop {
            let changed = self.state().take_changes();
            if !changed.is_empty() {
                return changed;
            }
            self.changed.notified().await;
        }
    }

    /// All policies count as changed: somebody begins who has seen none of them.
    pub fn begin(&self) {
        let mut state = self.state();
        let all: HashSet<PolicyId> = state.policies.keys().cloned().collect();
        state.changed.extend(all);
        self.changed.notify_one();
    }

    /// The policy of that name.
    pub fn get(&self, id: &PolicyId) -> Option<Arc<ObservedPolicy>> {
        self.state().policies.get(id).cloned()
    }

    /// How far what is served goes; `None`: nothing is served yet.
    pub fn served(&self) -> Option<Marks> {
        let state = self.state();
        state.complete.then_some(state.served)
    }

    /// Whether who serves up to `marks` serves every generation that is served here.
    pub fn newest_is_in(&self, marks: &Marks) -> bool {
        let newest = self.state().newest_served;
        newest.cluster <= marks.cluster && newest.namespaced <= marks.namespaced
    }

    /// This status was written, and made the object this version.
    pub fn wrote(&self, id: &PolicyId, resource_version: u64, status: PolicyStatus) {
        let mut state = self.state();
        if let Some(policy) = state.policies.get_mut(id)
            && policy.resource_version < resource_version
        {
            *policy = Arc::new(ObservedPolicy {
                resource_version,
                status,
                ..ObservedPolicy::clone(policy)
            });
        }
    }

    pub(super) fn put(&self, kind: Kind, id: PolicyId, mut seen: ObservedPolicy) {
        let mut state = self.state();
        let mark = state.seen.get_mut(kind);
        *mark = seen.resource_version.max(*mark);
        if let Some(before) = state.policies.get(&id).filter(|before| before.uid == seen.uid) {
            if before.own.observed_generation == seen.own.observed_generation {
                seen.served_from = before.served_from;
            }
            // What we wrote ourselves is known before the watch says so.
            if before.resource_version > seen.resource_version {
                seen.resource_version = before.resource_version;
                seen.status = before.status.clone();
            }
        }
        let newest = state.newest_seen.get_mut(kind);
        *newest = seen.served_from.max(*newest);
        state.policies.insert(id.clone(), Arc::new(seen));
        state.changed.insert(id);
        self.changed.notify_one();
    }

    pub(super) fn remove(&self, id: &PolicyId) {
        let mut state = self.state();
        if state.policies.remove(id).is_some() {
            state.changed.insert(id.clone());
            self.changed.notify_one();
        }
    }

    /// Of this kind, those alone are there.
    pub(super) fn retain(&self, kind: Kind, is_there: impl Fn(&PolicyId) -> bool) {
        let is_gone = |id: &&PolicyId| id.namespace.is_some() == (kind == Kind::Namespaced) && !is_there(id);
        let gone: Vec<PolicyId> = self.state().policies.keys().filter(is_gone).cloned().collect();
        gone.iter().for_each(|id| self.remove(id));
    }

    /// Everything that was seen is served now.
    pub(super) fn publish(&self) {
        let mut state = self.state();
        state.served = state.seen;
        state.newest_served = state.newest_seen;
        state.complete = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_changes(&mut self) -> HashSet<PolicyId> {
        std::mem::take(&mut self.changed)
    }
}
