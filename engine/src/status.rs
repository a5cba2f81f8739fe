//! What a policy's author is told in its `status`, as data. What time it is, what replicas do, and which Pods run is for
//! others to say: this knows no clock and no cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clash::Clash;
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
    /// Running Pods that name it in `outrigger.dev/inject`, among those that are watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<i64>,
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
/// As many clashes as anybody reads.
pub const TOLD_CLASHES: usize = 8;

/// The condition that a policy can be used.
pub const ACCEPTED: &str = "Accepted";
/// The condition that the replicas serve it.
pub const READY: &str = "Ready";
/// The condition that a ClusterInjectionPolicy of the same name is meant instead.
pub const SHADOWED: &str = "Shadowed";
/// The reason of [`ACCEPTED`] for a policy that can be used, but not beside another one.
pub const CLASHES: &str = "Clashes";

/// What the replicas do with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// All of them serve its present generation.
    Served,
    /// Not all of them do so yet.
    Pending,
    /// That cannot be told, and why.
    Unknown(String),
}

/// How many Pods carry a policy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Running Pods that carry it.
    pub injected: Option<i64>,
    /// Of those, Pods that carry an earlier version.
    pub outdated: Option<i64>,
    /// Pods that it selects and that do not carry it.
    pub missing: Option<i64>,
    /// Running Pods that name it.
    pub named: Option<i64>,
    /// Why a count is absent.
    pub uncounted: Option<String>,
}

impl PolicyStatus {
    /// What can be told from the policy alone. `document` is what `policy` was compiled from.
    pub fn of(document: &Value, policy: &CompiledPolicy) -> PolicyStatus {
        let generation = document.pointer("/metadata/generation").and_then(Value::as_i64);
        let is_there = |field: &str| {
            document
                .get("spec")
                .and_then(|spec| spec.get(field))
                .is_some_and(is_something)
        };
        let selection = if is_there("match") { "Match" } else { "OnRequest" };
        PolicyStatus {
            observed_generation: generation,
            pattern: Some(pattern(is_there)),
            selection: Some(selection.to_owned()),
            ..PolicyStatus::default()
        }
        .with(accepted(policy))
    }

    /// The same, of a policy that clashes with others.
    #[must_use]
    pub fn clashing(mut self, policy: &CompiledPolicy, clashes: &[Clash]) -> PolicyStatus {
        let accepted = self.conditions.iter_mut().find(|one| one.kind == ACCEPTED);
        let Some(accepted) = accepted.filter(|one| one.status == "True" && !clashes.is_empty()) else {
            return self;
        };
        let told = clashes.iter().take(TOLD_CLASHES).map(|clash| format!("it {clash}"));
        let more = (clashes.len() > TOLD_CLASHES).then(|| "it clashes with more policies".to_owned());
        accepted.reason = CLASHES.to_owned();
        accepted.message = bounded(told.chain(more).chain(policy.warnings().iter().cloned()));
        self
    }

    /// The same, of a policy that is `shadowed` by a ClusterInjectionPolicy of its name, or not.
    #[must_use]
    pub fn shadowed(self, policy: &CompiledPolicy, shadowed: bool) -> PolicyStatus {
        match policy.id().namespace {
            Some(_) => self.with(shadow(policy, shadowed)),
            None => self,
        }
    }

    /// The same, with what the replicas do.
    #[must_use]
    pub fn ready(self, readiness: &Readiness) -> PolicyStatus {
        let is_accepted = self
            .condition(ACCEPTED)
            .is_some_and(|accepted| accepted.status == "True");
        let (status, reason, message) = match readiness {
            _ if !is_accepted => ("False", "NotAccepted", "this generation of it is not accepted"),
            Readiness::Served => ("True", "Served", "every replica serves this generation"),
            Readiness::Pending => ("False", "Pending", "not every replica serves this generation yet"),
            Readiness::Unknown(why) => ("Unknown", "Unknown", why.as_str()),
        };
        let condition = Condition {
            kind: READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Condition::default()
        };
        self.with(condition)
    }

    /// The same, with these counts.
    #[must_use]
    pub fn counted(self, counts: Counts) -> PolicyStatus {
        PolicyStatus {
            injected: counts.injected,
            outdated: counts.outdated,
            missing: counts.missing,
            named: counts.named,
            uncounted: counts.uncounted,
            ..self
        }
    }

