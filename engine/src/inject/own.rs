//! Telling our own work from somebody else's: does what is there hold everything that a policy renders?
//!
//! The API server calls twice after a mutation, with the Pod decoded, defaulted and encoded in between. So fields that
//! were added do not matter, an empty field may have gone, and a quantity may be spelt in another way.

use serde_json::{Map, Value};

use crate::pod::EnvVar;
use crate::quantity;

/// Scalars that Kubernetes' encoder leaves out when they are zero (`omitempty` on a field that is no pointer).
const DROPPED_WHEN_ZERO: [&str; 9] = [
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "value",
    "subPath",
    "subPathExpr",
    "workingDir",
    "initialDelaySeconds",
];

/// Maps that it leaves out when they are empty. An empty struct says something: `emptyDir: {}` is a source.
const DROPPED_WHEN_EMPTY: [&str; 6] = [
    "resources",
    "limits",
    "requests",
    "matchLabels",
    "volumeAttributes",
    "options",
];

/// Fields in which a zero value says nothing: Kubernetes reads it as absent, and fills in a default.
const UNSET_WHEN_ZERO: [&str; 12] = [
    "hostPort",
    "imagePullPolicy",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "protocol",
    "medium",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "scheme",
    "apiVersion",
];

/// Resources of which a LimitRange makes defaults.
const LIMITED: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// The path of the first field that `wanted` sets and `existing` does not have with the same value; `None` when all is
/// there. Top-level fields named in `ignored` may differ.
pub(crate) fn difference(existing: &Value, wanted: &Value, ignored: &[String]) -> Option<String> {
    match (existing, wanted) {
        (Value::Object(existing), Value::Object(wanted)) => object_difference(existing, wanted, ignored, false),
        _ => (existing != wanted).then(String::new),
    }
}

/// Whether `existing` is what `wanted` says and no more, but for what Kubernetes fills in. Top-level fields named in `ignored`
/// may differ.
pub(super) fn is_exactly(existing: &Value, wanted: &Value, ignored: &[String]) -> bool {
    difference(existing, wanted, ignored).is_none()
        && difference(wanted, &without_what_is_filled_in(existing), ignored).is_none()
}

/// Whether Kubernetes fills in this value where nothing is said.
fn is_filled_in(key: &str, value: &Value) -> bool {
    match key {
        "imagePullPolicy" => value == "Always" || value == "IfNotPresent",
        "terminationMessagePath" => value == "/dev/termination-log",
        "terminationMessagePolicy" => value == "File",
        "protocol" => value == "TCP",
        "scheme" => value == "HTTP",
        "apiVersion" => value == "v1",
        "timeoutSeconds" | "successThreshold" => *value == 1,
        "periodSeconds" => *value == 10,
        "failureThreshold" => *value == 3,
        "defaultMode" => *value == 420,
        "readOnly" => *value == false,
        _ => false,
    }
}

fn without_what_is_filled_in(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(key, value)| !is_filled_in(key, value));
            let kept = kept.map(|(key, value)| match key.as_str() {
                "resources" => (key.clone(), without_limits(value)),
                _ => (key.clone(), without_what_is_filled_in(value)),
            });
            let says_something = |value: &Value| match value {
                Value::Null => false,
                Value::Object(members) => !members.is_empty(),
                Value::Array(items) => !items.is_empty(),
                _ => true,
            };
            Value::Object(kept.filter(|(_, value)| says_something(value)).collect())
        }
        Value::Array(items) => items.iter().map(without_what_is_filled_in).collect(),
        scalar => scalar.clone(),
    }
}

