//! The label of the own Pod: there while this process leads, so that a Service can select the leader's Pod.
//!
//! A label is written after the fact and stays when the process is killed, so it says where to look for the leader, not who it is.
use super::{complaints::Complaints, election::Election};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Error,
    api::{Patch, PatchParams},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Its value is the election's name.
pub const LABEL: &str = "outrigger.dev/leader";

/// A term can end by time alone, which nobody tells.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Keeps the label in step with one election.
pub struct Label {
    pods: Api<Pod>,
    namespace: String,
    pod: String,
    uid: Option<String>,
    election: Arc<Election>,
    complaints: Complaints,
    call: Duration,
    retry: Duration,
}

impl Label {
    /// The label of this Pod. With `uid`, a later Pod of the same name is let alone.
    pub fn new(
        client: Client,
        namespace: &str,
        (pod, uid): (&str, Option<String>),
        election: Arc<Election>,
        (call, retry): (Duration, Duration),
    ) -> Label {
        Label {
            pods: Api::namespaced(client, namespace),
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid,
            complaints: Complaints::new(election.name()),
            election,
            call,
            retry,
        }
    }

    /// Until `stop`; then the label is taken away.
    pub async fn keep(self, stop: CancellationToken) {
        let mut changes = self.election.changes();
        // What an earlier process of this Pod left behind is not known.
        let mut labelled = None;
        while !stop.is_cancelled() {
            let leads = self.election.leads();
            let mut pause = LOOK_EVERY;
            if labelled != Some(leads) {
                labelled = self.write(leads).await.then_some(leads);
                if labelled.is_none() {
                    pause = self.retry;
                }
            }
            tokio::select! {
                _ = changes.changed(), if labelled.is_some() => {}
                () = sleep(pause) => {}
                () = stop.cancelled() => {}
            }
        }
        if labelled != Some(false) {
            self.write(false).await;
        }
    }

    async fn write(&self, leads: bool) -> bool {
        let value = leads.then(|| self.election.name());
        let mut patch = json!({"metadata": {"labels": {LABEL: value}}});
        if let Some(uid) = &self.uid {
            patch["metadata"]["uid"] = json!(uid);
        }
        let (options, patch) = (PatchParams::default(), Patch::Merge(patch));
        let written = timeout(self.call, self.pods.patch_metadata(&self.pod, &options, &patch)).await;
        let problem = match written {
            Ok(Ok(_)) => {
                self.complaints.settle();
                return true;
            }
            Ok(Err(Error::Api(status))) if status.is_forbidden() => format!(
                "not permitted to patch Pod {:?} in namespace {:?}, which --label-pod needs; there is a Role for that in rbac-label.yaml \
                 of the policy leader-elector: {}",
                self.pod, self.namespace, status.message
            ),
            Ok(Err(Error::Api(status))) => format!("failed to label Pod {:?}: {}", self.pod, status.message),
            Ok(Err(error)) => format!("failed to label Pod {:?}: {error}", self.pod),
            Err(_) => format!("failed to label Pod {:?}: no answer within {:?}", self.pod, self.call),
        };
        self.complaints.raise(problem);
        false
    }
}
