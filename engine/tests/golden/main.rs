//! Golden cases: policies and a Pod in, decision, patch and resulting Pod out; a second pass changes nothing.
//!
//! A file of `cases/` holds policies and a list of Pods; what comes out is reviewed in `snapshots/`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test that is the report"
)]

mod rows;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use outrigger_engine::{Admission, Settings, Snapshot, Verdict};
use serde::Deserialize;
use serde_json::Value;
use support::{apply, between_the_calls, decide, patch_of, snapshot};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Table {
    /// Names of folders of `policies/`.
    #[serde(default)]
    bundled: Vec<String>,
    /// Without `apiVersion` and `kind`: the cluster's, or a namespace's where there is a `metadata.namespace`.
    #[serde(default)]
    policies: Vec<Value>,
    #[serde(default)]
    namespaces: Vec<Value>,
    kubernetes_minor: Option<u32>,
    #[serde(default)]
    foreign_changes: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    #[serde(default = "default_namespace")]
    namespace: String,
    pod: Value,
}

fn default_namespace() -> String {
    "default".into()
}

fn table(path: &Path) -> (Table, Vec<Value>) {
    let table: Table = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies");
    let bundled = table.bundled.iter().map(|name| {
        let text = std::fs::read_to_string(folder.join(name).join("policy.yaml")).unwrap();
        serde_saphyr::from_str::<Value>(&text).unwrap()
    });
    let policies = bundled.chain(table.policies.iter().map(policy)).collect();
    (table, policies)
}

fn policy(short: &Value) -> Value {
    let kind = match short["metadata"]["namespace"] {
        Value::Null => "ClusterInjectionPolicy",
        _ => "InjectionPolicy",
    };
    let mut policy = short.clone();
    policy["apiVersion"] = "outrigger.dev/v1alpha1".into();
    policy["kind"] = kind.into();
    policy
}

fn settings(table: &Table) -> Settings {
    let default = Settings::default();
    Settings {
        kubernetes_minor: table.kubernetes_minor.unwrap_or(default.kubernetes_minor),
        foreign_changes: table.foreign_changes.clone(),
        ..default
    }
}

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
    insta::glob!("cases/*.yaml", |path| {
        let (table, policies) = table(path);
        let snapshot = snapshot(&policies, &table.namespaces, settings(&table));
        for case in &table.cases {
            let file = path.file_stem().unwrap().to_string_lossy();
            check(&format!("{file}: {}", case.name), &snapshot, case);
        }
    });
}

#[test]
fn golden_cases() {
    insta::glob!("cases/*.yaml", |path| {
        let (table, policies) = table(path);
        let snapshot = snapshot(&policies, &table.namespaces, settings(&table));
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
            insta::assert_snapshot!(text);
        });
    });
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
    insta::glob!("cases/*.yaml", |path| {
        let (table, mut policies) = table(path);
        let forward = snapshot(&policies, &table.namespaces, settings(&table));
        policies.reverse();
        let backward = snapshot(&policies, &table.namespaces, settings(&table));
        for case in &table.cases {
            let (a, b) = (
                decide(&forward, &case.namespace, &case.pod),
                decide(&backward, &case.namespace, &case.pod),
            );
            assert_eq!(a.verdict, b.verdict, "{}: {}", path.display(), case.name);
            assert_eq!(a.warnings, b.warnings, "{}: {}", path.display(), case.name);
        }
    });
}
