//! What each replica serves, as the replicas tell each other.
//!
//! Each has a small Lease of its own, renewed every ten seconds, with the resource version up to which it serves the policies
//! of each kind. So the leader can tell of any number of policies whether all replicas serve them, and none of them writes
//! anything to a policy. A replica whose Lease has run out is gone; one that is told to stop takes its Lease away. Clocks of
//! nodes need to agree to some seconds.
use crate::{
    controller::{
        Stopped,
        apply::FIELD_MANAGER,
        call::{Complaint, status, text, within},
        owner::Owner,
    },
    store::cluster::{Marks, Observed},
};
use anyhow::Result;
use k8s_openapi::{api::coordination::v1::Lease, apimachinery::pkg::apis::meta::v1::MicroTime, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How often a replica says that it is there.
const RENEWAL: Duration = Duration::from_secs(10);
/// Who has not said so for this long is gone.
const DURATION: Duration = Duration::from_secs(30);
/// How soon a change of what is served is noticed, and how soon after the last time it is told.
const GLANCE: Duration = Duration::from_millis(200);
const BETWEEN: Duration = Duration::from_secs(1);
/// Leases of replicas that have been gone for so long are removed.
const LEFT_BEHIND: Duration = Duration::from_secs(600);
/// By this label they are found; its value is the Service's name.
const REPLICA_OF: &str = "outrigger.dev/replica-of";
/// What is served: `clusterinjectionpolicies=12,injectionpolicies=34`.
const SERVED: &str = "outrigger.dev/served";

/// Where the replicas tell each other.
#[derive(Debug, Clone)]
pub struct Place {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub service: String,
}

impl Place {
    fn leases(&self, client: Client) -> Api<Lease> {
        Api::namespaced(client, &self.namespace)
    }

    /// The name of a replica's Lease: `outrigger-replica-7d9f-x2x4q`.
    fn lease(&self, identity: &str) -> String {
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        };
        let identity: String = identity.chars().map(plain).take(150).collect();
        format!("{}-replica-{}", self.service, identity.trim_matches('-'))
    }
}

/// Tells what this replica serves, from when it serves anything on until it is stopped, and then no more. The ClusterRole
/// `owner` owns what it writes.
pub async fn tell(
    client: Client,
    place: Place,
    identity: String,
    owner: Option<String>,
    observed: Arc<Observed>,
    mut stopped: Stopped,
) {
    let owner = owner.map(|name| Owner::new(client.clone(), &name));
    let api = place.leases(client);
    let (name, mut complaint) = (place.lease(&identity), Complaint::default());
    let mut told: Option<(Marks, Instant)> = None;
    let mut pause = Duration::ZERO;
    // A write is not broken off: it could come after the end.
    while !stopped.within(pause).await {
        pause = GLANCE;
        let due = observed.served().filter(|_| match &told {
            None => true,
            Some((marks, at)) => at.elapsed() >= RENEWAL || (at.elapsed() >= BETWEEN && !observed.newest_is_in(marks)),
        });
        let Some(marks) = due else { continue };
        let mut lease = place.manifest(&name, &identity, &marks);
        match write(&api, &name, &mut lease, owner.as_ref()).await {
            Ok(_) => {
                if complaint.over() {
                    tracing::info!("what this replica serves is told again");
                }
                told = Some((marks, Instant::now()));
            }
            Err(error) => {
                if let Some(text) = complaint.about(&error) {
                    tracing::error!("failed to tell what this replica serves: {text}; trying on");
                }
                pause = RENEWAL / 2;
            }
        }
    }
    if told.is_some()
        && let Err(error) = within(api.delete(&name, &DeleteParams::default())).await
    {
        let text = text(&error);
        tracing::warn!("failed to tell that this replica serves no more: {text}; others see it in half a minute");
    }
}

