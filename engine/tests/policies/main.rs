//! Policies that are wrong, and what their authors read; and which changes of a policy make another version of it.

// A test says that it fails by panicking, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use outrigger_engine::{Settings, Verdict, compile};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use support::{apply, decide, patch_of, snapshot};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    what: String,
    #[serde(default = "good_name")]
    name: String,
    #[serde(default = "cluster_kind")]
    kind: String,
    spec: Option<Value>,
    container: Option<Map<String, Value>>,
    sidecar: Option<Map<String, Value>>,
    ambassador: Option<Map<String, Value>>,
    adapter: Option<Map<String, Value>>,
    init: Option<Map<String, Value>>,
    conditions: Option<usize>,
    #[serde(default)]
    long: bool,
}

fn good_name() -> String {
    "saver".into()
}

fn cluster_kind() -> String {
    "ClusterInjectionPolicy".into()
}

impl Case {
    fn policy(self) -> Value {
        let spec = self.spec_of();
        json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": self.kind, "metadata": {"name": self.name}, "spec": spec})
    }

    fn spec_of(&self) -> Value {
        let entry = |members: &Map<String, Value>| {
            let mut entry = json!({"container": {"name": "saver", "image": "saver:1"}});
            lay_over(&mut entry, members);
            json!([entry])
        };
        if let Some(container) = &self.container {
            return json!({"sidecars": entry(&Map::from_iter([("container".to_owned(), json!(container))]))});
        }
        let kinds = [
            ("sidecars", &self.sidecar),
            ("ambassadors", &self.ambassador),
            ("adapters", &self.adapter),
            ("initContainers", &self.init),
        ];
        if let Some((list, members)) = kinds
            .into_iter()
            .find_map(|(list, members)| Some((list, members.as_ref()?)))
        {
            return json!({list: entry(members)});
        }
        if let Some(count) = self.conditions {
            let conditions: Vec<Value> = (0..count)
                .map(|i| json!({"name": format!("c{i}"), "expression": "true"}))
                .collect();
            return json!({"match": {"conditions": conditions}});
        }
        if self.long {
            let items = json!({"a": "x".repeat(10_000), "b": "x".repeat(10_000)});
            return json!({"sidecars": entry(&Map::from_iter([("files".to_owned(), json!({"mountPath": "/a", "items": items}))]))});
        }
        self.spec.clone().unwrap_or(json!({}))
    }
}

fn lay_over(entry: &mut Value, members: &Map<String, Value>) {
    for (key, value) in members {
        match (entry.get_mut(key), value) {
            (Some(Value::Object(there)), Value::Object(more)) => there.extend(more.clone()),
            _ => entry[key] = value.clone(),
        }
    }
}

#[test]
fn every_mistake_is_answered_with_its_place_and_the_way_out() {
    let cases: Vec<Case> = serde_saphyr::from_str(include_str!("wrong.yaml")).unwrap();
    let mut text = String::new();
    for case in cases {
        let what = case.what.clone();
        let policy = compile(&case.policy()).unwrap();
        text += &format!("# {what}\n");
        if policy.errors().is_empty() {
            text += "accepted\n";
        }
        for error in policy.errors() {
            text += &format!("{}: {}\n", error.path, error.message);
        }
    }
    assert!(!text.contains("accepted"), "{text}");
    insta::with_settings!({omit_expression => true, prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("wrong", text);
    });
}

/// The version of a policy that an injected Pod carries.
fn version(policy: &Value) -> String {
    let snapshot = snapshot(std::slice::from_ref(policy), &[], Settings::default());
    let errors: Vec<String> = snapshot.policies()[0]
        .errors()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors, Vec::<String>::new());
    let pod = json!({"metadata": {"annotations": {"outrigger.dev/inject": "saver"}}, "spec": {"containers": [{"name": "web"}]}});
    let admission = decide(&snapshot, "default", &pod);
    let pod = apply(&pod, &patch_of(&admission));
    let record = pod["metadata"]["annotations"]["outrigger.dev/injected"].as_str();
    record
        .unwrap_or_else(|| panic!("nothing is injected: {admission:?}"))
        .to_owned()
}

fn versioned() -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": "saver"}, "spec": {
        "parameters": [{"name": "path", "type": "string", "default": "/data"}],
        "sidecars": [{"container": {"name": "saver", "image": "saver:1", "args": ["a", "b"]},
            "sharedVolumes": [{"path": "${params.path}"}],
            "files": {"mountPath": "/etc/saver", "items": {"a.yaml": {"x": 1, "y": 2}}}}],
        "ambassadors": [{"container": {"name": "proxy", "image": "proxy:1"}, "endpoints": [{"name": "a", "port": 1}]}],
        "adapters": [{"container": {"name": "exporter", "image": "exporter:1"}, "metrics": {"port": 2}}],
    }})
}

fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .rev()
            .map(|(key, value)| (key.clone(), reversed(value)))
            .collect(),
        Value::Array(items) => items.iter().map(reversed).collect(),
        scalar => scalar.clone(),
    }
}

