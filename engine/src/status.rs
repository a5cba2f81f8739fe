//! What a policy's author is told in its `status`, as data. When a condition began, and what replicas do, is for others to
//! say: this knows no clock and no cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::compile::CompiledPolicy;

/// `status` of a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyStatus {
    /// The generation of the policy that the rest is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Accepted`: it can be used. `Ready`: the replicas serve it. `Shadowed`: a ClusterInjectionPolicy of the same name is meant instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Which patterns it is made of: `sidecar`, `ambassador`, `adapter`, `init`, `settings`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub pattern: Option<String>,
    /// `Match` when it selects Pods by itself, else `OnRequest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub selection: Option<String>,
    /// Running Pods that carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<i64>,
    /// Of those, Pods that carry an earlier version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outdated: Option<i64>,
    /// Pods that it selects and that do not carry it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<i64>,
    /// Why a count is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub uncounted: Option<String>,
}

/// One thing that holds of a policy, or does not (meta/v1 Condition).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What may hold.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 316))]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[schemars(extend("enum" = ["True", "False", "Unknown"]))]
    pub status: String,
    /// The generation of the policy that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Since when, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Why, in one word.
    #[schemars(
        length(min = 1, max = 1024),
        regex(pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: String,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

/// As long as a condition's message may be, in bytes.
const MESSAGE_BYTES: usize = 8 * 1024;

impl PolicyStatus {
    /// What can be told from the policy alone. `document` is what `policy` was compiled from; `shadowed`: whether a
    /// ClusterInjectionPolicy has the same name.
    pub fn of(document: &Value, policy: &CompiledPolicy, shadowed: bool) -> PolicyStatus {
        let generation = document.pointer("/metadata/generation").and_then(Value::as_i64);
        let mut conditions = vec![accepted(policy)];
        if policy.id().namespace.is_some() {
            conditions.push(shadow(policy, shadowed));
        }
        for condition in &mut conditions {
            condition.observed_generation = generation;
        }
        let is_there = |field: &str| {
            document
                .get("spec")
                .and_then(|spec| spec.get(field))
                .is_some_and(is_something)
        };
        let selection = if is_there("match") { "Match" } else { "OnRequest" };
        PolicyStatus {
            observed_generation: generation,
            conditions,
            pattern: Some(pattern(is_there)),
            selection: Some(selection.to_owned()),
            ..PolicyStatus::default()
        }
    }
}

/// An empty `match` is one that matches everything.
fn is_something(value: &Value) -> bool {
    !(value.is_null() || value.as_array().is_some_and(Vec::is_empty))
}

fn pattern(is_there: impl Fn(&str) -> bool) -> String {
    let lists = [
        ("sidecars", "sidecar"),
        ("ambassadors", "ambassador"),
        ("adapters", "adapter"),
        ("initContainers", "init"),
    ];
    let found: Vec<&str> = lists
        .iter()
        .filter(|(field, _)| is_there(field))
        .map(|(_, pattern)| *pattern)
        .collect();
    match found.is_empty() {
        true => "settings".to_owned(),
        false => found.join(","),
    }
}

fn condition(kind: &str, holds: bool, reason: &str, message: String) -> Condition {
    Condition {
        kind: kind.to_owned(),
        status: if holds { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        ..Condition::default()
    }
}

fn accepted(policy: &CompiledPolicy) -> Condition {
    if policy.errors().is_empty() {
        let message = match policy.warnings() {
            [] => "it can be used".to_owned(),
            warnings => bounded(warnings.iter().cloned()),
        };
        return condition("Accepted", true, "Accepted", message);
    }
    let errors = policy
        .errors()
        .iter()
        .map(|error| format!("{}: {}", error.path, error.message));
    let served = policy
        .body()
        .map(|_| "the last good version is served meanwhile".to_owned());
    condition("Accepted", false, "Invalid", bounded(errors.chain(served)))
}

fn shadow(policy: &CompiledPolicy, shadowed: bool) -> Condition {
    let name = &policy.id().name;
    match shadowed {
        true => {
            let message = format!("the ClusterInjectionPolicy \"{name}\" is meant by that name; give this one another");
            condition("Shadowed", true, "ClusterPolicy", message)
        }
        false => condition(
            "Shadowed",
            false,
            "OwnName",
            format!("\"{name}\" means this policy here"),
        ),
    }
}

/// As many of the texts as fit, a line each.
fn bounded(texts: impl Iterator<Item = String>) -> String {
    let mut message = String::new();
    for (index, text) in texts.enumerate() {
        if message.len() + text.len() > MESSAGE_BYTES {
            return match index {
                0 => crate::names::shortened(&text, MESSAGE_BYTES / 4),
                _ => message + "\nand more",
            };
        }
        if index > 0 {
            message.push('\n');
        }
        message.push_str(&text);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(namespace: Option<&str>, spec: Value) -> Value {
        let kind = namespace.map_or("ClusterInjectionPolicy", |_| "InjectionPolicy");
        json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind,
            "metadata": {"name": "a", "namespace": namespace, "generation": 3}, "spec": spec})
    }

    fn status(namespace: Option<&str>, spec: Value, shadowed: bool) -> PolicyStatus {
        let document = document(namespace, spec);
        PolicyStatus::of(&document, &crate::compile(&document).unwrap(), shadowed)
    }

    #[test]
    fn the_status_says_what_a_policy_is_and_what_is_wrong_with_it() {
        let helper = json!([{"container": {"name": "a", "image": "b"}}]);
        let good = status(
            None,
            json!({"sidecars": helper, "adapters": helper, "match": {}}),
            false,
        );
        assert_eq!(good.pattern.as_deref(), Some("sidecar,adapter"));
        assert_eq!(good.selection.as_deref(), Some("Match"));
        assert_eq!(good.observed_generation, Some(3));
        assert_eq!(good.conditions.len(), 1);
        let accepted = &good.conditions[0];
        assert_eq!(
            (&*accepted.status, &*accepted.reason),
            ("False", "Invalid"),
            "two containers have one name"
        );

        let broken = status(
            Some("web"),
            json!({"sidecars": [{"container": {"name": "A", "image": "b"}}]}),
            true,
        );
        let [accepted, shadowed] = &broken.conditions[..] else {
            panic!("{broken:?}")
        };
        assert_eq!((&*accepted.kind, &*accepted.status), ("Accepted", "False"));
        assert!(
            accepted.message.starts_with("spec.sidecars[0].container.name: \"A\""),
            "{accepted:?}"
        );
        assert_eq!(
            (&*shadowed.kind, &*shadowed.status, shadowed.observed_generation),
            ("Shadowed", "True", Some(3))
        );

        let plain = status(
            Some("web"),
            json!({"app": {"env": [{"name": "A", "value": "b"}]}}),
            false,
        );
        assert_eq!(plain.pattern.as_deref(), Some("settings"));
        assert_eq!(plain.selection.as_deref(), Some("OnRequest"));
        assert!(
            plain
                .conditions
                .iter()
                .all(|condition| condition.status == (if condition.kind == "Accepted" { "True" } else { "False" }))
        );
    }

    #[test]
    fn a_message_is_bounded() {
        let labels: serde_json::Map<String, Value> = (0..256)
            .map(|i| (format!("{}/{i}", "x".repeat(300)), json!("a")))
            .collect();
        let broken = status(None, json!({"match": {"podSelector": {"matchLabels": labels}}}), false);
        let message = &broken.conditions[0].message;
        assert!(
            message.len() < 2 * MESSAGE_BYTES && message.ends_with("and more"),
            "{}",
            message.len()
        );
    }
}