async fn write(api: &Api<Lease>, name: &str, lease: &mut serde_json::Value, owner: Option<&Owner>) -> Result<()> {
    if let Some(owner) = owner {
        lease["metadata"]["ownerReferences"] = json!([owner.reference().await?]);
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    within(api.patch(name, &params, &Patch::Apply(&lease))).await.map(drop)
}

impl Place {
    fn manifest(&self, name: &str, identity: &str, marks: &Marks) -> serde_json::Value {
        json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "labels": {REPLICA_OF: self.service},
                "annotations": {SERVED: written(marks)},
            },
            "spec": {
                "holderIdentity": identity,
                "leaseDurationSeconds": DURATION.as_secs(),
                "renewTime": MicroTime(Timestamp::now()),
            },
        })
    }

    /// What the replicas serve that are there.
    ///
    /// # Errors
    /// When their Leases cannot be read.
    pub(super) async fn look(&self, client: Client) -> Result<Vec<Marks>> {
        let api = self.leases(client);
        let of_service = ListParams::default().labels(&format!("{REPLICA_OF}={}", self.service));
        let leases = within(api.list(&of_service)).await?;
        let now = Timestamp::now();
        let mut found = Vec::new();
        for lease in leases.items {
            match silence(&lease, now) {
                silence if silence < DURATION => found.push(read(&lease)),
                silence if silence >= LEFT_BEHIND => remove(&api, &lease).await,
                _ => {}
            }
        }
        Ok(found)
    }
}

/// For how long a replica has said nothing.
fn silence(lease: &Lease, now: Timestamp) -> Duration {
    let renewed = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    let since = renewed.map(|time| now.duration_since(time.0));
    since.map_or(Duration::MAX, |since| since.try_into().unwrap_or_default())
}

/// It may just have come back; the version says whether it has.
async fn remove(api: &Api<Lease>, lease: &Lease) {
    let Some(name) = &lease.metadata.name else { return };
    let unchanged = kube::api::Preconditions {
        resource_version: lease.metadata.resource_version.clone(),
        uid: None,
    };
    let params = DeleteParams {
        preconditions: Some(unchanged),
        ..DeleteParams::default()
    };
    match within(api.delete(name, &params)).await {
        Err(error) if !matches!(status(&error), Some(404 | 409)) => {
            tracing::debug!("failed to remove the Lease of a replica that is gone: {error:#}");
        }
        _ => {}
    }
}

fn written(marks: &Marks) -> String {
    let Marks { cluster, namespaced } = marks;
    format!("clusterinjectionpolicies={cluster},injectionpolicies={namespaced}")
}

/// What cannot be read counts as nothing being served.
fn read(lease: &Lease) -> Marks {
    let annotations = lease.metadata.annotations.as_ref();
    let text = annotations
        .and_then(|annotations| annotations.get(SERVED))
        .map_or("", String::as_str);
    let mut marks = Marks::default();
    for (kind, version) in text.split(',').filter_map(|term| term.split_once('=')) {
        let version = version.parse().unwrap_or_default();
        match kind {
            "clusterinjectionpolicies" => marks.cluster = version,
            "injectionpolicies" => marks.namespaced = version,
            _ => {}
        }
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(marks: &Marks) -> Lease {
        let place = Place {
            namespace: "outrigger-system".into(),
            service: "outrigger".into(),
        };
        let name = place.lease("Outrigger-7D9f_x2.Local-");
        assert_eq!(name, "outrigger-replica-outrigger-7d9f-x2-local");
        serde_json::from_value(place.manifest(&name, "a", marks)).unwrap()
    }

    #[test]
    fn what_is_told_is_read() {
        let marks = Marks {
            cluster: 12,
            namespaced: u64::MAX,
        };
        let mut lease = lease(&marks);
        assert_eq!(read(&lease), marks);
        lease.metadata.annotations = Some([(SERVED.to_owned(), "a,b=c,injectionpolicies=x".to_owned())].into());
        assert_eq!(read(&lease), Marks::default());
    }

    #[test]
    fn who_says_nothing_for_a_while_is_gone() {
        let mut lease = lease(&Marks::default());
        let now = Timestamp::now();
        assert!(silence(&lease, now) < DURATION);
        // Another node's clock may be ahead.
        assert!(silence(&lease, now - Duration::from_secs(5)) < DURATION);
        assert!(silence(&lease, now + Duration::from_secs(31)) > DURATION);
        lease.spec = None;
        assert!(silence(&lease, now) > LEFT_BEHIND);
    }
}
