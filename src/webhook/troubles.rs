//! Events about Pods that are refused, or go without a policy: whom they are about, and what they say.
//!
//! Anyone may send a review, and a Pod's author writes what it says of its owner. So an Event is about something in the
//! Pod's own namespace, by names that can be names, and holds no value of the Pod's.
use super::review::PodCreation;
use crate::observe::events::{Event, Recorder, Reference, Tone};
use outrigger_engine::{Namespace, OwnerReference, Trouble};

/// Events for one answer; a Pod that names a hundred policies needs no hundred.
const AT_MOST: usize = 8;
/// As long as the name of an object may be.
const NAME_BYTES: usize = 253;

/// Reports what an answer comes to.
pub(super) fn report(recorder: &Recorder, creation: &PodCreation<'_>, troubles: Vec<Trouble>) {
    let regarding = regarding(creation);
    // A Pod that is refused does not go without anything.
    let refused = troubles.iter().any(|trouble| trouble.refused);
    let worst = troubles.into_iter().filter(|trouble| trouble.refused == refused);
    for trouble in worst.take(AT_MOST) {
        recorder.record(event(&regarding, trouble));
    }
}

fn event(regarding: &Reference, trouble: Trouble) -> Event {
    let Trouble { policy, refused, why } = trouble;
    let note = match (&policy, refused) {
        (Some(policy), true) => format!("a Pod was refused: policy \"{}\": {why}", policy.name),
        (Some(policy), false) => format!("a Pod goes without policy \"{}\": {why}", policy.name),
        (None, _) => format!("a Pod was refused: {why}"),
    };
    Event {
        regarding: regarding.clone(),
        related: policy.map(|id| Reference::policy(&id, "")),
        tone: Tone::Warning,
        reason: if refused { "PodRefused" } else { "PolicyLeftOut" },
        action: "Admit",
        note,
    }
}

/// The Pod's controller, or else its namespace: the Pod itself is not there yet.
fn regarding(creation: &PodCreation<'_>) -> Reference {
    let namespace = creation.namespace.to_string();
    match creation.pod.controller().filter(is_plausible) {
        Some(owner) => Reference {
            api_version: owner.api_version,
            kind: owner.kind,
            namespace: Some(namespace),
            name: owner.name,
            uid: owner.uid,
        },
        None => Reference {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: namespace.clone(),
            namespace: Some(namespace),
            uid: String::new(),
        },
    }
}

fn is_plausible(owner: &OwnerReference) -> bool {
    let is_subdomain = |name: &str| name.len() <= NAME_BYTES && name.split('.').all(Namespace::can_be_named);
    let group_and_version = owner.api_version.rsplit_once('/');
    let version = group_and_version.map_or(owner.api_version.as_str(), |(_, version)| version);
    is_subdomain(&owner.name)
        && group_and_version.is_none_or(|(group, _)| is_subdomain(group))
        && Namespace::can_be_named(version)
        && Namespace::can_be_named(&owner.kind.to_ascii_lowercase())
        && owner.uid.len() <= 64
        && owner
            .uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::review::{Subject, read};
    use serde_json::{Value, json};

    fn regarded(owner: Value) -> Reference {
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"}, "namespace": "web", "operation": "CREATE",
            "object": {"metadata": {"ownerReferences": [owner]}}}})
        .to_string();
        let review = read(body.as_bytes()).unwrap();
        let Subject::PodCreation(creation) = review.subject else {
            panic!("not a Pod")
        };
        regarding(&creation)
    }

    #[test]
    fn an_event_is_about_the_controller_if_that_can_be_one_and_else_about_the_namespace() {
        let good = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d9", "uid": "0-1a", "controller": true});
        let reference = regarded(good.clone());
        assert_eq!((&*reference.kind, &*reference.name), ("ReplicaSet", "web-7d9"));
        assert_eq!(reference.namespace.as_deref(), Some("web"));
        for (field, value) in [
            ("controller", json!(false)),
            ("name", json!("a b")),
            ("name", json!("x".repeat(300))),
            ("name", json!("")),
            ("kind", json!("Secret\nvalue")),
            ("kind", json!("")),
            ("apiVersion", json!("apps/v1/x")),
            ("apiVersion", json!("")),
            ("uid", json!("${x}")),
        ] {
            let mut owner = good.clone();
            owner[field] = value;
            let reference = regarded(owner.clone());
            assert_eq!((&*reference.kind, &*reference.name), ("Namespace", "web"), "{owner}");
        }
    }
}