#[test]
fn what_renders_the_same_is_the_same_version() {
    let policy = versioned();
    let hash = version(&policy);
    assert_eq!(version(&reversed(&policy)), hash, "keys in another order");
    for (path, value) in [
        ("/spec/description", json!("Another text.")),
        ("/spec/match", json!({"podSelector": {"matchLabels": {"a": "b"}}})),
        ("/spec/allowedNamespaces", json!({})),
        ("/spec/paused", json!(false)),
        ("/spec/enforcement", json!("BestEffort")),
        ("/spec/allowHostNetwork", json!(false)),
        ("/spec/app", json!({})),
        ("/spec/app", json!({"containers": [], "env": [], "volumeMounts": []})),
        ("/spec/pod", json!({"labels": {}, "annotations": {}, "volumes": []})),
        ("/spec/initContainers", json!([])),
        ("/spec/parameters/0/description", json!("Where.")),
        ("/spec/parameters/0/settableBy", json!(["Pod", "Namespace"])),
        ("/spec/sidecars/0/lifecycle", json!("Auto")),
        ("/spec/sidecars/0/placement", json!({})),
        ("/spec/sidecars/0/placement", json!({"before": [], "after": []})),
        ("/spec/sidecars/0/serviceAccountToken", json!("Inherit")),
        ("/spec/sidecars/0/serviceAccountToken", json!(null)),
        ("/spec/sidecars/0/endpoints", json!([])),
        ("/spec/sidecars/0/metrics", json!(null)),
        ("/spec/sidecars/0/files/mode", json!(null)),
        ("/status", json!({"injected": 3})),
        ("/metadata/labels", json!({"a": "b"})),
    ] {
        assert_eq!(version(&with(&policy, path, value)), hash, "{path}");
    }
}

#[test]
fn what_renders_otherwise_is_another_version() {
    let policy = versioned();
    let mut seen = vec![version(&policy)];
    for (path, value) in [
        ("/spec/allowHostNetwork", json!(true)),
        ("/spec/app", json!({"env": [{"name": "A", "value": "a"}]})),
        ("/spec/pod", json!({"labels": {"a": "b"}})),
        ("/spec/parameters/0/default", json!("/srv")),
        ("/spec/sidecars/0/lifecycle", json!("Container")),
        ("/spec/sidecars/0/placement", json!({"position": "First"})),
        ("/spec/sidecars/0/serviceAccountToken", json!("None")),
        ("/spec/sidecars/0/container/args", json!(["b", "a"])),
        ("/spec/sidecars/0/container/image", json!("saver:2")),
        ("/spec/sidecars/0/container/futureField", json!(1)),
        ("/spec/sidecars/0/sharedVolumes/0/readOnly", json!(true)),
        ("/spec/sidecars/0/files/mode", json!("0600")),
        ("/spec/sidecars/0/files/items", json!({"a.yaml": {"x": 1}})),
        ("/spec/sidecars/0/includeWhen", json!("${true}")),
        ("/spec/ambassadors/0/endpoints/0/protocol", json!("UDP")),
        ("/spec/adapters/0/metrics/path", json!("/stats")),
    ] {
        let version = version(&with(&policy, path, value));
        assert!(!seen.contains(&version), "{path}");
        seen.push(version);
    }
}

fn with(policy: &Value, path: &str, value: Value) -> Value {
    let patch = json!([{"op": "add", "path": path, "value": value}]);
    apply(policy, &patch)
}

#[test]
fn values_that_no_pod_could_have_refuse_the_pod_or_leave_the_policy_out() {
    let container = json!({"name": "saver", "image": "saver:1",
        "ports": [{"containerPort": "${params.port}"}],
        "volumeMounts": [{"name": "data", "mountPath": "/data", "subPath": "${params.part}"}],
        "resources": {"requests": {"memory": "32Mi"}, "limits": {"memory": "${params.limit}"}}});
    let parameters = json!([{"name": "port", "type": "integer", "default": 80}, {"name": "part", "type": "string", "default": "a"},
        {"name": "limit", "type": "string", "default": "64Mi"}, {"name": "more", "type": "string"}]);
    let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": "saver"},
        "spec": {"parameters": parameters, "match": {"podSelector": {}}, "sidecars": [{"container": container}],
            "pod": {"volumes": [{"name": "data", "emptyDir": {}}]}}});
    let snapshot = snapshot(&[policy], &[], Settings::default());
    for (parameter, value, path, message) in [
        ("port", "0", "ports[0].containerPort", "0 is not a port"),
        ("port", "70000", "ports[0].containerPort", "70000 is not a port"),
        ("part", "../b", "volumeMounts[0].subPath", "leaves the volume"),
        (
            "limit",
            "16Mi",
            "resources.requests.memory",
            "32Mi is more than the limit 16Mi",
        ),
        ("limit", "lots", "resources.limits.memory", "\"lots\" is not a quantity"),
    ] {
        let mut pod = json!({"metadata": {"annotations": {"saver.outrigger.dev/more": "x"}}, "spec": {"containers": [{"name": "web"}]}});
        let value_key = format!("saver.outrigger.dev/{parameter}");
        pod["metadata"]["annotations"][value_key] = json!(value);
        let admission = decide(&snapshot, "default", &pod);
        let after = apply(&pod, &patch_of(&admission));
        let note = after["metadata"]["annotations"]["outrigger.dev/skipped"]
            .as_str()
            .unwrap_or_default();
        assert!(
            note.contains(path) && note.contains(message),
            "{parameter}={value}: {note}"
        );
        assert_eq!(after["spec"], pod["spec"], "{parameter}={value}");

        pod["metadata"]["annotations"]["outrigger.dev/inject"] = json!("saver");
        let refused = decide(&snapshot, "default", &pod);
        let Verdict::Refused(refusal) = refused.verdict else {
            panic!("{parameter}={value} is admitted")
        };
        assert!(
            refusal.message.contains(path) && refusal.message.contains(message),
            "{}",
            refusal.message
        );
    }
}
