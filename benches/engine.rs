//! What the engine costs: the Pod read from its JSON, decided about, the patch written. No network.
//!
//! `cargo bench --bench engine`
#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a benchmark whose input is wrong cannot go on")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use outrigger_engine::{Namespace, PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile, json};
use serde_json::{Value, json};

const REVIEW: &str = include_str!("../tests/fixtures/review.json");
const LOG_SAVER: &str = include_str!("../policies/log-saver/policy.yaml");

fn pod() -> Value {
    let review: Value = serde_json::from_str(REVIEW).unwrap();
    review["request"]["object"].clone()
}

fn log_saver() -> Value {
    serde_saphyr::from_str(LOG_SAVER).unwrap()
}

fn snapshot(policies: &[Value], namespace: Namespace) -> Snapshot {
    let compiled = policies.iter().map(|policy| {
        let policy = compile(policy).unwrap();
        assert_eq!(policy.errors(), []);
        Arc::new(policy)
    });
    Snapshot::new(compiled.collect(), vec![namespace], Settings::default())
}

fn shop() -> Namespace {
    Namespace::named("shop")
}

/// Admits the Pod in `text`, and says whether a patch came out.
fn decide(snapshot: &Snapshot, text: &str) -> bool {
    let view: PodView<'_> = json::from_str(text).unwrap();
    let object = || serde_json::from_str(text).ok();
    let admission = admit(
        snapshot,
        &PodRequest {
            namespace: "shop",
            pod: &view,
            object: &object,
        },
    );
    matches!(black_box(admission).verdict, Verdict::Patched(_))
}

fn one_pod(criterion: &mut Criterion) {
    let snapshot = snapshot(&[log_saver()], shop());
    let mut group = criterion.benchmark_group("one Pod of 5 KB");
    let mut plain = pod();
    plain["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .shift_remove("outrigger.dev/inject");
    let mut with_path = pod();
    with_path["metadata"]["annotations"]["log-saver.outrigger.dev/path"] = json!("/var/log/nginx");
    for (name, pod, injects) in [
        ("not selected", plain, false),
        ("log-saver", pod(), true),
        ("log-saver with a parameter", with_path, true),
    ] {
        let text = pod.to_string();
        assert_eq!(decide(&snapshot, &text), injects, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| decide(&snapshot, &text)));
    }
    let text = pod().to_string();
    group.bench_function("only read", |bencher| {
        bencher.iter(|| black_box(json::from_str::<PodView<'_>>(black_box(&text)).unwrap()));
    });
    group.finish();
}

fn many_variables(criterion: &mut Criterion) {
    let snapshot = snapshot(&[log_saver()], shop());
    let mut group = criterion.benchmark_group("variables of one container");
    for count in [250, 500, 1000, 2000] {
        let mut pod = pod();
        let variables = (0..count).map(|i| json!({"name": format!("VARIABLE_{i}"), "value": format!("value {i}")}));
        pod["spec"]["containers"][0]["env"] = variables.collect();
        let text = pod.to_string();
        assert!(decide(&snapshot, &text));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| decide(&snapshot, &text))
        });
    }
    group.finish();
}

/// The `match` of the n-th policy that does not match.
type OtherMatch = fn(usize) -> Value;

/// Policies that could be meant by the same means as the one that is, but are not.
fn many_policies(criterion: &mut Criterion) {
    let cases: [(&str, OtherMatch); 4] = [
        ("on request", |_| Value::Null),
        ("by namespace label", |_| Value::Null),
        (
            "by selector",
            |i| json!({"podSelector": {"matchLabels": {"tier": format!("tier-{i}")}}}),
        ),
        ("by condition", |i| {
            json!({"namespaceSelector": {"matchLabels": {"team": format!("team-{i}")}},
                "conditions": [{"name": "has-a-name", "expression": "has(object.metadata.generateName)"}]})
        }),
    ];
    for (name, matches) in cases {
        let mut group = criterion.benchmark_group(format!("policies loaded, {name}"));
        for count in [10, 1000] {
            let mut namespace = shop();
            let mut pod = pod();
            let mut own = log_saver();
            match name {
                "on request" => {}
                "by namespace label" => {
                    namespace
                        .labels
                        .insert("inject.outrigger.dev/log-saver".into(), "enabled".into());
                }
                "by selector" => own["spec"]["match"] = json!({"podSelector": {"matchLabels": {"tier": "frontend"}}}),
                _ => {
                    namespace.labels.insert("team".into(), "shop".into());
                    own["spec"]["match"] = matches(0);
                    own["spec"]["match"]["namespaceSelector"] = json!({"matchLabels": {"team": "shop"}});
                }
            }
            if name != "on request" {
                pod["metadata"]["annotations"]
                    .as_object_mut()
                    .unwrap()
                    .shift_remove("outrigger.dev/inject");
            }
            let mut policies = vec![own];
            policies.extend((1..count).map(|i| {
                let mut other = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
                    "metadata": {"name": format!("policy-{i}")},
                    "spec": {"sidecars": [{"container": {"name": format!("helper-{i}"), "image": "helper:1"}}]}});
                if !matches(i).is_null() {
                    other["spec"]["match"] = matches(i);
                }
                other
            }));
            let snapshot = snapshot(&policies, namespace);
            let text = pod.to_string();
            assert!(decide(&snapshot, &text), "{name}");
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| decide(&snapshot, &text))
            });
        }
        group.finish();
    }
}

criterion_group!(benches, one_pod, many_variables, many_policies);
criterion_main!(benches);
