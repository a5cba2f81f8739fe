//! The guard as data: what it is made of, and what becomes of more policies than fit.
use outrigger::controller::guard::{Facts, Guard};
use outrigger_engine::{CompiledPolicy, Settings, Snapshot, compile};
use serde_json::{Value, json};
use std::sync::Arc;

fn policy(name: &str, spec: Value) -> Arc<CompiledPolicy> {
    let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
        "metadata": {"name": name}, "spec": spec});
    Arc::new(compile(&document).unwrap())
}

fn required(name: &str, condition: &str) -> Arc<CompiledPolicy> {
    policy(
        name,
        json!({"enforcement": "Required",
            "match": {"namespaceSelector": {"matchLabels": {"team": "web"}}, "conditions": [{"name": "it", "expression": condition}]},
            "sidecars": [{"container": {"name": name, "image": "registry.test/helper:1"}}]}),
    )
}

fn guard(policies: Vec<Arc<CompiledPolicy>>, facts: &Facts) -> Guard {
    Guard::of(&Snapshot::new(policies, Vec::new(), Settings::default()), facts)
}

#[test]
fn the_guard_does_not_depend_on_the_order_of_policies() {
    let mut policies: Vec<_> = (0..9).map(|index| required(&format!("p{index}"), "true")).collect();
    policies.extend((0..9).map(|index| policy(&format!("q{index}"), json!({"paused": true}))));
    let one = guard(policies.clone(), &Facts::default());
    policies.reverse();
    let other = guard(policies, &Facts::default());
    assert_eq!(one.required.policy, other.required.policy);
    assert_eq!(one.requested.policy, other.requested.policy);
}

#[test]
fn without_policies_there_is_a_guard_all_the_same() {
    let guard = guard(Vec::new(), &Facts::default());
    for check in [guard.requested, guard.required] {
        assert!(!check.policy["spec"]["validations"].as_array().unwrap().is_empty());
        assert_eq!(check.policy["spec"]["failurePolicy"], "Fail");
        assert_eq!(check.binding["spec"]["validationActions"], json!(["Deny"]));
        assert_eq!(check.binding["spec"]["policyName"], check.policy["metadata"]["name"]);
    }
}

#[test]
fn more_policies_than_fit_are_left_out_and_named() {
    let condition = format!("object.metadata.name != '{}'", "x".repeat(2000));
    let policies: Vec<_> = (0..1000)
        .map(|index| required(&format!("p{index}"), &condition))
        .collect();
    let required = guard(policies, &Facts::default()).required;
    let bytes = required.policy.to_string().len();
    assert!((700 * 1024..1000 * 1024).contains(&bytes), "{bytes}");
    let kept = required.policy["spec"]["validations"].as_array().unwrap().len() - 2;
    assert!(kept > 200, "{kept}");
    assert_eq!(required.left_out.len() + kept, 1000);
    assert!(
        required
            .left_out
            .iter()
            .all(|left_out| left_out.why.contains("fit into one object"))
    );
}

#[test]
fn a_policy_that_the_api_server_does_not_take_is_found_and_left_out_alone() {
    let policies = vec![required("good", "true"), required("odd", "math.abs(1) == 1")];
    let whole = guard(policies.clone(), &Facts::default()).required;
    let variables = whole.policy["spec"]["variables"].as_array().unwrap();
    let odd = variables
        .iter()
        .position(|variable| variable["expression"] == "math.abs(1) == 1")
        .unwrap();
    assert_eq!(whole.owner(&format!("spec.variables[{odd}].expression")), Some("odd"));
    for field in [
        "spec.variables[0].expression",
        "spec.variables[9999].name",
        "spec.matchConditions[0]",
        "spec",
        "",
    ] {
        assert_eq!(whole.owner(field), None, "{field}");
    }
    let facts = Facts {
        unusable: ["odd".to_owned()].into(),
        ..Facts::default()
    };
    let rest = guard(policies, &facts).required;
    let text = rest.policy.to_string();
    assert!(
        text.contains("selected_good") && !text.contains("selected_odd"),
        "{text}"
    );
    assert_eq!(rest.left_out.len(), 1);
    assert_eq!(rest.left_out[0].policy, "odd");
}

#[test]
fn names_that_look_alike_stay_apart() {
    let policies = vec![
        required("a-condition-0", "true"),
        required("a", "true"),
        required("0-a", "true"),
        required("condition-0-a", "false"),
    ];
    let guard = guard(policies, &Facts::default()).required;
    let mut names: Vec<&str> = guard.policy["spec"]["variables"]
        .as_array()
        .unwrap()
        .iter()
        .map(|variable| variable["name"].as_str().unwrap())
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}
