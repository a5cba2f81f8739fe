//! Counts the Pods that carry each policy, and those that lack it.
//!
//! Of Pods that run, metadata alone is asked for, and of that are kept labels and two annotations; Pods that are alike share
//! them. Only injected Pods are watched, by their label, unless some policy selects Pods by `match`: which of them lack it can
//! only be told of all.
use crate::controller::{
    call::{Complaint, status, text},
    duty::Post,
};
use futures_util::StreamExt;
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use outrigger_engine::{
    CompiledPolicy, PodView, PolicyId, Snapshot, Standing, json, missing_is_not_told, named, standings, status::Counts,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

/// The label that injected Pods have.
const INJECTED: &str = "outrigger.dev/injected=true";
/// Pods that have ended carry nothing any more.
const RUNNING: &str = "status.phase!=Succeeded,status.phase!=Failed";
/// The annotations that say what a Pod wants and has.
const ANNOTATIONS: [&str; 3] = [
    "outrigger.dev/inject",
    "outrigger.dev/injected",
    "kubernetes.io/config.mirror",
];
/// How often to count at most, and to look whether anything has changed.
const BETWEEN: Duration = Duration::from_secs(1);
/// The first and the longest pause after an error.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// As long as the reason for an absent count may be.
const REASON_CHARS: usize = 1000;

/// What is known of Pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) enum Counting {
    /// Nothing yet.
    #[default]
    Unknown,
    /// They are not counted, and why.
    Not(String),
    /// So many of each policy; of others, none.
    Counted(Arc<HashMap<PolicyId, Tally>>),
}

/// How many Pods stand how to a policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    current: i64,
    outdated: i64,
    missing: i64,
    named: i64,
}

impl Counting {
    pub(super) fn not_asked_for() -> Counting {
        let way_out = "outrigger serve --count-pods counts them, with the ClusterRole outrigger-pods";
        Counting::Not(format!("Pods are not counted here; {way_out}"))
    }

    /// The counts of a policy; `None`: not known yet.
    pub(super) fn of(&self, id: &PolicyId, policy: &CompiledPolicy) -> Option<Counts> {
        match self {
            Counting::Unknown => None,
            Counting::Not(why) => Some(Counts {
                uncounted: Some(why.clone()),
                ..Counts::default()
            }),
            Counting::Counted(tallies) => {
                let tally = tallies.get(id).copied().unwrap_or_default();
                let untold = missing_is_not_told(policy);
                Some(Counts {
                    injected: Some(tally.current + tally.outdated),
                    outdated: Some(tally.outdated),
                    missing: untold.is_none().then_some(tally.missing),
                    named: Some(tally.named),
                    uncounted: untold.map(|why| format!("missing: {why}")),
                })
            }
        }
    }
}

/// Counts without an end, and says what comes of it.
pub(super) async fn count(post: Post, counting: watch::Sender<Counting>) {
    let mut complaint = Complaint::default();
    let mut pause = FIRST_PAUSE;
    loop {
        let of_all = needs_all(&post.current.load());
        let mut pods = Pods::default();
        let Err(error) = follow(&post, of_all, &mut pods, &counting, &mut complaint).await else {
            pause = FIRST_PAUSE;
            continue;
        };
        if let Some(text) = complaint.about(&error) {
            tracing::error!("failed to count Pods: {text}; trying on");
        }
        if status(&error) == Some(403) {
            let why = format!(
                "Pods cannot be counted: {}; bind the ClusterRole outrigger-pods",
                text(&error)
            );
            counting.send_replace(Counting::Not(why.chars().take(REASON_CHARS).collect()));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether some policy can have Pods that lack it.
fn needs_all(snapshot: &Snapshot) -> bool {
    snapshot
        .policies()
        .iter()
        .any(|policy| missing_is_not_told(policy).is_none())
}

/// Follows Pods, until others are needed.
///
/// # Errors
/// When they cannot be listed or watched; what was known is out of date then.
async fn follow(
    post: &Post,
    of_all: bool,
    pods: &mut Pods,
    counting: &watch::Sender<Counting>,
    complaint: &mut Complaint,
) -> anyhow::Result<()> {
    let api: Api<PartialObjectMeta<Pod>> = Api::all(post.client.clone());
    let config = watcher::Config::default().fields(RUNNING);
    let config = if of_all { config } else { config.labels(INJECTED) };
    let mut events = pin!(watcher::watcher(api, config));
    let mut counted: Option<Arc<Snapshot>> = None;
    let mut next = Instant::now() + BETWEEN;
    loop {
        match timeout_at(next, events.next()).await {
            Ok(Some(Ok(event))) => pods.take(event),
            Ok(Some(Err(error))) => return Err(cause(error)),
            Ok(None) => return Ok(()),
            Err(_) => {
                next = Instant::now() + BETWEEN;
                let snapshot = post.current.load_full();
                if needs_all(&snapshot) != of_all {
                    return Ok(());
                }
                let same = counted.as_ref().is_some_and(|counted| Arc::ptr_eq(counted, &snapshot));
                if pods.complete && (pods.changed || !same) {
                    complaint.over();
                    pods.changed = false;
                    let now = Counting::Counted(Arc::new(pods.tally(&snapshot)));
                    counting.send_if_modified(|before| {
                        let is_other = *before != now;
                        *before = now;
                        is_other
                    });
                    counted = Some(snapshot);
                }
            }
        }
    }
}

/// What the API server says, below what the watcher says.
fn cause(error: watcher::Error) -> anyhow::Error {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => said(error),
        watcher::Error::WatchError(status) => said(kube::Error::Api(status)),
        error => error.into(),
    }
}

fn said(error: kube::Error) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) => {
            let said = format!("{} ({})", status.message, status.code);
            anyhow::Error::new(error).context(said)
        }
        _ => error.into(),
    }
}

