//! What is to be said of a policy that somebody is about to create, change or delete.
//!
//! Only what a policy is in itself refuses it. What others claim is a warning: a tenant who takes a port first must not
//! keep an admin's policy out, nor the other way round.

use serde_json::Value;

use crate::clash::clashes;
use crate::compile::{CompiledPolicy, compile};
use crate::snapshot::Snapshot;
use crate::status::TOLD_CLASHES;

/// A change of a policy; each document is whole.
#[derive(Debug, Clone, Copy)]
pub enum Change<'a> {
    /// A new policy.
    Created(&'a Value),
    /// From the first to the second.
    Updated(&'a Value, &'a Value),
    /// It is to go.
    Deleted(&'a Value),
}

/// What is said to its author.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Opinion {
    /// Why the change must not be; empty: it may.
    pub errors: Vec<String>,
    /// What to think of.
    pub warnings: Vec<String>,
}

/// Judges a change, among the policies of `snapshot`.
pub fn judge(change: Change<'_>, snapshot: &Snapshot) -> Opinion {
    match change {
        Change::Created(policy) => judge_policy(policy, snapshot),
        // Labels, finalizers and status of a policy must stay free, also of one that was never good.
        Change::Updated(old, new) if old.get("spec") == new.get("spec") => Opinion::default(),
        Change::Updated(_, new) => judge_policy(new, snapshot),
        Change::Deleted(policy) => Opinion {
            warnings: vec![farewell(policy)],
            errors: Vec::new(),
        },
    }
}

fn judge_policy(document: &Value, snapshot: &Snapshot) -> Opinion {
    let policy = match compile(document) {
        Ok(policy) => policy,
        Err(error) => {
            return Opinion {
                errors: vec![error.to_string()],
                warnings: Vec::new(),
            };
        }
    };
    let errors: Vec<String> = policy.errors().iter().map(ToString::to_string).collect();
    let warnings = match errors.is_empty() {
        true => warnings(&policy, snapshot),
        false => Vec::new(),
    };
    Opinion { errors, warnings }
}

fn warnings(policy: &CompiledPolicy, snapshot: &Snapshot) -> Vec<String> {
    let name = &policy.id().name;
    let mut warnings: Vec<String> = shadows(policy, snapshot).into_iter().collect();
    warnings.extend(policy.warnings().iter().cloned());
    let found = clashes(policy, snapshot);
    warnings.extend(
        found
            .iter()
            .take(TOLD_CLASHES)
            .map(|clash| format!("policy \"{name}\" {clash}")),
    );
    if found.len() > TOLD_CLASHES {
        let more = found.len() - TOLD_CLASHES;
        warnings.push(format!("policy \"{name}\" clashes with {more} more policies"));
    }
    warnings
}

/// Of a name that both kinds have, the cluster's is meant.
fn shadows(policy: &CompiledPolicy, snapshot: &Snapshot) -> Option<String> {
    let name = &policy.id().name;
    if policy.id().namespace.is_some() {
        snapshot.cluster_policy(name)?;
        return Some(format!(
            "policy \"{name}\" has no effect: the ClusterInjectionPolicy \"{name}\" is meant by that name; choose another"
        ));
    }
    let mut shadowed = snapshot.policies().iter().filter(|other| other.id().name == *name);
    let namespace = shadowed.find_map(|other| other.id().namespace.as_ref())?;
    Some(format!(
        "policy \"{name}\" takes the place of InjectionPolicies of that name, such as that of namespace \"{namespace}\""
    ))
}

