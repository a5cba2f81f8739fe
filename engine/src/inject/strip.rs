//! The Pod as it was before Outrigger: what expressions see as `object`, so that they say the same in both calls.

use serde_json::Value;

use super::own::is_named;
use super::record::{INJECTED, Injected, SKIPPED};
use crate::render::Rendered;
use crate::snapshot::Snapshot;

/// Takes out what the recorded policies add, as far as that does not itself depend on the Pod.
pub(super) fn strip(pod: &mut Value, injected: &Injected<'_>, snapshot: &Snapshot, namespace: &str) {
    retain_keys(pod, "annotations", |key, _| {
        key != INJECTED && key != SKIPPED && !is_file(key)
    });
    retain_keys(pod, "labels", |key, _| key != INJECTED);
    for policy in injected.policies() {
        let Some(body) = snapshot.visible(policy, namespace).and_then(|policy| policy.body()) else {
            continue;
        };
        let names = body.constant_names();
        for list in ["initContainers", "containers"] {
            retain(pod, list, |container| {
                !names.iter().any(|name| is_named(container, name))
            });
        }
        take_out(pod, body.known_additions());
    }
    if !injected.policies().is_empty() {
        retain(pod, "volumes", |volume| !is_our_volume(volume));
        each_container(pod, |container| {
            retain_in(container, "volumeMounts", |mount| !is_our_volume(mount))
        });
    }
}

/// Variables, labels, annotations and volumes that a policy adds with constant values.
fn take_out(pod: &mut Value, rendered: &Rendered) {
    let endpoints = rendered.helpers.iter().flat_map(|helper| &helper.endpoint_env);
    let env: Vec<&Value> = endpoints
        .chain(&rendered.app.env)
        .map(|variable| &*variable.value)
        .collect();
    let mounts: Vec<&Value> = rendered.app.mounts.iter().map(|mount| &*mount.value).collect();
    each_container(pod, |container| {
        retain_in(container, "env", |variable| !env.contains(&variable));
        retain_in(container, "volumeMounts", |mount| !mounts.contains(&mount));
    });
    let (labels, annotations) = (&rendered.pod.labels, &rendered.pod.annotations);
    retain_keys(pod, "labels", |key, value| {
        !labels.iter().any(|(k, v)| k == key && value == v)
    });
    retain_keys(pod, "annotations", |key, value| {
        !annotations.iter().any(|(k, v)| k == key && value == &**v)
    });
    if rendered.helpers.iter().any(|helper| helper.metrics.is_some()) {
        retain_keys(pod, "annotations", |key, _| !key.starts_with("prometheus.io/"));
    }
    retain(pod, "volumes", |volume| {
        !rendered.pod.volumes.iter().any(|ours| is_named(volume, &ours.name))
    });
}

/// An emptied map is taken out, as if it had never been made.
fn retain_keys(pod: &mut Value, kind: &str, keep: impl Fn(&str, &Value) -> bool) {
    let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let Some(map) = metadata.get_mut(kind).and_then(Value::as_object_mut) else {
        return;
    };
    let before = map.len();
    map.retain(|key, value| keep(key, value));
    if map.is_empty() && before > 0 {
        metadata.shift_remove(kind);
    }
}

fn retain(pod: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(spec) = pod.get_mut("spec") {
        retain_in(spec, list, keep);
    }
}

/// An emptied list is taken out, as if it had never been made.
fn retain_in(owner: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
    let Some(items) = owner.get_mut(list).and_then(Value::as_array_mut) else {
        return;
    };
    let before = items.len();
    items.retain(keep);
    if items.is_empty()
        && before > 0
        && let Some(owner) = owner.as_object_mut()
    {
        owner.shift_remove(list);
    }
}

fn each_container(pod: &mut Value, mut change: impl FnMut(&mut Value)) {
    for list in ["initContainers", "containers"] {
        let containers = pod
            .get_mut("spec")
            .and_then(|spec| spec.get_mut(list))
            .and_then(Value::as_array_mut);
        containers.into_iter().flatten().for_each(&mut change);
    }
}

fn is_our_volume(item: &Value) -> bool {
    item.get("name")
        .and_then(Value::as_str)
        .is_some_and(|name| name.starts_with("outrigger-"))
}

fn is_file(key: &str) -> bool {
    key.split_once('/')
        .is_some_and(|(domain, _)| domain.ends_with(".files.outrigger.dev"))
}
