//! Compares the status that each policy should have with the one that it has, and writes the difference.
//!
//! A write replaces what the controller said before and nothing else (server-side apply of `/status`), names the object by
//! its uid, and is made at a bounded pace. Two leaders who write at once, for a moment, do no harm: what they write depends on
//! the cluster alone, and what is wrong afterwards is seen and written again.
use super::{pods::Counting, queue::Queue, replicas::Place, transitions};
use crate::{
    controller::{
        apply::FIELD_MANAGER,
        call::{Complaint, status, text, within},
        duty::Post,
        pace::Pace,
    },
    observe::events::Recorder,
    store::cluster::{Marks, Observed, ObservedPolicy},
};
use anyhow::Result;
use futures_util::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
    core::ApiResource,
};
use outrigger_engine::{
    PolicyId,
    clash::ClashIndex,
    policy::{API_VERSION, CLUSTER_KIND, CLUSTER_PLURAL, GROUP, NAMESPACED_KIND, NAMESPACED_PLURAL, VERSION},
    status::{Counts, PolicyStatus, READY, Readiness, TOLD_CLASHES},
};
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Writes in a second in the long run, and at once after a pause.
const PACE: (u32, u32) = (50, 50);
/// Writes under way at once.
const AT_ONCE: usize = 4;
/// Policies looked at before changes are taken up again.
const BATCH: usize = 50;
/// How long a policy is given to become ready before it is said that it is not: most then need one write.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often to ask what the replicas serve while something waits for that, and otherwise.
const ASK_SOON: Duration = Duration::from_secs(1);
const ASK: Duration = Duration::from_secs(10);
/// How often the counts of one policy are written.
const BETWEEN_COUNTS: Duration = Duration::from_secs(10);
/// The first and the longest pause after a write that failed.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// With more changes at once, everything is looked at again.
const FEW: usize = 100;

/// Writes the status of all policies.
pub(super) struct Writer {
    post: Post,
    observed: Arc<Observed>,
    place: Place,
    recorder: Recorder,
    index: ClashIndex,
    /// The policies of each name.
    names: HashMap<String, BTreeSet<PolicyId>>,
    known: HashMap<PolicyId, Arc<ObservedPolicy>>,
    queue: Queue,
    replicas: Replicas,
    /// Policies that not all replicas serve, and since when that is known.
    pending: HashMap<PolicyId, Instant>,
    counting: Counting,
    /// When the counts of a policy were last written.
    counted: HashMap<PolicyId, Instant>,
    pace: Pace,
    pause: Duration,
    complaint: Complaint,
}

/// What is known of the replicas.
struct Replicas {
    serve: Result<Vec<Marks>, String>,
    next_look: Instant,
}

/// A status to be written.
struct Write {
    id: PolicyId,
    seen: Arc<ObservedPolicy>,
    status: PolicyStatus,
    at: Instant,
}

impl Writer {
    pub(super) fn new(post: Post, observed: Arc<Observed>, place: Place, recorder: Recorder) -> Writer {
        Writer {
            post,
            observed,
            place,
            recorder,
            index: ClashIndex::default(),
            names: HashMap::new(),
            known: HashMap::new(),
            queue: Queue::default(),
            replicas: Replicas {
                serve: Ok(Vec::new()),
                next_look: Instant::now(),
            },
            pending: HashMap::new(),
            counting: Counting::default(),
            counted: HashMap::new(),
            pace: Pace::new(PACE.0, PACE.1),
            pause: FIRST_PAUSE,
            complaint: Complaint::default(),
        }
    }

    /// Goes on for as long as the lease is ours.
    pub(super) async fn run(mut self, mut counting: watch::Receiver<Counting>) {
        self.observed.begin();
        while self.post.term.is_ours() {
            let due = self
                .queue
                .next()
                .map_or(self.replicas.next_look, |next| next.min(self.replicas.next_look));
            let observed = Arc::clone(&self.observed);
            tokio::select! {
                changed = observed.changes() => self.take(&changed),
                Ok(()) = counting.changed() => {
                    let now = counting.borrow_and_update().clone();
                    self.take_counting(now);
                }
                () = sleep_until(due) => {}
            }
            if self.replicas.next_look <= Instant::now() {
                self.ask_replicas().await;
            }
            self.write_what_is_due().await;
        }
    }