/// The Pods that run.
#[derive(Debug, Default)]
struct Pods {
    present: Replica,
    arriving: Replica,
    complete: bool,
    changed: bool,
}

/// Pods by name, and how many there are of each kind.
#[derive(Debug, Default)]
struct Replica {
    kinds: HashMap<Box<str>, Kind>,
    alike: HashMap<Kind, i64>,
}

/// What Pods have in common that are alike: a namespace, and as much metadata as matters, as JSON.
type Kind = Arc<(Box<str>, Box<str>)>;

impl Pods {
    fn take(&mut self, event: Event<PartialObjectMeta<Pod>>) {
        match event {
            Event::Init => self.arriving = Replica::default(),
            Event::InitApply(pod) => {
                self.arriving.put(&pod.metadata);
            }
            Event::InitDone => {
                self.present = std::mem::take(&mut self.arriving);
                self.complete = true;
                self.changed = true;
            }
            Event::Apply(pod) => self.changed |= self.present.put(&pod.metadata),
            Event::Delete(pod) => self.changed |= self.present.remove(&pod.metadata),
        }
    }

    /// How many Pods stand how to each policy.
    fn tally(&self, snapshot: &Snapshot) -> HashMap<PolicyId, Tally> {
        let mut tallies: HashMap<PolicyId, Tally> = HashMap::new();
        for (kind, count) in &self.present.alike {
            let (namespace, text) = &**kind;
            let Ok(pod) = json::from_str::<PodView<'_>>(text) else {
                continue;
            };
            for (id, standing) in standings(snapshot, namespace, &pod) {
                let tally = tallies.entry(id).or_default();
                match standing {
                    Standing::Current => tally.current += count,
                    Standing::Outdated => tally.outdated += count,
                    Standing::Missing => tally.missing += count,
                }
            }
            for id in named(snapshot, namespace, &pod) {
                tallies.entry(id).or_default().named += count;
            }
        }
        tallies
    }
}

impl Replica {
    /// A Pod is there, or has changed; whether that changes what is counted.
    fn put(&mut self, metadata: &ObjectMeta) -> bool {
        let (Some(name), Some(kind)) = (key(metadata), kind(metadata)) else {
            return false;
        };
        let kind = match self.alike.get_key_value(&kind) {
            Some((shared, _)) => Arc::clone(shared),
            None => kind,
        };
        *self.alike.entry(Arc::clone(&kind)).or_default() += 1;
        let before = self.kinds.insert(name, Arc::clone(&kind));
        let same = before.as_ref() == Some(&kind);
        self.less(before);
        !same
    }

    /// A Pod is gone; whether it was there.
    fn remove(&mut self, metadata: &ObjectMeta) -> bool {
        let before = key(metadata).and_then(|name| self.kinds.remove(&name));
        let was_there = before.is_some();
        self.less(before);
        was_there
    }

    fn less(&mut self, kind: Option<Kind>) {
        let Some(kind) = kind else { return };
        if let Some(count) = self.alike.get_mut(&kind) {
            *count -= 1;
            if *count <= 0 {
                self.alike.remove(&kind);
            }
        }
    }
}

/// What matters of a Pod.
fn kind(metadata: &ObjectMeta) -> Option<Kind> {
    let namespace = metadata.namespace.as_deref()?;
    let annotations = metadata.annotations.iter().flatten();
    let annotations: BTreeMap<&String, &String> = annotations
        .filter(|(key, _)| ANNOTATIONS.contains(&key.as_str()))
        .collect();
    let json = json!({"metadata": {"labels": metadata.labels, "annotations": annotations}}).to_string();
    Some(Arc::new((namespace.into(), json.into())))
}

fn key(metadata: &ObjectMeta) -> Option<Box<str>> {
    let (namespace, name) = (metadata.namespace.as_ref()?, metadata.name.as_ref()?);
    Some(format!("{namespace}/{name}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, labels: serde_json::Value, record: &str) -> PartialObjectMeta<Pod> {
        serde_json::from_value(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {
            "namespace": "web", "name": name, "labels": labels,
            "annotations": {"outrigger.dev/injected": record, "large": "x".repeat(1000)}}}),
        )
        .unwrap()
    }

    #[test]
    fn pods_that_are_alike_are_kept_once() {
        let mut pods = Pods::default();
        pods.take(Event::Init);
        for number in 0..100 {
            pods.take(Event::InitApply(pod(&number.to_string(), json!({"a": "b"}), "p@1")));
        }
        assert!(!pods.complete);
        pods.take(Event::InitDone);
        assert_eq!((pods.present.kinds.len(), pods.present.alike.len()), (100, 1));
        let kind = pods.present.alike.keys().next().unwrap();
        assert!(kind.1.len() < 100, "{}", kind.1);

        pods.changed = false;
        pods.take(Event::Apply(pod("7", json!({"a": "b"}), "p@1")));
        assert!(!pods.changed);
        pods.take(Event::Apply(pod("7", json!({"a": "b"}), "p@2")));
        pods.take(Event::Delete(pod("8", json!({}), "")));
        assert!(pods.changed);
        let mut counts: Vec<i64> = pods.present.alike.values().copied().collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 98]);
        // A new list replaces what was there.
        pods.take(Event::Init);
        pods.take(Event::InitDone);
        assert!(pods.present.kinds.is_empty() && pods.present.alike.is_empty());
    }
}