    /// The same after `before`: a condition that says what it said holds since then, others since `now` (RFC 3339).
    #[must_use]
    pub fn since(mut self, before: &PolicyStatus, now: &str) -> PolicyStatus {
        for condition in &mut self.conditions {
            let former = before.condition(&condition.kind);
            let former = former.filter(|former| former.status == condition.status);
            let time = former.and_then(|former| former.last_transition_time.clone());
            condition.last_transition_time = Some(time.unwrap_or_else(|| now.to_owned()));
        }
        self
    }

    /// Whether everything that this says is in `other` already, conditions of others aside.
    pub fn is_in(&self, other: &PolicyStatus) -> bool {
        let same = |condition: &Condition| other.condition(&condition.kind) == Some(condition);
        let conditions = Vec::new();
        let without = |status: &PolicyStatus| PolicyStatus {
            conditions: conditions.clone(),
            ..status.clone()
        };
        self.conditions.iter().all(same) && without(self) == without(other)
    }

    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    fn with(mut self, condition: Condition) -> PolicyStatus {
        self.conditions.retain(|there| there.kind != condition.kind);
        self.conditions.push(Condition {
            observed_generation: self.observed_generation,
            ..condition
        });
        self
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
        return condition(ACCEPTED, true, "Accepted", message);
    }
    let errors = policy
        .errors()
        .iter()
        .map(|error| format!("{}: {}", error.path, error.message));
    let served = policy
        .body()
        .map(|_| "the last good version is served meanwhile".to_owned());
    condition(ACCEPTED, false, "Invalid", bounded(errors.chain(served)))
}

fn shadow(policy: &CompiledPolicy, shadowed: bool) -> Condition {
    let name = &policy.id().name;
    match shadowed {
        true => {
            let message = format!("the ClusterInjectionPolicy \"{name}\" is meant by that name; give this one another");
            condition(SHADOWED, true, "ClusterPolicy", message)
        }
        false => condition(SHADOWED, false, "OwnName", format!("\"{name}\" means this policy here")),
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
        let policy = crate::compile(&document).unwrap();
        PolicyStatus::of(&document, &policy).shadowed(&policy, shadowed)
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
    fn the_time_of_a_condition_is_that_of_its_last_turn() {
        let helper = |image: &str| json!({"sidecars": [{"container": {"name": "a", "image": image}}]});
        let good = |readiness| status(None, helper("b"), false).ready(&readiness);
        let first = good(Readiness::Pending).since(&PolicyStatus::default(), "t1");
        let second = good(Readiness::Served).since(&first, "t2");
        let time = |status: &PolicyStatus, kind| status.condition(kind).unwrap().last_transition_time.clone();
        assert_eq!(time(&second, ACCEPTED).as_deref(), Some("t1"));
        assert_eq!(time(&second, READY).as_deref(), Some("t2"));
        assert!(!second.is_in(&first));
        assert!(good(Readiness::Served).since(&second, "t3").is_in(&second));

        let broken = status(None, helper("${params.none}"), false).ready(&Readiness::Served);
        let broken = broken.since(&second, "t4");
        assert_eq!(broken.condition(READY).unwrap().reason, "NotAccepted");
        assert_eq!(time(&broken, READY).as_deref(), Some("t4"));
        let counted = broken.clone().counted(Counts {
            injected: Some(1),
            ..Counts::default()
        });
        assert!(!counted.is_in(&broken) && broken.is_in(&broken));
    }

    #[test]
    fn clashes_are_told_beside_what_else_is_to_be_said() {
        let exporter = |name: &str| {
            let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
                "metadata": {"name": name}, "spec": {"adapters": [{"container": {"name": "a", "image": "i"}, "metrics": {"port": 9113}}]}});
            (
                PolicyStatus::of(&document, &crate::compile(&document).unwrap()),
                crate::compile(&document).unwrap(),
            )
        };
        let (status, policy) = exporter("one");
        let clash = crate::clash::clash(&policy, &exporter("two").1).unwrap();
        assert_eq!(status.clone().clashing(&policy, &[]), status);
        let one = status.clone().clashing(&policy, std::slice::from_ref(&clash));
        let accepted = one.condition(ACCEPTED).unwrap();
        assert_eq!((&*accepted.status, &*accepted.reason), ("True", CLASHES));
        assert!(
            accepted
                .message
                .starts_with("it clashes with policy \"two\" over container \"a\""),
            "{accepted:?}"
        );
        let many = status.clashing(&policy, &vec![clash; TOLD_CLASHES + 1]);
        assert!(
            many.condition(ACCEPTED)
                .unwrap()
                .message
                .ends_with("it clashes with more policies")
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
