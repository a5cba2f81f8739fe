//! Sends Events (events.k8s.io/v1): what happens again is counted in the Event that is there, not sent anew.
//!
//! Every replica sends those of the calls that it answered. What is sent is bounded in three ways: by the queue, for each
//! object (`series`), and for the API server ([`Pace`]).
mod series;

use super::{
    call::{Complaint, status, within},
    pace::Pace,
};
use crate::observe::{
    events::{Event, Reference, Tone},
    metrics::{Metrics, Told},
};
use anyhow::Result;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1 as events},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use series::{Due, Series, Taken};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::mpsc::Receiver,
    time::{Instant, sleep_until, timeout_at},
};

/// As whom Events are reported.
const CONTROLLER: &str = "outrigger.dev/outrigger";
/// Where Events about what has no namespace are, as the API server demands.
const NO_NAMESPACE: &str = "default";
/// How long a note may be, in bytes.
const NOTE_BYTES: usize = 1024;
/// How long the name of a replica may be.
const INSTANCE_BYTES: usize = 128;
/// How often to look whether something is to be counted up.
const TICK: Duration = Duration::from_secs(1);
/// Requests in a second, in the long run, and at once.
const PACE: (u32, u32) = (5, 25);

/// Sends what is recorded, until nobody can record any more. `instance` is this replica.
pub async fn run(client: Client, instance: String, mut recorded: Receiver<Event>, metrics: Arc<Metrics>) {
    let mut sender = Sender {
        client,
        instance: shortened(&instance, INSTANCE_BYTES).to_owned(),
        pace: Pace::new(PACE.0, PACE.1),
        complaint: Complaint::default(),
        metrics,
    };
    let mut series = Series::default();
    loop {
        match timeout_at(Instant::now() + TICK, recorded.recv()).await {
            Ok(Some(event)) => sender.take(&mut series, event).await,
            Ok(None) => return,
            Err(_) => {}
        }
        while let Some(due) = series.due(Instant::now()) {
            sender.count_up(&mut series, due).await;
        }
    }
}

struct Sender {
    client: Client,
    instance: String,
    pace: Pace,
    complaint: Complaint,
    metrics: Arc<Metrics>,
}

impl Sender {
    async fn take(&mut self, series: &mut Series, event: Event) {
        match series.take(&event, Instant::now()) {
            Taken::Again => {}
            Taken::TooMany => self.metrics.told(Told::Dropped),
            Taken::New { name } => {
                sleep_until(self.pace.reserve(Instant::now())).await;
                let namespace = namespace(&event.regarding);
                let api: Api<events::Event> = Api::namespaced(self.client.clone(), namespace);
                let sent = within(api.create(&PostParams::default(), &self.object(&event, name))).await;
                if let Err(error) = &sent {
                    // It may happen again when it can be sent.
                    series.forget(&event);
                    self.complain(error);
                }
                self.count(sent.map(drop));
            }
        }
    }

    async fn count_up(&mut self, series: &mut Series, due: Due) {
        sleep_until(self.pace.reserve(Instant::now())).await;
        let namespace = namespace(&due.event.regarding);
        let api: Api<events::Event> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({"series": {"count": due.count, "lastObservedTime": MicroTime(due.last)}});
        let sent = within(api.patch(&due.name, &PatchParams::default(), &Patch::Merge(&patch))).await;
        if let Err(error) = &sent {
            // The API server forgets Events after an hour.
            if status(error) == Some(404) {
                return series.forget(&due.event);
            }
            self.complain(error);
        }
        self.count(sent.map(drop));
    }

    fn object(&self, event: &Event, name: String) -> events::Event {
        let tone = match event.tone {
            Tone::Normal => "Normal",
            Tone::Warning => "Warning",
        };
        events::Event {
            metadata: ObjectMeta {
                name: Some(name),
                namespace: Some(namespace(&event.regarding).to_owned()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            type_: Some(tone.to_owned()),
            reason: Some(event.reason.to_owned()),
            action: Some(event.action.to_owned()),
            note: Some(shortened(&event.note, NOTE_BYTES).to_owned()),
            regarding: Some(reference(&event.regarding)),
            related: event.related.as_ref().map(reference),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..events::Event::default()
        }
    }

    fn count(&mut self, sent: Result<()>) {
        if sent.is_ok() && self.complaint.over() {
            tracing::info!("events can be sent again");
        }
        self.metrics.told(if sent.is_ok() { Told::Sent } else { Told::Failed });
    }

    fn complain(&mut self, error: &anyhow::Error) {
        if let Some(text) = self.complaint.about(error) {
            tracing::error!("failed to send an event: {text}");
        }
    }
}

fn namespace(regarding: &Reference) -> &str {
    regarding.namespace.as_deref().unwrap_or(NO_NAMESPACE)
}

fn reference(reference: &Reference) -> ObjectReference {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectReference {
        api_version: given(&reference.api_version),
        kind: given(&reference.kind),
        namespace: reference.namespace.clone(),
        name: given(&reference.name),
        uid: given(&reference.uid),
        ..ObjectReference::default()
    }
}

/// At most so many bytes of `text`.
fn shortened(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}
