//! Reviews as the API server writes them.
use serde_json::{Value, json};

pub const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

/// The creation of a Pod.
pub fn creation() -> Value {
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": UID,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": "web",
            "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["a"]},
            "object": pod(),
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        }
    })
}

pub fn pod() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"generateName": "nginx-", "creationTimestamp": null, "labels": {"app": "nginx"}},
        "spec": {"containers": [{"name": "nginx", "image": "nginx:1.29"}], "futureField": {"x": [1]}},
        "status": {},
    })
}

/// The creation of a Pod, with one thing changed.
pub fn creation_with(pointer: &str, value: Value) -> String {
    let mut review = creation();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    review.pointer_mut(parent).unwrap()[key] = value;
    review.to_string()
}

/// The creation of a Pod, in a review of exactly this many bytes.
pub fn creation_of_size(bytes: usize) -> String {
    let empty = creation_with("/request/object/metadata/padding", "".into());
    creation_with(
        "/request/object/metadata/padding",
        "x".repeat(bytes - empty.len()).into(),
    )
}
