//! What is worth an Event, on its way from where it happens to who sends it.
//!
//! Whoever reports never waits: there is a bounded queue, and what does not fit is dropped and counted. It knows nothing of
//! the API server.
use super::metrics::{Metrics, Told};
use outrigger_engine::{
    PolicyId,
    policy::{API_VERSION, CLUSTER_KIND, NAMESPACED_KIND},
};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that wait to be sent.
const WAITING: usize = 256;

/// Whether it is as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// It is.
    Normal,
    /// It is not.
    Warning,
}

/// An object of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Reference {
    /// Of its kind.
    pub api_version: String,
    /// Of the object.
    pub kind: String,
    /// `None`: it is cluster-scoped.
    pub namespace: Option<String>,
    /// Of the object.
    pub name: String,
    /// Empty: not known.
    pub uid: String,
}

impl Reference {
    /// A policy.
    pub fn policy(id: &PolicyId, uid: &str) -> Reference {
        let kind = if id.namespace.is_some() {
            NAMESPACED_KIND
        } else {
            CLUSTER_KIND
        };
        Reference {
            api_version: API_VERSION.to_owned(),
            kind: kind.to_owned(),
            namespace: id.namespace.clone(),
            name: id.name.clone(),
            uid: uid.to_owned(),
        }
    }
}

/// Something that happened to an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// To whom.
    pub regarding: Reference,
    /// For what.
    pub related: Option<Reference>,
    /// Whether that is as it should be.
    pub tone: Tone,
    /// Why, in one word.
    pub reason: &'static str,
    /// What was done, in one word.
    pub action: &'static str,
    /// For people.
    pub note: String,
}

/// Where to report.
#[derive(Debug, Clone)]
pub struct Recorder {
    sender: Sender<Event>,
    metrics: Arc<Metrics>,
}

impl Recorder {
    /// A recorder, and what it records.
    pub fn new(metrics: Arc<Metrics>) -> (Recorder, Receiver<Event>) {
        let (sender, receiver) = channel(WAITING);
        (Recorder { sender, metrics }, receiver)
    }

    /// Reports; what does not fit is dropped.
    pub fn record(&self, event: Event) {
        if self.sender.try_send(event).is_err() {
            self.metrics.told(Told::Dropped);
        }
    }
}
