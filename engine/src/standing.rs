//! Which policies a Pod that runs carries, and which it should: as far as its metadata tells.

use crate::compile::{CompiledPolicy, PolicyId};
use crate::inject::{INJECTED, Injected, MIRROR, Record};
use crate::pod::PodView;
use crate::policy::Enforcement;
use crate::request;
use crate::select::{self, Subject};
use crate::snapshot::{Namespace, Snapshot};

/// How a Pod and a policy stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It carries the policy as it is now.
    Current,
    /// It carries another version of it.
    Outdated,
    /// It should carry the policy, and does not.
    Missing,
}

/// Why it cannot be told which Pods lack a policy; `None`: it can.
pub fn missing_is_not_told(policy: &CompiledPolicy) -> Option<&'static str> {
    if policy.enforcement() == Enforcement::Audit || policy.head().paused {
        return Some("no Pod lacks a policy that is paused or in audit");
    }
    match &policy.head().matches {
        None => Some("which Pods lack it is not told of a policy without match: they are not known by labels"),
        Some(matches) if !matches.conditions.is_empty() => {
            Some("which Pods lack it is not told: its match has conditions, and labels do not say whether they hold")
        }
        Some(_) => None,
    }
}

/// How a Pod of `namespace` stands to each policy that it carries or lacks.
pub fn standings(snapshot: &Snapshot, namespace: &str, pod: &PodView<'_>) -> Vec<(PolicyId, Standing)> {
    if pod.annotation(MIRROR).is_some() || snapshot.is_protected(namespace) {
        return Vec::new();
    }
    let injected = Injected::parse(pod.annotation(INJECTED));
    let carried = injected.policies().into_iter().filter_map(|name| {
        let policy = snapshot.visible(name, namespace)?;
        let same = policy
            .body()
            .is_some_and(|body| injected.of(name, &body.hash) == Record::Same);
        let standing = if same { Standing::Current } else { Standing::Outdated };
        Some((policy.id().clone(), standing))
    });
    let mut found: Vec<(PolicyId, Standing)> = carried.collect();
    found.extend(lacking(snapshot, namespace, pod, &injected).map(|id| (id, Standing::Missing)));
    found
}

/// The policies that a Pod of `namespace` names, among those that there are.
pub fn named(snapshot: &Snapshot, namespace: &str, pod: &PodView<'_>) -> Vec<PolicyId> {
    if pod.annotation(MIRROR).is_some() || snapshot.is_protected(namespace) {
        return Vec::new();
    }
    let wishes = pod.annotation(request::INJECT).map(request::parse);
    let wanted = wishes.and_then(Result::ok).unwrap_or_default().wanted;
    let policies = wanted.iter().filter_map(|name| snapshot.visible(name, namespace));
    policies.map(|policy| policy.id().clone()).collect()
}

fn lacking<'a>(
    snapshot: &'a Snapshot,
    namespace: &str,
    pod: &PodView<'_>,
    injected: &Injected<'_>,
) -> impl Iterator<Item = PolicyId> + use<'a> {
    let unknown_namespace;
    let namespace = match snapshot.namespace(namespace) {
        Some(namespace) => namespace,
        None => {
            unknown_namespace = Namespace::named(namespace);
            &unknown_namespace
        }
    };
    let wishes = pod.annotation(request::INJECT).map(request::parse);
    let wishes = wishes.and_then(Result::ok).unwrap_or_default();
    let subject = Subject {
        pod,
        namespace,
        wishes: &wishes,
        // Whoever has conditions is not told of.
        scope: &|_, _| Err(String::new()),
    };
    let mut selected = select::select(snapshot, &subject).selected;
    let carried = injected.policies();
    selected.retain(|choice| missing_is_not_told(choice.policy).is_none() && !carried.contains(choice.policy.name()));
    selected.into_iter().map(|choice| choice.policy.id().clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn policy(name: &str, spec: Value) -> Arc<CompiledPolicy> {
        let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": name}, "spec": spec});
        let policy = crate::compile(&document).unwrap();
        assert_eq!(policy.errors(), []);
        Arc::new(policy)
    }

    #[test]
    fn what_a_pod_carries_and_lacks_is_told_from_its_metadata() {
        let web = json!({"podSelector": {"matchLabels": {"tier": "web"}}});
        let policies = vec![
            policy("asked", json!({})),
            policy("web", json!({"match": web})),
            policy("paused", json!({"match": web, "paused": true})),
            policy("audit", json!({"match": web, "enforcement": "Audit"})),
            policy(
                "told-by-cel",
                json!({"match": {"podSelector": {"matchLabels": {"tier": "web"}},
                    "conditions": [{"name": "c", "expression": "object.spec.hostNetwork == true"}]}}),
            ),
        ];
        let hash = policies[1].body().unwrap().hash.clone();
        let snapshot = Snapshot::new(policies, vec![], Settings::default());
        let told = |namespace: &str, labels: Value, annotations: Value| {
            let pod = json!({"metadata": {"labels": labels, "annotations": annotations}}).to_string();
            let view: PodView<'_> = serde_json::from_str(&pod).unwrap();
            let standings = standings(&snapshot, namespace, &view);
            standings
                .into_iter()
                .map(|(id, standing)| format!("{id} {standing:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let is_web = json!({"tier": "web"});
        let carries = |record: String| json!({"outrigger.dev/injected": record});
        for (labels, annotations, expected) in [
            (json!({}), json!({}), ""),
            (is_web.clone(), json!({}), "web Missing"),
            (is_web.clone(), json!({"outrigger.dev/inject": "-web"}), ""),
            (is_web.clone(), json!({"outrigger.dev/inject": "asked"}), "web Missing"),
            (is_web.clone(), carries(format!("web@{hash}")), "web Current"),
            (is_web.clone(), carries("web@0".into()), "web Outdated"),
            (json!({}), carries("asked@0,gone@1".into()), "asked Outdated"),
            (is_web.clone(), json!({"kubernetes.io/config.mirror": "x"}), ""),
        ] {
            assert_eq!(
                told("shop", labels.clone(), annotations.clone()),
                expected,
                "{labels} {annotations}"
            );
        }
        assert_eq!(told("kube-system", is_web, json!({})), "");
        let named = |namespace: &str, inject: &str| {
            let pod = json!({"metadata": {"annotations": {"outrigger.dev/inject": inject}}}).to_string();
            let ids = named(&snapshot, namespace, &serde_json::from_str(&pod).unwrap());
            ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(named("shop", "asked, paused, none, -web"), "asked, paused");
        assert_eq!(named("shop", "false"), "");
        assert_eq!(named("kube-system", "asked"), "");
    }
}
