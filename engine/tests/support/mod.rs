//! What the tests of the engine share: documents in, an admission out, a patch applied.

use std::sync::Arc;

use outrigger_engine::{Admission, Namespace, PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile};
use serde_json::{Value, json};

/// A snapshot of these policies and namespaces (as manifests); every policy must be one, accepted or not.
pub fn snapshot(policies: &[Value], namespaces: &[Value], settings: Settings) -> Snapshot {
    let policies = policies
        .iter()
        .map(|policy| Arc::new(compile(policy).expect("it is a policy")))
        .collect();
    Snapshot::new(policies, namespaces.iter().map(namespace).collect(), settings)
}

fn namespace(manifest: &Value) -> Namespace {
    let map = |key: &str| {
        let map = manifest["metadata"][key].as_object().cloned().unwrap_or_default();
        map.into_iter()
            .map(|(key, value)| (key, value.as_str().expect("a string").to_owned()))
            .collect()
    };
    Namespace {
        name: manifest["metadata"]["name"].as_str().expect("a name").to_owned(),
        labels: map("labels"),
        annotations: map("annotations"),
    }
}

/// Admits `pod` into `namespace`.
pub fn decide(snapshot: &Snapshot, namespace: &str, pod: &Value) -> Admission {
    let text = pod.to_string();
    let view: PodView<'_> = outrigger_engine::json::from_str(&text).expect("a Pod");
    admit(
        snapshot,
        &PodRequest {
            namespace,
            pod: &view,
            object: &|| serde_json::from_str(&text).ok(),
        },
    )
}

/// The patch of an admission; empty when nothing is changed.
pub fn patch_of(admission: &Admission) -> Value {
    match &admission.verdict {
        Verdict::Patched(patch) => serde_json::from_slice(patch).expect("a patch is JSON"),
        _ => json!([]),
    }
}

/// The Pod with a patch applied by the crate json-patch.
pub fn apply(pod: &Value, patch: &Value) -> Value {
    let mut pod = pod.clone();
    let patch: json_patch::Patch = serde_json::from_value(patch.clone()).expect("a JSON Patch");
    json_patch::patch(&mut pod, &patch).expect("the patch applies");
    pod
}

/// What the API server does to a Pod between its two calls, as far as the engine could trip over it: defaults,
/// canonical quantities, the token's mount, `managedFields`.
#[allow(dead_code)]
pub fn between_the_calls(pod: &Value) -> Value {
    let mut pod = pod.clone();
    pod["metadata"]["managedFields"] = json!([{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}]);
    for list in ["initContainers", "containers"] {
        let list = pod.get_mut("spec").and_then(|spec| spec.get_mut(list));
        let Some(containers) = list.and_then(Value::as_array_mut) else {
            continue;
        };
        for container in containers {
            server_defaults(container);
        }
    }
    pod
}

fn server_defaults(container: &mut Value) {
    container["terminationMessagePath"] = json!("/dev/termination-log");
    container["imagePullPolicy"] = json!("IfNotPresent");
    let memory = container.pointer("/resources/limits/memory").cloned();
    if memory == Some(json!("1024Mi")) {
        container["resources"]["limits"]["memory"] = json!("1Gi");
    }
    for port in container
        .get_mut("ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        port.as_object_mut()
            .expect("a port")
            .entry("protocol")
            .or_insert(json!("TCP"));
    }
    for variable in container
        .get_mut("env")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        if let Some(field) = variable
            .pointer_mut("/valueFrom/fieldRef")
            .and_then(Value::as_object_mut)
        {
            field.entry("apiVersion").or_insert(json!("v1"));
        }
    }
    let directory = "/var/run/secrets/kubernetes.io/serviceaccount";
    let mounts = container
        .as_object_mut()
        .expect("a container")
        .entry("volumeMounts")
        .or_insert(json!([]));
    let mounts = match mounts {
        Value::Array(mounts) => mounts,
        other => {
            *other = json!([]);
            other.as_array_mut().expect("just made")
        }
    };
    if !mounts.iter().any(|mount| mount["mountPath"] == directory) {
        mounts.push(json!({"name": "kube-api-access-x", "mountPath": directory, "readOnly": true}));
    }
}

/// A value without members that are `null`, `{}` or `[]`.
#[allow(dead_code)]
pub fn prune(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let pruned = members.iter().map(|(key, value)| (key.clone(), prune(value)));
            Value::Object(
                pruned
                    .filter(|(_, value)| !matches!(value.to_string().as_str(), "null" | "{}" | "[]"))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(prune).collect(),
        scalar => scalar.clone(),
    }
}
