//! Golden cases: policies and a Pod in, decision, patch and resulting Pod out; a second pass changes nothing.
//!
//! A file of `cases/` holds policies and a list of Pods; what comes out is reviewed in `snapshots/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test that is the report"
)]

mod forgery;
mod rows;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/tables.rs"]
mod tables;

use outrigger_engine::{Admission, Snapshot, Verdict};
use serde_json::Value;
use support::{apply, between_the_calls, decide, patch_of, snapshot};
use tables::{Case, tables};

fn report(name: &str, admission: &Admission, pod: &Value) -> String {
    let mut text = format!("# {name}\n");
    match &admission.verdict {
        Verdict::Refused(refusal) => text += &format!("refused, {}: {}\n", refusal.code, refusal.message),
        Verdict::Unchanged => text += "unchanged\n",
        Verdict::Patched(_) => text += "patched\n",
    }
    for decision in &admission.decisions {
        text += &format!("decision: {} {}\n", decision.policy, decision.reason);
    }
    for warning in &admission.warnings {
        text += &format!("warning: {warning}\n");
    }
    for (key, value) in &admission.audit_annotations {
        text += &format!("audit: {key}={value}\n");
    }
    let patch = patch_of(admission);
    for operation in patch.as_array().unwrap() {
        text += &format!("add {}\n", operation["path"].as_str().unwrap());
    }
    if patch != serde_json::json!([]) {
        text += "---\n";
        text += &serde_saphyr::to_string(&apply(pod, &patch)).unwrap();
    }
    text + "\n"
}

/// Every case of every table, with its name and what decides about it.
fn each_case(mut check: impl FnMut(&str, &Snapshot, &Case)) {
    for table in tables() {
        let snapshot = snapshot(&table.policies, &table.namespaces, table.settings());
        table
            .cases
            .iter()
            .for_each(|case| check(&format!("{}: {}", table.name, case.name), &snapshot, case));
    }
}

#[test]
fn golden_cases() {
    for table in tables() {
        let snapshot = snapshot(&table.policies, &table.namespaces, table.settings());
        let mut text = String::new();
        for policy in snapshot.policies() {
            policy
                .errors()
                .iter()
                .for_each(|error| text += &format!("error: {error}\n"));
            policy
                .warnings()
                .iter()
                .for_each(|warning| text += &format!("loaded with a warning: {warning}\n"));
        }
        for case in &table.cases {
            text += &report(&case.name, &decide(&snapshot, &case.namespace, &case.pod), &case.pod);
        }
        insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(table.name.as_str(), text);
        });
    }
}

/// What the file of that name is about; so a policy that comes later is tried beside the others too.
#[test]
fn every_bundled_policy_is_in_the_pod_that_has_them_all() {
    let together = tables()
        .into_iter()
        .find(|table| table.name == "bundled_together")
        .unwrap();
    let snapshot = snapshot(&together.policies, &together.namespaces, together.settings());
    let case = &together.cases[0];
    let pod = apply(&case.pod, &patch_of(&decide(&snapshot, &case.namespace, &case.pod)));
    let injected = pod["metadata"]["annotations"]["outrigger.dev/injected"]
        .as_str()
        .unwrap();
    let injected: Vec<&str> = injected
        .split(',')
        .filter_map(|entry| entry.split('@').next())
        .collect();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let mut bundled: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    bundled.sort();
    assert_eq!(injected, bundled);
}

#[test]
fn row_3_a_second_pass_changes_nothing_in_any_golden_case() {
    let mut injected = 0;
    each_case(|name, snapshot, case| {
        let first = decide(snapshot, &case.namespace, &case.pod);
        if !matches!(first.verdict, Verdict::Patched(_)) {
            return;
        }
        injected += 1;
        let pod = apply(&case.pod, &patch_of(&first));
        for pod in [pod.clone(), between_the_calls(&pod)] {
            let second = decide(snapshot, &case.namespace, &pod);
            assert_eq!(patch_of(&second), serde_json::json!([]), "{name}");
            assert_eq!(second.verdict, Verdict::Unchanged, "{name}");
        }
    });
    assert!(injected > 100, "only {injected} cases inject anything");
}

#[test]
fn row_16_the_order_of_policies_does_not_matter_in_any_golden_case() {
    for mut table in tables() {
        let forward = snapshot(&table.policies, &table.namespaces, table.settings());
        table.policies.reverse();
        let backward = snapshot(&table.policies, &table.namespaces, table.settings());
        for case in &table.cases {
            let decide = |snapshot| decide(snapshot, &case.namespace, &case.pod);
            let (a, b) = (decide(&forward), decide(&backward));
            assert_eq!(a.verdict, b.verdict, "{}: {}", table.name, case.name);
            assert_eq!(a.warnings, b.warnings, "{}: {}", table.name, case.name);
        }
    }
}
