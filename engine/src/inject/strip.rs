//! The Pod as it was before Outrigger, by its record: what expressions see as `object`, so that they say the same in both
//! calls.

use serde_json::Value;

use super::own::{is_exactly, is_named};
use super::record::{INJECTED, Injected, SKIPPED};
use crate::render::{Metrics, Rendered};
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
        let (names, additions) = (body.constant_names(), body.known_additions());
        for list in ["initContainers", "containers"] {
            retain(pod, list, |container| {
                !names.iter().any(|name| is_named(container, name))
            });
        }
        take_out(pod, additions);
        retain(pod, "volumes", |volume| {
            !additions.pod.volumes.iter().any(|ours| is_named(volume, &ours.name))
        });
    }
    if !injected.policies().is_empty() {
        retain(pod, "volumes", |volume| !is_our_volume(volume));
        each_container(pod, |container| {
            retain_in(container, "volumeMounts", |mount| !is_our_volume(mount))
        });
    }
}

/// Variables, mounts, labels and annotations that a policy adds to the application and to the Pod.
pub(super) fn take_out(pod: &mut Value, rendered: &Rendered) {
    let endpoints = rendered.helpers.iter().flat_map(|helper| &helper.endpoint_env);
    let env: Vec<&Value> = endpoints
        .chain(&rendered.app.env)
        .map(|variable| &*variable.value)
        .collect();
    let mounts: Vec<&Value> = rendered.app.mounts.iter().map(|mount| &*mount.value).collect();
    let is_one_of = |all: &[&Value], item: &Value| all.iter().any(|ours| is_exactly(item, ours, &[]));
    each_container(pod, |container| {
        retain_in(container, "env", |variable| !is_one_of(&env, variable));
        retain_in(container, "volumeMounts", |mount| !is_one_of(&mounts, mount));
    });
    let (labels, annotations) = (&rendered.pod.labels, &rendered.pod.annotations);
    retain_keys(pod, "labels", |key, value| {
        !labels.iter().any(|(k, v)| k == key && value == v)
    });
    retain_keys(pod, "annotations", |key, value| {
        !annotations.iter().any(|(k, v)| k == key && value == &**v)
    });
    for metrics in rendered.helpers.iter().filter_map(|helper| helper.metrics.as_ref()) {
        take_out_advertisement(pod, metrics);
    }
}

/// Metrics are advertised by all of these annotations, or by none.
fn take_out_advertisement(pod: &mut Value, metrics: &Metrics) {
    let ours = metrics.advertisement();
    let is_there = |(key, value): &(&str, String)| {
        let found = pod
            .get("metadata")
            .and_then(|metadata| metadata.get("annotations")?.get(key));
        found.and_then(Value::as_str) == Some(value)
    };
    if ours.iter().all(is_there) {
        retain_keys(pod, "annotations", |key, _| !ours.iter().any(|(ours, _)| *ours == key));
    }
}

/// An emptied map is taken out, as if it had never been made.
pub(super) fn retain_keys(pod: &mut Value, kind: &str, keep: impl Fn(&str, &Value) -> bool) {
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

pub(super) fn retain(pod: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
    if let Some(spec) = pod.get_mut("spec") {
        retain_in(spec, list, keep);
    }
}

/// An emptied list is taken out, as if it had never been made.
pub(super) fn retain_in(owner: &mut Value, list: &str, keep: impl Fn(&Value) -> bool) {
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

pub(super) fn each_container(pod: &mut Value, mut change: impl FnMut(&mut Value)) {
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
