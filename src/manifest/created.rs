//! The Pod that a controller will make of a template, as far as that is known beforehand.
use serde_json::{Value, json};

use super::Owner;

/// What conditions see of a Pod, or of a template in whose place they see the Pod.
pub fn as_created(mut pod: Value, owner: Option<&Owner>, namespace: &str) -> Value {
    if !pod.is_object() {
        pod = json!({});
    }
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    if !pod["metadata"].is_object() {
        pod["metadata"] = json!({});
    }
    let metadata = &mut pod["metadata"];
    metadata["namespace"] = namespace.into();
    let Some(owner) = owner else { return pod };
    metadata["ownerReferences"] = json!([{
        "apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name,
        "uid": "00000000-0000-0000-0000-000000000000", "controller": true, "blockOwnerDeletion": true,
    }]);
    match owner.kind {
        "StatefulSet" => metadata["name"] = format!("{}-0", owner.name).into(),
        _ => metadata["generateName"] = format!("{}-", owner.name).into(),
    }
    pod
}
