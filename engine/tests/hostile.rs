//! Input that nobody writes by accident: broken JSON, wrong types everywhere, Pods and policies far beyond any size.
//! An error is an answer; a panic or a full stack is not.

// A test says that it fails by panicking, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;

use outrigger_engine::{PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile, json};
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{apply, decide, patch_of, snapshot};

fn bundled() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../policies/log-saver/policy.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn pool() -> Vec<Value> {
    let mut pool: Vec<Value> = serde_saphyr::from_str(include_str!("properties/pool.yaml")).unwrap();
    for policy in &mut pool {
        policy["apiVersion"] = json!("outrigger.dev/v1alpha1");
        let members = policy.as_object_mut().unwrap();
        members.entry("kind").or_insert(json!("ClusterInjectionPolicy"));
    }
    pool.push(bundled());
    pool
}

fn everything() -> Snapshot {
    let mut policies = pool();
    for policy in &mut policies {
        if policy["kind"] == "ClusterInjectionPolicy" {
            policy["spec"]["match"] = json!({"namespaceSelector": {}});
        }
    }
    snapshot(&policies, &[], Settings::default())
}

/// Admits whatever can be read as a Pod, and says whether it could.
fn survives(snapshot: &Snapshot, text: &str) -> bool {
    let Ok(pod) = json::from_str::<PodView<'_>>(text) else {
        return false;
    };
    admit(
        snapshot,
        &PodRequest {
            namespace: "team",
            pod: &pod,
            object: &|| serde_json::from_str(text).ok(),
        },
    );
    true
}

/// A Pod with every field that the engine reads.
fn full_pod() -> Value {
    let container = |name: &str| {
        json!({"name": name, "image": "app", "env": [{"name": "A", "value": "1\u{e9}"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], "envFrom": [{"secretRef": {"name": "s"}}],
            "ports": [{"containerPort": 80, "name": "http", "protocol": "TCP"}],
            "volumeMounts": [{"name": "logs", "mountPath": "/data", "subPath": "a", "subPathExpr": "$(A)",
                "mountPropagation": "None", "readOnly": false}]})
    };
    json!({
        "metadata": {"name": "web", "generateName": "web-", "namespace": "",
            "labels": {"app": "web", "outrigger.dev/injected": "no"},
            "annotations": {"outrigger.dev/inject": "saver, proxy", "outrigger.dev/injected": "saver@0",
                "outrigger.dev/skipped": "x", "saver.outrigger.dev/path": "/data", "kubernetes.io/x~y": "\u{1F511}"}},
        "spec": {"containers": [container("web")], "initContainers": [container("migrate")],
            "volumes": [{"name": "logs", "hostPath": {"path": "/x", "readOnly": true}}, {"name": "c", "configMap": {}}],
            "imagePullSecrets": [{"name": "r"}], "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
            "hostPID": false, "hostNetwork": false, "shareProcessNamespace": null},
    })
}

#[test]
fn row_17_a_pod_that_is_cut_off_anywhere_is_an_error() {
    let (snapshot, text) = (everything(), full_pod().to_string());
    assert!(survives(&snapshot, &text));
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        assert!(!survives(&snapshot, &text[..end]), "cut off at {end}");
    }
}

