//! Random sets of policies, and the namespace that they meet in.

use proptest::prelude::*;
use proptest::sample::subsequence;
use serde_json::{Value, json};

/// The namespace of every Pod here.
pub const NAMESPACE: &str = "team";

/// The policies of `pool.yaml`, on request only.
pub fn pool() -> Vec<Value> {
    let mut pool: Vec<Value> = serde_saphyr::from_str(include_str!("pool.yaml")).unwrap();
    for policy in &mut pool {
        policy["apiVersion"] = json!("outrigger.dev/v1alpha1");
        let members = policy.as_object_mut().unwrap();
        members.entry("kind").or_insert(json!("ClusterInjectionPolicy"));
    }
    pool
}

pub fn name(policy: &Value) -> &str {
    policy["metadata"]["name"].as_str().unwrap()
}

/// Names of all containers that a policy may bring.
pub fn container_names(policy: &Value) -> Vec<&str> {
    let lists = ["sidecars", "ambassadors", "adapters", "initContainers"].map(|list| policy["spec"][list].as_array());
    let helpers = lists.into_iter().flatten().flatten();
    helpers
        .map(|helper| helper["container"]["name"].as_str().unwrap())
        .collect()
}

/// Names of the containers that a policy always brings.
pub fn sure_container_names(policy: &Value) -> Vec<&str> {
    let mut names = container_names(policy);
    names.retain(|name| *name != "maybe");
    names
}

#[derive(Debug, Clone)]
pub struct World {
    pub policies: Vec<Value>,
    pub namespace: Value,
    pub kubernetes_minor: u32,
}

fn selection() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Null),
        2 => Just(json!({"namespaceSelector": {"matchLabels": {"team": "web"}}})),
        1 => Just(json!({"podSelector": {"matchLabels": {"app": "web"}}})),
        1 => Just(json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}})),
        1 => Just(json!({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]},
            "conditions": [{"name": "few", "expression": "object.?spec.?containers.orValue([]).size() < 3"}]})),
        1 => Just(json!({"conditions": [{"name": "failing", "expression": "object.status.phase == 'a'"}]})),
    ]
}

fn dressed(policy: Value) -> impl Strategy<Value = Value> {
    let enforcement = prop_oneof![6 => Just("BestEffort"), 2 => Just("Required"), 1 => Just("Audit")];
    (Just(policy), selection(), enforcement, prop::bool::weighted(0.1)).prop_map(
        |(mut policy, mut selection, enforcement, paused)| {
            let namespaced = policy["kind"] == "InjectionPolicy";
            if namespaced {
                selection
                    .as_object_mut()
                    .map(|members| members.remove("namespaceSelector"));
            } else if enforcement == "Required" && selection.get("namespaceSelector").is_none() {
                selection = json!({"namespaceSelector": {"matchLabels": {"team": "web"}}});
            }
            if !selection.is_null() {
                policy["spec"]["match"] = selection;
            }
            if !(namespaced && enforcement == "Required") {
                policy["spec"]["enforcement"] = json!(enforcement);
            }
            policy["spec"]["paused"] = json!(paused);
            policy
        },
    )
}

pub fn world() -> impl Strategy<Value = World> {
    let pool = pool();
    let names: Vec<String> = pool.iter().map(|policy| name(policy).to_owned()).collect();
    let switches = prop_oneof![4 => Just("enabled"), 1 => Just("disabled"), 1 => Just("odd")];
    let labels = prop::collection::vec((prop::sample::select(names), switches), 0..5);
    let policies = subsequence(pool, 0..9).prop_flat_map(|chosen| chosen.into_iter().map(dressed).collect::<Vec<_>>());
    let minor = prop_oneof![3 => Just(37), 1 => Just(28)];
    (policies, labels, prop::bool::weighted(0.05), minor).prop_map(|(policies, labels, disabled, kubernetes_minor)| {
        let mut namespace = json!({"metadata": {"name": NAMESPACE, "labels": {"team": "web"},
            "annotations": {"saver.outrigger.dev/memory": "32", "saver.outrigger.dev/nothing": "1"}}});
        for (policy, switch) in labels {
            namespace["metadata"]["labels"][format!("inject.outrigger.dev/{policy}")] = json!(switch);
        }
        if disabled {
            namespace["metadata"]["labels"]["outrigger.dev/inject"] = json!("disabled");
        }
        World {
            policies,
            namespace,
            kubernetes_minor,
        }
    })
}