/// What is left behind. How many Pods carry it, and how many name it, stands in its status, if somebody counts.
fn farewell(policy: &Value) -> String {
    let name = policy
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let count = |field: &str| policy.pointer(&format!("/status/{field}")).and_then(Value::as_u64);
    let refused = match count("named") {
        None | Some(0) => "Pods that name it will be refused".to_owned(),
        Some(1) => "one names it, and Pods like that will be refused".to_owned(),
        Some(named) => format!("{named} name it, and Pods like these will be refused"),
    };
    match count("injected") {
        Some(0) => format!("policy \"{name}\": no running Pod carries it; {refused}"),
        Some(1) => format!("policy \"{name}\": one running Pod carries it and keeps it until replaced; {refused}"),
        Some(count) => {
            format!("policy \"{name}\": {count} running Pods carry it and keep it until they are replaced; {refused}")
        }
        None => format!(
            "policy \"{name}\": how many Pods carry it is not known here; they keep it until they are replaced, and {refused}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::policy::API_VERSION;
    use serde_json::json;
    use std::sync::Arc;

    fn document(name: &str, namespace: Option<&str>, spec: Value) -> Value {
        let kind = namespace.map_or("ClusterInjectionPolicy", |_| "InjectionPolicy");
        json!({"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec})
    }

    fn exporter(name: &str) -> Value {
        json!({"adapters": [{"container": {"name": name, "image": "i"}, "metrics": {"port": 9113}}]})
    }

    fn snapshot(documents: &[Value]) -> Snapshot {
        let policies = documents
            .iter()
            .map(|document| Arc::new(compile(document).unwrap()))
            .collect();
        Snapshot::new(policies, vec![], Settings::default())
    }

    #[test]
    fn every_error_of_a_policy_is_told() {
        let wrong = json!({"enforcement": "Required", "sidecars": [{"container": {"name": "A", "image": "b"}}]});
        let opinion = judge(Change::Created(&document("inject", None, wrong)), &snapshot(&[]));
        assert_eq!(opinion.errors.len(), 3, "{opinion:?}");
        for path in [
            "metadata.name",
            "spec.match.namespaceSelector",
            "spec.sidecars[0].container.name",
        ] {
            assert!(
                opinion.errors.iter().any(|error| error.contains(path)),
                "{path} {opinion:?}"
            );
        }
        let nothing = judge(Change::Created(&json!(null)), &snapshot(&[]));
        assert_eq!(nothing.errors.len(), 1);
    }

    #[test]
    fn what_others_claim_refuses_nobody() {
        let tenant = document("tenant", Some("web"), exporter("theirs"));
        let admin = document("admin", None, exporter("ours"));
        for (new, there) in [(&admin, &tenant), (&tenant, &admin)] {
            let opinion = judge(Change::Created(new), &snapshot(std::slice::from_ref(there)));
            assert_eq!(opinion.errors, [""; 0]);
            assert!(opinion.warnings[0].contains("over port 9113/TCP"), "{opinion:?}");
        }
    }

    #[test]
    fn many_clashes_are_counted() {
        let there: Vec<Value> = (0..20)
            .map(|i| document(&format!("p{i:02}"), None, exporter("same")))
            .collect();
        let opinion = judge(
            Change::Created(&document("new", None, exporter("same"))),
            &snapshot(&there),
        );
        assert_eq!(opinion.warnings.len(), TOLD_CLASHES + 1);
        assert_eq!(
            opinion.warnings[TOLD_CLASHES],
            "policy \"new\" clashes with 12 more policies"
        );
    }

    #[test]
    fn shadowing_is_told_on_both_sides() {
        let (own, cluster) = (document("a", Some("web"), json!({})), document("a", None, json!({})));
        let told = judge(Change::Created(&own), &snapshot(std::slice::from_ref(&cluster))).warnings;
        assert!(told[0].contains("has no effect"), "{told:?}");
        let told = judge(Change::Created(&cluster), &snapshot(&[own])).warnings;
        assert!(told[0].contains("namespace \"web\""), "{told:?}");
    }

    #[test]
    fn a_change_that_leaves_the_spec_alone_is_always_fine() {
        let broken = document("inject", None, json!({"sidecars": 3}));
        let mut labelled = broken.clone();
        labelled["metadata"]["labels"] = json!({"a": "b"});
        labelled["status"] = json!({"injected": 3});
        let nothing = snapshot(&[]);
        assert_eq!(judge(Change::Updated(&broken, &labelled), &nothing), Opinion::default());
        let mut changed = labelled.clone();
        changed["spec"] = json!({"sidecars": 4});
        assert!(!judge(Change::Updated(&labelled, &changed), &nothing).errors.is_empty());
    }

    #[test]
    fn who_deletes_a_policy_is_told_what_is_left() {
        let mut policy = document("a", None, json!({}));
        let nothing = snapshot(&[]);
        let told = |policy: &Value| judge(Change::Deleted(policy), &nothing).warnings.remove(0);
        assert!(told(&policy).contains("not known here"));
        policy["status"] = json!({"injected": 120});
        assert!(told(&policy).contains("120 running Pods carry it"));
        assert!(told(&policy).contains("Pods that name it will be refused"));
        policy["status"]["named"] = json!(80);
        assert!(
            told(&policy).contains("80 name it, and Pods like these will be refused"),
            "{}",
            told(&policy)
        );
    }
}