#[test]
fn row_18_json_that_is_not_json_is_an_error() {
    let snapshot = everything();
    for text in [
        r#"{"metadata":{"name":"\x"}}"#,
        r#"{"metadata":{"name":"\ud800"}}"#,
        r#"{"metadata":{"name":"\u12"}}"#,
        "{\"metadata\":{\"name\":\"a\nb\"}}",
        r#"{"metadata":{},"metadata":{}}"#,
        "{\"spec\":{}}x",
        "1",
        "\u{feff}{}",
    ] {
        assert!(!survives(&snapshot, text), "{text}");
    }
    assert!(serde_json::from_slice::<PodView<'_>>(b"{\"metadata\":{\"name\":\"\xff\"}}").is_err());
}

/// The spec is read for those Pods only that get something.
#[test]
fn row_18_a_spec_that_is_none_is_told_and_nothing_is_added_to_it() {
    let (all, none) = (everything(), snapshot(&[], &[], Settings::default()));
    for text in [
        r#"{"spec":[]}"#,
        r#"{"spec":{"containers":{}}}"#,
        r#"{"spec":{"containers":[],"containers":[]}}"#,
        r#"{"spec":{"containers":[{"ports":[{"containerPort":1e999}]}]}}"#,
        r#"{"spec":{"containers":[{"ports":[{"containerPort":99999999999999999999}]}]}}"#,
        r#"{"spec":{"containers":[{"ports":[{"containerPort":80.5}]}]}}"#,
        r#"{"spec":{"volumes":[{"name":"a","x":1e999}]}}"#,
    ] {
        let pod: PodView<'_> = json::from_str(text).unwrap();
        let request = PodRequest {
            namespace: "team",
            pod: &pod,
            object: &|| serde_json::from_str(text).ok(),
        };
        assert_eq!(admit(&none, &request).verdict, Verdict::Unchanged);
        let admission = admit(&all, &request);
        assert!(
            format!("{admission:?}").contains("the Pod's spec cannot be read"),
            "{text}"
        );
        if let Verdict::Patched(patch) = &admission.verdict {
            assert!(!String::from_utf8_lossy(patch).contains("\"/spec"), "{text}");
        }
    }
}

/// Of equal keys the last one counts, and numbers that fit nowhere are nobody's business while nobody reads them.
#[test]
fn row_18_what_the_engine_does_not_read_may_be_anything() {
    let snapshot = everything();
    for text in [
        r#"{"metadata":{"annotations":{"outrigger.dev/inject":"nobody","outrigger.dev/inject":"saver"}}}"#,
        r#"{"spec":{"future":1e999,"other":-99999999999999999999999,"containers":[]}}"#,
        r#"{"spec":{"containers":[{"name":"a","env":[{"name":"A","valueFrom":{"x":1e999}}]}]}}"#,
        "{}",
        r#"{"metadata":null,"spec":null}"#,
    ] {
        assert!(survives(&snapshot, text), "{text}");
    }
}

#[test]
fn row_18_a_hundred_thousand_levels_do_not_fill_the_stack() {
    let snapshot = everything();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let inner = if open == "[" { "" } else { "1" };
        let deep = format!("{}{inner}{}", open.repeat(100_000), close.repeat(100_000));
        let mut read = 0;
        for text in [
            deep.clone(),
            format!(r#"{{"future":{deep}}}"#),
            format!(r#"{{"metadata":{{"annotations":{{"outrigger.dev/inject":"saver"}},"managedFields":{deep}}}}}"#),
            format!(r#"{{"metadata":{deep},"spec":{deep}}}"#),
            format!(r#"{{"metadata":{{"annotations":{deep}}}}}"#),
            format!(r#"{{"spec":{{"containers":{deep}}}}}"#),
            format!(r#"{{"spec":{{"containers":[{{"name":"saver","image":"saver:1","x":{deep}}}]}}}}"#),
            format!(r#"{{"spec":{{"containers":[{{"name":"a","env":[{{"name":"MODE","valueFrom":{deep}}}]}}]}}}}"#),
            format!(r#"{{"spec":{{"containers":[{{"name":"a","ports":[{{"containerPort":{deep}}}]}}]}}}}"#),
            format!(r#"{{"spec":{{"volumes":[{{"name":"scratch","future":{deep}}}]}}}}"#),
            format!(r#"{{"spec":{{"volumes":[{{"name":"scratch","configMap":{deep}}}]}}}}"#),
            open.repeat(100_000),
        ] {
            read += usize::from(survives(&snapshot, &text));
        }
        assert!(read >= 5, "only {read} are Pods");
    }
}

#[test]
fn a_value_of_the_wrong_type_anywhere_is_an_answer() {
    let (snapshot, pod) = (everything(), full_pod());
    let wrong = [
        json!(null),
        json!(1.5),
        json!("x"),
        json!([]),
        json!([null, 1, "a", {}, []]),
        json!({}),
        json!(true),
        json!({"a": null, "name": 1}),
        json!(u64::MAX),
    ];
    for path in pointers(&pod) {
        for value in &wrong {
            let mut pod = pod.clone();
            *pod.pointer_mut(&path).unwrap() = value.clone();
            survives(&snapshot, &pod.to_string());
        }
    }
}

/// JSON Pointers of all values.
fn pointers(value: &Value) -> Vec<String> {
    let mut found = vec![String::new()];
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        found.extend(pointers(child).into_iter().map(|rest| format!("/{key}{rest}")));
    }
    found
}

fn asking(spec: Value) -> Value {
    let names = "saver, sharer, proxy, metrics, files, second, variables, pod-wide, watcher";
    json!({"metadata": {"annotations": {"outrigger.dev/inject": names}}, "spec": spec})
}

/// Pods far above what the API server lets through (3 MiB), so that anything quadratic is felt: this file takes seconds,
/// not minutes. Each is `(what, Pod, operations)`: `operations` is how many the patch may have.
fn huge_pods() -> Vec<(&'static str, Value, usize)> {
    let many = |count: usize, item: &dyn Fn(usize) -> Value| Value::Array((0..count).map(item).collect());
    let containers = |count| {
        many(
            count,
            &|i| json!({"name": format!("c{i}"), "ports": [{"containerPort": i}]}),
        )
    };
    let env = many(100_000, &|i| json!({"name": format!("V{i}"), "value": "x"}));
    let mounts = many(
        50_000,
        &|i| json!({"name": format!("v{i}"), "mountPath": format!("/m/{i}")}),
    );
    let volumes = many(50_000, &|i| json!({"name": format!("v{i}"), "emptyDir": {}}));
    let annotated = |key: &dyn Fn(usize) -> String, count: usize| {
        let mut pod = asking(json!({"containers": [{"name": "web"}]}));
        for i in 0..count {
            pod["metadata"]["annotations"][key(i)] = json!("x");
        }
        pod
    };
    let with = |key: &str, value: String| {
        let mut pod = asking(json!({"containers": [{"name": "web"}]}));
        pod["metadata"]["annotations"][key] = json!(value);
        pod
    };
    vec![
        ("containers", asking(json!({"containers": containers(5_000)})), 30_000),
        (
            "init containers",
            asking(json!({"initContainers": containers(5_000), "containers": [{"name": "web"}]})),
            6_000,
        ),
        (
            "variables",
            asking(json!({"containers": [{"name": "web", "env": env}]})),
            40,
        ),
        (
            "mounts",
            asking(json!({"containers": [{"name": "web", "volumeMounts": mounts}], "volumes": volumes})),
            40,
        ),
        ("annotations", annotated(&|i| format!("example.com/a{i}"), 10_000), 40),
        (
            "parameters of no policy",
            annotated(&|i| format!("nobody.outrigger.dev/a{i}"), 50_000),
            40,
        ),
        (
            "unknown parameters",
            annotated(&|i| format!("saver.outrigger.dev/a{i}"), 50_000),
            40,
        ),
        (
            "wishes",
            with("outrigger.dev/inject", (0..300_000).map(|i| format!("p{i},")).collect()),
            0,
        ),
        (
            "the same wish",
            with("outrigger.dev/inject", "saver,".repeat(300_000)),
            40,
        ),
        (
            "opting out",
            with(
                "outrigger.dev/inject",
                (0..300_000).map(|i| format!("-p{i},")).collect(),
            ),
            40,
        ),
        (
            "a forged record",
            with("outrigger.dev/injected", "saver@1,watcher@2,".repeat(100_000)),
            40,
        ),
        (
            "a long forged record",
            with(
                "outrigger.dev/injected",
                (0..200_000).map(|i| format!("p{i}@1,")).collect(),
            ),
            40,
        ),
    ]
}

#[test]
fn row_19_a_huge_pod_is_answered_with_a_patch_of_its_own_size() {
    let policies: Vec<Value> = pool()
        .into_iter()
        .filter(|policy| policy["metadata"]["name"] != "broken")
        .collect();
    let snapshot = snapshot(&policies, &[], Settings::default());
    for (what, pod, most) in huge_pods() {
        let start = std::time::Instant::now();
        let admission = decide(&snapshot, "team", &pod);
        println!("{what}: {:?}", start.elapsed());
        let patch = patch_of(&admission);
        let operations = patch.as_array().unwrap().len();
        assert!(operations <= most, "{what}: {operations} operations");
        assert!(
            admission.warnings.len() <= 100,
            "{what}: {} warnings",
            admission.warnings.len()
        );
        let bytes = pod.to_string().len();
        if let Verdict::Patched(patch) = &admission.verdict {
            assert!(
                patch.len() < 4 * bytes + 100_000,
                "{what}: {} bytes for {bytes}",
                patch.len()
            );
            assert!(apply(&pod, &serde_json::from_slice(patch).unwrap()).is_object());
        }
    }
}

/// What is put in the place of a part of a policy.
fn wrong_value() -> impl Strategy<Value = Value> {
    let deep = (0..200).fold(json!(1), |inner, level| {
        if level % 2 == 0 {
            json!([inner])
        } else {
            json!({"a": inner})
        }
    });
    prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        prop::sample::select(vec![json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(1e300)]),
        prop::sample::select(vec![
            "",
            "${",
            "${params.path}",
            "${1 + 1}",
            "${object.spec}",
            "x${'a'}",
            "Ü b",
            "a/b",
            "..",
            "$${x}",
            "${[1, 2].map(x, x)}",
            "\u{0}"
        ])
        .prop_map(Value::from),
        Just(json!([])),
        Just(json!([null, 1, "a", {}, ["${x}"]])),
        Just(json!({})),
        Just(json!({"": null, "name": 1, "${x}": "${y}"})),
        Just(deep),
    ]
}

fn mutated() -> impl Strategy<Value = Value> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), wrong_value(), any::<bool>()), 1..4);
    (prop::sample::select(pool()), changes).prop_map(|(mut policy, changes)| {
        for (place, value, rename) in changes {
            let all = pointers(&policy["spec"]);
            let target = policy["spec"].pointer_mut(&all[place.index(all.len())]).unwrap();
            match target.as_object_mut() {
                Some(members) if rename => members.extend([("unknown/field~".to_owned(), value)]),
                _ => *target = value,
            }
        }
        policy
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn a_policy_that_is_wrong_anywhere_says_where(policy in mutated()) {
        let compiled = compile(&policy).unwrap();
        for error in compiled.errors() {
            prop_assert!(error.path == "spec" || error.path.starts_with("spec."), "{}", error);
            prop_assert!(!error.message.trim().is_empty(), "{}", error);
            prop_assert!(!error.message.contains('\n'), "{}", error);
        }
        // What is accepted serves every Pod.
        let name = policy["metadata"]["name"].as_str().unwrap().to_owned();
        let namespace = policy["metadata"]["namespace"].as_str().unwrap_or("default").to_owned();
        let snapshot = Snapshot::new(vec![Arc::new(compiled)], Vec::new(), Settings::default());
        let mut pod = full_pod();
        pod["metadata"]["annotations"] = json!({"outrigger.dev/inject": name});
        let admission = decide(&snapshot, &namespace, &pod);
        apply(&pod, &patch_of(&admission));
    }
}

#[test]
fn a_document_that_is_no_policy_is_an_error() {
    for document in [
        json!(null),
        json!([]),
        json!("x"),
        json!({}),
        json!({"kind": "Pod", "apiVersion": "v1"}),
        json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy"}),
        json!({"apiVersion": "outrigger.dev/v1", "kind": "ClusterInjectionPolicy", "metadata": {"name": "a"}}),
        json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": 1}}),
    ] {
        assert!(!compile(&document).unwrap_err().to_string().is_empty());
    }
}