    /// Takes up what has changed, and has those looked at whom it concerns.
    fn take(&mut self, changed: &HashSet<PolicyId>) {
        let few = changed.len() <= FEW;
        let mut concerned: HashSet<PolicyId> = changed.clone();
        let mut all = false;
        for id in changed {
            let seen = self.observed.get(id);
            let before = self.known.get(id);
            let same =
                matches!((&seen, before), (Some(seen), Some(before)) if Arc::ptr_eq(&seen.policy, &before.policy));
            if !same {
                all |= !few;
                self.concern(id, few, &mut concerned);
                match &seen {
                    Some(seen) => self.index.put(Arc::clone(&seen.policy)),
                    None => self.index.remove(id),
                }
                self.concern(id, few, &mut concerned);
            }
            self.remember(id, seen);
        }
        let now = Instant::now();
        if all {
            concerned.extend(self.known.keys().cloned());
        }
        concerned.into_iter().for_each(|id| self.queue.put(id, now));
    }

    /// Whose status may depend on this policy.
    fn concern(&self, id: &PolicyId, few: bool, concerned: &mut HashSet<PolicyId>) {
        if few {
            concerned.extend(self.index.neighbours(id).into_iter().cloned());
            let named = self.names.get(&id.name).filter(|_| id.namespace.is_none());
            concerned.extend(named.into_iter().flatten().cloned());
        }
    }

    fn remember(&mut self, id: &PolicyId, seen: Option<Arc<ObservedPolicy>>) {
        match seen {
            Some(seen) => {
                self.names.entry(id.name.clone()).or_default().insert(id.clone());
                self.known.insert(id.clone(), seen);
            }
            None => {
                self.known.remove(id);
                self.pending.remove(id);
                self.counted.remove(id);
                if let Some(named) = self.names.get_mut(&id.name) {
                    named.remove(id);
                    if named.is_empty() {
                        self.names.remove(&id.name);
                    }
                }
            }
        }
    }

    fn take_counting(&mut self, counting: Counting) {
        let is_other = |(id, seen): &(&PolicyId, &Arc<ObservedPolicy>)| {
            counting.of(id, &seen.policy) != self.counting.of(id, &seen.policy)
        };
        let other: Vec<PolicyId> = self.known.iter().filter(is_other).map(|(id, _)| id.clone()).collect();
        let now = Instant::now();
        other.into_iter().for_each(|id| self.queue.put(id, now));
        self.counting = counting;
    }

    async fn ask_replicas(&mut self) {
        let serve = match self.place.look(self.post.client.clone()).await {
            Ok(serve) => Ok(serve),
            Err(error) => Err(format!("which replicas serve it cannot be told: {}", text(&error))),
        };
        let now = Instant::now();
        if serve != self.replicas.serve {
            let waiting: Vec<PolicyId> = self.pending.keys().cloned().collect();
            waiting.into_iter().for_each(|id| self.queue.put(id, now));
            self.replicas.serve = serve;
        }
        let wait = if self.pending.is_empty() { ASK } else { ASK_SOON };
        self.replicas.next_look = now + wait;
    }

    fn readiness(&self, id: &PolicyId, seen: &ObservedPolicy) -> Readiness {
        // What all replicas once served they serve on; a new one begins with everything there is.
        let said = seen.status.condition(READY).filter(|ready| ready.status == "True");
        if said.is_some_and(|ready| ready.observed_generation == seen.own.observed_generation) {
            return Readiness::Served;
        }
        match &self.replicas.serve {
            Err(why) => Readiness::Unknown(why.clone()),
            Ok(serve) if serve.is_empty() => Readiness::Pending,
            Ok(serve) if serve.iter().all(|marks| marks.of(id) >= seen.served_from) => Readiness::Served,
            Ok(_) => Readiness::Pending,
        }
    }

    /// The status that a policy should have.
    fn wanted(&self, id: &PolicyId, seen: &ObservedPolicy, readiness: &Readiness) -> PolicyStatus {
        let cluster = PolicyId {
            namespace: None,
            name: id.name.clone(),
        };
        let shadowed = id.namespace.is_some() && self.known.contains_key(&cluster);
        let clashes = match shadowed {
            true => Vec::new(),
            false => self.index.clashes(id, TOLD_CLASHES + 1),
        };
        let counts = self
            .counting
            .of(id, &seen.policy)
            .unwrap_or_else(|| counts_of(&seen.status));
        seen.own
            .clone()
            .clashing(&seen.policy, &clashes)
            .shadowed(&seen.policy, shadowed)
            .ready(readiness)
            .counted(counts)
            .since(&seen.status, &now())
    }