/// A container's resources without those of which there may be defaults: requests come from limits, too.
fn without_limits(resources: &Value) -> Value {
    let of = |key: &str| {
        resources
            .get(key)
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let (mut limits, mut requests) = (of("limits"), of("requests"));
    requests.retain(|key, _| !limits.contains_key(key) && !LIMITED.contains(&key.as_str()));
    limits.retain(|key, _| !LIMITED.contains(&key.as_str()));
    let mut rest = resources.as_object().cloned().unwrap_or_default();
    rest.insert("limits".into(), limits.into());
    rest.insert("requests".into(), requests.into());
    rest.retain(|_, value| value.as_object().is_none_or(|members| !members.is_empty()));
    Value::Object(rest)
}

/// Where a container says nothing of what it runs, what is compared with it must not either.
pub(super) fn demand_the_images_own_program(container: &mut Value) {
    for field in ["command", "args"] {
        if let Some(container) = container.as_object_mut() {
            container.entry(field).or_insert_with(|| Value::Array(Vec::new()));
        }
    }
}

/// Whether an item of a list has this name.
pub(super) fn is_named(item: &Value, name: &str) -> bool {
    item.get("name").and_then(Value::as_str) == Some(name)
}

/// Whether a container's variable means what `wanted`, a core/v1 EnvVar of the same name, means.
pub(super) fn same_variable(there: &EnvVar<'_>, wanted: &Value) -> bool {
    match (there.value_from, wanted.get("valueFrom")) {
        (None, None) => wanted.get("value").and_then(Value::as_str).unwrap_or_default() == &*there.value,
        (Some(there), Some(wanted)) => {
            serde_json::from_str::<Value>(there.get()).is_ok_and(|there| difference(&there, wanted, &[]).is_none())
        }
        _ => false,
    }
}

fn object_difference(
    existing: &Map<String, Value>,
    wanted: &Map<String, Value>,
    ignored: &[String],
    quantities: bool,
) -> Option<String> {
    wanted
        .iter()
        .filter(|(key, wanted)| !(ignored.contains(key) || is_zero(wanted) && UNSET_WHEN_ZERO.contains(&key.as_str())))
        .find_map(|(key, wanted)| {
            let Some(existing) = existing.get(key) else {
                return (!may_be_dropped(key, wanted)).then(|| key.clone());
            };
            let quantities = quantities || matches!(key.as_str(), "limits" | "requests" | "sizeLimit" | "divisor");
            field_difference(key, existing, wanted, quantities).map(|inner| match inner.as_str() {
                "" => key.clone(),
                _ if inner.starts_with('[') => format!("{key}{inner}"),
                _ => format!("{key}.{inner}"),
            })
        })
}

fn field_difference(key: &str, existing: &Value, wanted: &Value, quantities: bool) -> Option<String> {
    match (existing, wanted) {
        (Value::Object(existing), Value::Object(wanted)) => object_difference(existing, wanted, &[], quantities),
        (Value::Array(existing), Value::Array(wanted)) => list_difference(key, existing, wanted),
        _ if existing == wanted => None,
        _ if quantities && quantity::of(existing).is_some_and(|amount| quantity::of(wanted) == Some(amount)) => None,
        _ => Some(String::new()),
    }
}

/// Lists that Kubernetes merges by a key may have got more items; all others must be the same, item by item.
fn list_difference(key: &str, existing: &[Value], wanted: &[Value]) -> Option<String> {
    let same_item: fn(&Value, &Value) -> bool = match key {
        "env" => |a, b| a.get("name") == b.get("name"),
        "volumeMounts" => |a, b| a.get("mountPath") == b.get("mountPath"),
        "ports" => |a, b| a.get("containerPort") == b.get("containerPort") && protocol(a) == protocol(b),
        _ if existing.len() != wanted.len() => return Some(String::new()),
        _ => {
            let mut pairs = existing.iter().zip(wanted).enumerate();
            return pairs.find_map(|(index, (e, w))| at_index(index, field_difference("", e, w, false)));
        }
    };
    wanted.iter().enumerate().find_map(|(index, wanted)| {
        let found = existing.iter().find(|existing| same_item(existing, wanted));
        at_index(
            index,
            found.map_or(Some(String::new()), |existing| difference(existing, wanted, &[])),
        )
    })
}

fn at_index(index: usize, inner: Option<String>) -> Option<String> {
    let inner = inner?;
    let dot = if inner.is_empty() || inner.starts_with('[') {
        ""
    } else {
        "."
    };
    Some(format!("[{index}]{dot}{inner}"))
}

fn protocol(port: &Value) -> &str {
    let protocol = port.get("protocol").and_then(Value::as_str);
    protocol.filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

fn may_be_dropped(key: &str, wanted: &Value) -> bool {
    match wanted {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty() && DROPPED_WHEN_EMPTY.contains(&key),
        scalar => is_zero(scalar) && DROPPED_WHEN_ZERO.contains(&key),
    }
}

fn is_zero(scalar: &Value) -> bool {
    match scalar {
        Value::Bool(set) => !set,
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_api_server_does_to_a_container_is_no_difference() {
        let wanted = json!({
            "name": "a", "args": ["x"], "command": [], "tty": false,
            "env": [{"name": "E", "value": ""}],
            "ports": [{"containerPort": 1}],
            "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": false}],
            "resources": {"limits": {"memory": "1024Mi", "cpu": 0.5}, "requests": {}},
        });
        let existing = json!({
            "name": "a", "args": ["x"], "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
            "env": [{"name": "E"}, {"name": "MORE", "value": "1"}],
            "ports": [{"containerPort": 1, "protocol": "UDP"}, {"containerPort": 1, "protocol": "TCP"}],
            "volumeMounts": [{"name": "token", "mountPath": "/t"}, {"name": "v", "mountPath": "/v"}],
            "resources": {"limits": {"memory": "1Gi", "cpu": "500m"}},
        });
        assert_eq!(difference(&existing, &wanted, &[]), None);
    }

    #[test]
    fn a_zero_that_says_nothing_is_no_difference() {
        let wanted = json!({"imagePullPolicy": "", "ports": [{"containerPort": 1, "hostPort": 0, "protocol": ""}],
            "livenessProbe": {"timeoutSeconds": 0, "initialDelaySeconds": 0}});
        let existing = json!({"imagePullPolicy": "Always", "ports": [{"containerPort": 1, "protocol": "TCP"}],
            "livenessProbe": {"timeoutSeconds": 1}});
        assert_eq!(difference(&existing, &wanted, &[]), None);
        // A pointer in Kubernetes' types: zero is a value.
        assert!(difference(&json!({}), &json!({"runAsUser": 0}), &[]).is_some());
    }

    #[test]
    fn what_says_more_than_what_kubernetes_fills_in_is_not_exactly_the_same() {
        let wanted = json!({"name": "a", "image": "i", "ports": [{"containerPort": 1}],
            "env": [{"name": "E", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "livenessProbe": {"httpGet": {"port": 1}}, "resources": {"limits": {"memory": "1024Mi", "example.com/x": "1"}}});
        let filled_in = json!({"name": "a", "image": "i", "imagePullPolicy": "IfNotPresent", "securityContext": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "ports": [{"containerPort": 1, "protocol": "TCP"}],
            "env": [{"name": "E", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}],
            "livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3},
            "resources": {"limits": {"memory": "1Gi", "cpu": "1", "example.com/x": "1"},
                "requests": {"memory": "1Gi", "cpu": "1", "example.com/x": "1"}}});
        assert!(is_exactly(&wanted, &wanted, &[]));
        assert!(is_exactly(&filled_in, &wanted, &[]));
        let moved = json!({"name": "a", "image": "elsewhere"});
        assert!(is_exactly(
            &moved,
            &json!({"name": "a", "image": "i"}),
            &["image".into()]
        ));
        for (pointer, more) in [
            ("/command", json!(["evil"])),
            ("/securityContext", json!({"privileged": true})),
            ("/securityContext", json!({"runAsUser": 0})),
            ("/securityContext", json!({"runAsNonRoot": false})),
            ("/env/1", json!({"name": "MORE", "value": "1"})),
            ("/volumeMounts", json!([{"name": "v", "mountPath": "/v"}])),
            ("/ports/1", json!({"containerPort": 2})),
            ("/ports/0/hostPort", json!(80)),
            ("/livenessProbe/exec", json!({"command": ["evil"]})),
            ("/livenessProbe/timeoutSeconds", json!(2)),
            ("/resources/claims", json!([{"name": "c"}])),
            ("/resources/limits/nvidia.com~1gpu", json!("1")),
            ("/resources/requests/nvidia.com~1gpu", json!("1")),
            ("/image", json!("evil")),
        ] {
            let mut changed = filled_in.clone();
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let key = key.replace("~1", "/");
            match changed.pointer_mut(parent).unwrap() {
                Value::Array(items) => items.push(more.clone()),
                parent => parent[&key] = more.clone(),
            }
            assert!(!is_exactly(&changed, &wanted, &[]), "{pointer}");
        }
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let existing = json!({"image": "a", "args": ["x", "y"], "env": [{"name": "E", "value": "1"}],
            "securityContext": {}, "resources": {"limits": {"cpu": "1"}}});
        for (wanted, path) in [
            (json!({"image": "b"}), "image"),
            (json!({"args": ["x"]}), "args"),
            (json!({"args": ["x", "z"]}), "args[1]"),
            (json!({"env": [{"name": "E", "value": "2"}]}), "env[0].value"),
            (json!({"env": [{"name": "F", "value": "2"}]}), "env[0]"),
            (
                json!({"securityContext": {"allowPrivilegeEscalation": false}}),
                "securityContext.allowPrivilegeEscalation",
            ),
            (json!({"resources": {"limits": {"cpu": "2"}}}), "resources.limits.cpu"),
            (json!({"resources": "none"}), "resources"),
            (json!({"emptyDir": {}}), "emptyDir"),
        ] {
            assert_eq!(difference(&existing, &wanted, &[]).as_deref(), Some(path));
        }
        assert_eq!(difference(&existing, &json!({"image": "b"}), &["image".into()]), None);
    }
}