    /// What is to be written of a policy, if it is to be written now.
    fn look(&mut self, id: &PolicyId) -> Option<(Arc<ObservedPolicy>, PolicyStatus)> {
        let seen = self.observed.get(id)?;
        let now = Instant::now();
        let readiness = self.readiness(id, &seen);
        let status = self.wanted(id, &seen, &readiness);
        let waits = readiness != Readiness::Served && seen.policy.errors().is_empty();
        if !waits {
            self.pending.remove(id);
        } else {
            if self.pending.is_empty() {
                self.replicas.next_look = self.replicas.next_look.min(now + ASK_SOON);
            }
            let until = *self.pending.entry(id.clone()).or_insert(now) + PATIENCE;
            if readiness == Readiness::Pending && now < until {
                self.queue.put(id.clone(), until);
                return None;
            }
        }
        if status.is_in(&seen.status) {
            return None;
        }
        let otherwise = status.clone().counted(counts_of(&seen.status));
        if otherwise.is_in(&seen.status) {
            let next = self.counted.get(id).map_or(now, |last| *last + BETWEEN_COUNTS);
            if now < next {
                self.queue.put(id.clone(), next);
                return None;
            }
        }
        if counts_of(&status) != counts_of(&seen.status) {
            self.counted.insert(id.clone(), now);
        }
        Some((seen, status))
    }

    async fn write_what_is_due(&mut self) {
        let mut writes = Vec::new();
        for _ in 0..BATCH {
            let now = Instant::now();
            let Some(id) = self.queue.pop(now) else { break };
            if let Some((seen, status)) = self.look(&id) {
                let at = self.pace.reserve(now);
                writes.push(Write { id, seen, status, at });
            }
        }
        if writes.is_empty() {
            return;
        }
        let outcomes: Vec<(Write, Result<u64>)> = stream::iter(writes)
            .map(|write| async {
                let outcome = self.write(&write).await;
                (write, outcome)
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut failures = Vec::new();
        for (write, outcome) in outcomes {
            failures.extend(self.written(write, outcome));
        }
        // The others mostly say the same of other policies.
        if let Some(first) = failures.first() {
            if let Some(text) = self.complaint.about(first) {
                tracing::error!("failed to write the status of a policy: {text}; trying on");
            }
            sleep_until(Instant::now() + self.pause).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        } else {
            self.pause = FIRST_PAUSE;
        }
    }

    /// Takes note of what came of a write; returns why it failed, if that is worth a pause.
    fn written(&mut self, write: Write, outcome: Result<u64>) -> Option<anyhow::Error> {
        let Write {
            id,
            seen,
            status: after,
            ..
        } = write;
        let error = match outcome {
            Ok(version) => {
                self.post.metrics.status_written(true);
                if self.complaint.over() {
                    tracing::info!("the status of policies can be written again");
                }
                for event in transitions::events(&id, &seen.uid, &seen.status, &after) {
                    self.recorder.record(event);
                }
                self.observed.wrote(&id, version, after);
                return None;
            }
            Err(error) => error,
        };
        match status(&error) {
            // It was deleted, or made anew, a moment ago.
            Some(404) => return None,
            Some(409) => {
                self.queue.put(id, Instant::now() + FIRST_PAUSE);
                return None;
            }
            _ => {}
        }
        self.post.metrics.status_written(false);
        self.queue.put(id, Instant::now());
        Some(error)
    }

    /// Writes a status; which version that made of the object.
    async fn write(&self, write: &Write) -> Result<u64> {
        sleep_until(write.at).await;
        anyhow::ensure!(self.post.term.is_ours(), "the lease is not ours any more");
        let (id, client) = (&write.id, self.post.client.clone());
        let (kind, plural) = match id.namespace {
            None => (CLUSTER_KIND, CLUSTER_PLURAL),
            Some(_) => (NAMESPACED_KIND, NAMESPACED_PLURAL),
        };
        let resource = ApiResource {
            group: GROUP.into(),
            version: VERSION.into(),
            api_version: API_VERSION.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        let api: Api<DynamicObject> = match &id.namespace {
            None => Api::all_with(client, &resource),
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        };
        let object = json!({
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": id.name, "uid": write.seen.uid},
            "status": write.status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = within(api.patch_status(&id.name, &params, &Patch::Apply(&object))).await?;
        let version = written.metadata.resource_version.as_deref().map(str::parse);
        Ok(version.and_then(Result::ok).unwrap_or_default())
    }
}

fn counts_of(status: &PolicyStatus) -> Counts {
    Counts {
        injected: status.injected,
        outdated: status.outdated,
        missing: status.missing,
        named: status.named,
        uncounted: status.uncounted.clone(),
    }
}

/// RFC 3339, to the second, as conditions have it.
fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
