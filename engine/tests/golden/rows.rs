//! Rows of the reliability checklist that the engine proves by itself: over all golden cases, or by a table of their own.

use std::sync::Arc;

use outrigger_engine::{Admission, Settings, Snapshot, Verdict, compile};
use serde_json::{Value, json};

use crate::each_case;
use crate::support::{apply, decide, patch_of, snapshot};
use crate::tables::policy;

fn admit_with(policies: &[Value], namespace: &str, pod: &Value) -> Admission {
    let policies: Vec<Value> = policies.iter().map(policy).collect();
    decide(&snapshot(&policies, &[], Settings::default()), namespace, pod)
}

fn asking_for(names: &str) -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": names}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    })
}

/// A policy that adds something everywhere.
fn everywhere() -> Value {
    json!({"metadata": {"name": "everywhere"}, "spec": {
        "match": {"podSelector": {}},
        "sidecars": [
            {"container": {"name": "native", "image": "helper"}, "sharedVolumes": [{"path": "/srv/x"}]},
            {"container": {"name": "beside", "image": "helper"}, "lifecycle": "Container"},
        ],
        "app": {"env": [{"name": "A", "value": "a"}]},
        "pod": {"labels": {"example.com/a": "a"}, "annotations": {"example.com/a": "a"},
            "imagePullSecrets": [{"name": "pull"}], "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]},
    }})
}

#[test]
fn row_2_a_pod_that_is_not_selected_is_left_alone_although_broken_policies_are_loaded() {
    let broken = [
        json!({"metadata": {"name": "a"}, "spec": {"sidecars": [{"container": {"name": "A"}}]}}),
        json!({"metadata": {"name": "b"}, "spec": {"match": {"podSelector": {"matchLabels": {"a": "b"}}}, "sidecars": 1}}),
        json!({"metadata": {"name": "c"}, "spec": {"enforcement": "Required", "match": {}}}),
        json!({"metadata": {"name": "d"}, "spec": {"match": {"conditions": [{"name": "x", "expression": "1 +"}]}}}),
        json!({"metadata": {"name": "e"}, "spec": {"unknown": true}}),
        json!({"metadata": {"name": "f"}, "spec": "none"}),
        json!({"metadata": {"name": "G"}, "spec": {}}),
        json!({"metadata": {"name": "h"}}),
    ];
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}});
    let admission = admit_with(&broken, "default", &pod);
    assert_eq!(admission.verdict, Verdict::Unchanged);
    assert_eq!(admission.warnings, Vec::<String>::new());
    assert_eq!(admission.decisions, []);
}

/// An operation `add` as RFC 6902 words it, by hand: json-patch must come to the same.
fn added(mut pod: Value, operation: &Value) -> Value {
    let path = operation["path"].as_str().unwrap().strip_prefix('/').unwrap();
    let mut keys = path.split('/').map(|key| key.replace("~1", "/").replace("~0", "~"));
    let last = keys.next_back().unwrap();
    let parent = keys.fold(&mut pod, |value, key| match value {
        Value::Array(items) => &mut items[key.parse::<usize>().unwrap()],
        value => &mut value[&key],
    });
    let value = operation["value"].clone();
    match parent {
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => items.insert(last.parse().unwrap(), value),
        parent => parent[&last] = value,
    }
    pod
}

#[test]
fn row_4_a_patch_means_what_rfc_6902_says() {
    each_case(|name, snapshot, case| {
        let patch = patch_of(&decide(snapshot, &case.namespace, &case.pod));
        let by_hand = patch.as_array().unwrap().iter().fold(case.pod.clone(), added);
        assert_eq!(apply(&case.pod, &patch), by_hand, "{name}");
    });
}

#[test]
fn a_broken_policy_serves_on_with_its_last_good_version() {
    let named = |spec: Value| compile(&policy(&json!({"metadata": {"name": "p"}, "spec": spec}))).unwrap();
    let good = named(json!({"sidecars": [{"container": {"name": "helper", "image": "helper:1"}}]}));
    let broken = named(json!({"sidecars": [{"container": {"name": "Helper", "image": "helper:2"}}]}));
    let snapshot = Snapshot::new(
        vec![Arc::new(broken.or_last_good(Some(&good)))],
        Vec::new(),
        Settings::default(),
    );
    let patched = apply(
        &asking_for("p"),
        &patch_of(&decide(&snapshot, "default", &asking_for("p"))),
    );
    assert_eq!(patched["spec"]["initContainers"][0]["image"], "helper:1");
}

/// Each of `places` absent, `null`, empty or with something in it, in all combinations.
fn shapes(places: &[(&str, Value)]) -> Vec<Value> {
    let base = json!({"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}});
    places.iter().fold(vec![base], |shapes, (pointer, full)| {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let empty = if full.is_object() { json!({}) } else { json!([]) };
        let values = [None, Some(Value::Null), Some(empty), Some(full.clone())];
        let with = |shape: &Value, value: &Option<Value>| {
            let mut shape = shape.clone();
            if let Some(value) = value {
                shape.pointer_mut(parent).unwrap()[key] = value.clone();
            }
            shape
        };
        shapes
            .iter()
            .flat_map(|shape| values.iter().map(move |value| with(shape, value)))
            .collect()
    })
}

#[test]
fn row_5_parents_may_be_absent_null_or_empty() {
    let places = [
        ("/metadata/annotations", json!({"x": "y"})),
        ("/metadata/labels", json!({"x": "y"})),
        ("/spec/volumes", json!([{"name": "v", "emptyDir": {}}])),
        ("/spec/initContainers", json!([{"name": "i", "image": "i"}])),
        ("/spec/containers/0/env", json!([{"name": "E", "value": "e"}])),
        (
            "/spec/containers/0/volumeMounts",
            json!([{"name": "v", "mountPath": "/v"}]),
        ),
    ];
    let others = [
        ("/spec/imagePullSecrets", json!([{"name": "s"}])),
        ("/spec/hostAliases", json!([{"ip": "10.0.0.2", "hostnames": ["b"]}])),
    ];
    for pod in shapes(&places).into_iter().chain(shapes(&others)) {
        let patched = apply(&pod, &patch_of(&admit_with(&[everywhere()], "default", &pod)));
        assert_eq!(patched["metadata"]["annotations"]["example.com/a"], "a", "{pod}");
        assert_eq!(patched["metadata"]["labels"]["outrigger.dev/injected"], "true", "{pod}");
        assert_eq!(patched["spec"]["containers"][0]["env"][0]["name"], "A", "{pod}");
        let last = |pointer: &str| {
            patched
                .pointer(pointer)
                .unwrap()
                .as_array()
                .unwrap()
                .last()
                .unwrap()
                .clone()
        };
        assert_eq!(last("/spec/initContainers")["name"], "native", "{pod}");
        assert_eq!(last("/spec/containers")["name"], "beside", "{pod}");
        assert_eq!(last("/spec/containers/0/volumeMounts")["mountPath"], "/srv/x", "{pod}");
        assert_eq!(last("/spec/volumes")["emptyDir"], json!({}), "{pod}");
        assert_eq!(contained(&pod, &patched), Ok(()), "{pod}");
    }
}

#[test]
fn row_6_keys_are_escaped() {
    let own = json!({"~": "1", "/": "2", "~0": "3", "~1": "4", "a/b": "5", "é/ü ñ": "6", "": "7", "\"\\\n": "8"});
    let added = json!({"example.com/a.b_c-d": "x", "example.com/A": "y", "b": "z"});
    let adding =
        json!({"metadata": {"name": "keys"}, "spec": {"pod": {"annotations": added, "labels": {"x.y/z": "w"}}}});
    let mut pod = asking_for("keys");
    own.as_object()
        .unwrap()
        .iter()
        .for_each(|(key, value)| pod["metadata"]["annotations"][key] = value.clone());
    let patched = apply(&pod, &patch_of(&admit_with(&[adding], "default", &pod)));
    let annotations = patched["metadata"]["annotations"].as_object().unwrap();
    for (key, value) in own.as_object().unwrap().iter().chain(added.as_object().unwrap()) {
        assert_eq!(annotations.get(key), Some(value), "{key}");
    }
    let ours = ["outrigger.dev/inject", "outrigger.dev/injected"];
    assert!(ours.iter().all(|key| annotations.contains_key(*key)));
    assert_eq!(annotations.len(), own.as_object().unwrap().len() + 3 + ours.len());
    assert_eq!(
        patched["metadata"]["labels"],
        json!({"x.y/z": "w", "outrigger.dev/injected": "true"})
    );
}

/// Whether all of `original` is in `patched`: members by key, items in their order with others between them. A `null`
/// and the values of our own annotations may have become something.
fn contained(original: &Value, patched: &Value) -> Result<(), String> {
    match (original, patched) {
        (Value::Null, _) => Ok(()),
        (Value::Object(original), Value::Object(patched)) => original.iter().try_for_each(|(key, value)| {
            if matches!(key.as_str(), "outrigger.dev/injected" | "outrigger.dev/skipped") {
                return Ok(());
            }
            contained(value, patched.get(key).unwrap_or(&Value::Null)).map_err(|path| format!("{key}.{path}"))
        }),
        (Value::Array(original), Value::Array(patched)) => {
            let mut patched = patched.iter();
            original.iter().enumerate().try_for_each(|(index, item)| {
                match patched.any(|other| contained(item, other).is_ok()) {
                    true => Ok(()),
                    false => Err(format!("[{index}]")),
                }
            })
        }
        _ if original == patched => Ok(()),
        _ => Err(format!("{original} became {patched}")),
    }
}

/// Where a patch may go: nothing that the Pod already says is in these, but lists and maps that grow.
const GROWING: [&str; 12] = [
    "/metadata",
    "/metadata/annotations",
    "/metadata/labels",
    "/spec",
    "/spec/volumes",
    "/spec/initContainers",
    "/spec/containers",
    "/spec/imagePullSecrets",
    "/spec/hostAliases",
    "/spec/shareProcessNamespace",
    "/env",
    "/volumeMounts",
];

#[test]
fn row_7_what_the_pod_says_stays_and_nothing_else_is_touched() {
    each_case(|name, snapshot, case| {
        let patch = patch_of(&decide(snapshot, &case.namespace, &case.pod));
        let patched = apply(&case.pod, &patch);
        assert_eq!(contained(&case.pod, &patched), Ok(()), "{name}");
        for operation in patch.as_array().unwrap() {
            let path = operation["path"].as_str().unwrap();
            let (parent, _) = path.rsplit_once('/').unwrap();
            let goes = |place: &str| match place {
                "/env" | "/volumeMounts" => path.ends_with(place) || parent.ends_with(place),
                _ => path == place || parent == place,
            };
            assert!(GROWING.iter().any(|place| goes(place)), "{name}: {path}");
        }
    });
}

#[test]
fn row_8_names_and_paths_that_are_taken_are_never_given_twice() {
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "match": {"podSelector": {}},
        "sidecars": [{"container": {"name": "helper", "image": "helper"}, "sharedVolumes": [{"path": "/srv/x"}]}],
        "app": {"volumeMounts": [{"name": "v", "mountPath": "/v"}]},
        "pod": {"volumes": [{"name": "v", "emptyDir": {}}]},
    }});
    let mut pods = Vec::new();
    for (pointer, value, clashes) in [
        (
            "/spec/containers",
            json!([{"name": "web"}, {"name": "helper", "image": "own"}]),
            true,
        ),
        (
            "/spec/initContainers",
            json!([{"name": "helper", "image": "own"}]),
            true,
        ),
        ("/spec/volumes", json!([{"name": "v", "hostPath": {"path": "/"}}]), true),
        (
            "/spec/containers",
            json!([{"name": "web", "volumeMounts": [{"name": "w", "mountPath": "/v/"}]}]),
            true,
        ),
        (
            "/spec/containers",
            json!([{"name": "web", "volumeMounts": [{"name": "w", "mountPath": "/srv/x/"}]}]),
            false,
        ),
        ("/spec/volumes", json!([{"name": "v", "emptyDir": {}}]), false),
    ] {
        let mut pod = json!({"metadata": {}, "spec": {"containers": [{"name": "web"}], "volumes": [{"name": "w", "emptyDir": {}}]}});
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        pod.pointer_mut(parent).unwrap()[key] = value;
        pods.push((pod, clashes));
    }
    for (pod, clashes) in pods {
        let admission = admit_with(std::slice::from_ref(&policy), "default", &pod);
        let patched = apply(&pod, &patch_of(&admission));
        assert_eq!(
            admission.warnings.len(),
            usize::from(clashes),
            "{pod}: {:?}",
            admission.warnings
        );
        assert_eq!(
            patched["metadata"]["annotations"]
                .get("outrigger.dev/skipped")
                .is_some(),
            clashes,
            "{pod}"
        );
        assert_eq!(repeated(&patched), None, "{pod}");
    }
    each_case(|name, snapshot, case| {
        let patched = apply(&case.pod, &patch_of(&decide(snapshot, &case.namespace, &case.pod)));
        assert!(repeated(&case.pod).is_some() || repeated(&patched).is_none(), "{name}");
    });
}

/// The first name of a container or volume, path of a mount or name of a variable that is there twice.
fn repeated(pod: &Value) -> Option<String> {
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let keys = |items: &[Value], key: &str| -> Vec<String> {
        let text = |item: &Value| item[key].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        items.iter().map(text).collect()
    };
    let spec = &pod["spec"];
    let containers = [items(&spec["initContainers"]), items(&spec["containers"])].concat();
    let mut lists = vec![keys(&containers, "name"), keys(&items(&spec["volumes"]), "name")];
    for container in &containers {
        lists.push(keys(&items(&container["volumeMounts"]), "mountPath"));
        lists.push(keys(&items(&container["env"]), "name"));
    }
    lists.into_iter().find_map(|mut list| {
        list.sort();
        list.windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| pair[0].clone())
    })
}

#[test]
fn row_9_the_namespace_is_that_of_the_request() {
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "sidecars": [{"container": {"name": "helper", "image": "helper:${request.namespace}"}}],
    }});
    for metadata in [
        json!({"generateName": "web-"}),
        json!({"name": "web", "namespace": "other"}),
        json!({"namespace": ""}),
    ] {
        let mut pod = asking_for("p");
        let annotations = pod["metadata"]["annotations"].clone();
        pod["metadata"] = metadata;
        pod["metadata"]["annotations"] = annotations;
        let patched = apply(
            &pod,
            &patch_of(&admit_with(std::slice::from_ref(&policy), "shop", &pod)),
        );
        assert_eq!(patched["spec"]["initContainers"][0]["image"], "helper:shop");
    }
}

#[test]
fn row_14_a_mirror_pod_is_untouched() {
    for asks in ["everywhere", "nobody", "TRUE", ""] {
        let mut pod = asking_for(asks);
        pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("");
        let admission = admit_with(&[everywhere()], "default", &pod);
        assert_eq!(admission.verdict, Verdict::Unchanged);
        assert_eq!(admission.warnings, Vec::<String>::new());
    }
}

#[test]
fn row_15_every_operation_adds_below_a_parent_that_is_there() {
    each_case(|name, snapshot, case| {
        let mut pod = case.pod.clone();
        for operation in patch_of(&decide(snapshot, &case.namespace, &case.pod))
            .as_array()
            .unwrap()
        {
            assert_eq!(operation["op"], "add", "{name}");
            let path = operation["path"].as_str().unwrap();
            let (parent, key) = path.rsplit_once('/').unwrap();
            match pod.pointer(parent) {
                Some(Value::Object(_)) => {}
                Some(Value::Array(items)) if key == "-" => assert!(!items.is_empty(), "{name}: {path}"),
                Some(Value::Array(items)) => assert!(key.parse::<usize>().unwrap() <= items.len(), "{name}: {path}"),
                other => panic!("{name}: {path} has the parent {other:?}"),
            }
            pod = apply(&pod, &json!([operation]));
        }
    });
}

/// Values that try to be more than values.
const HOSTILE: [&str; 12] = [
    "\"",
    "'; rm -rf / #",
    "a\nb: c\n- d",
    "\r\n\t\u{0}\u{1b}[31m",
    "{{ .Values.x }}",
    "${params.value}",
    "$${params.value}",
    "$(SECRET)",
    "$$(SECRET)",
    "$$$(SECRET) $",
    "*anchor &x !!binary |-",
    "\u{2028}\u{feff}é\\",
];

#[test]
fn row_51_a_hostile_value_is_a_value_and_nothing_else() {
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "parameters": [{"name": "value", "type": "string", "default": ""}],
        "sidecars": [{
            "container": {"name": "helper", "image": "helper", "args": ["${params.value}"], "x-field": "${params.value}",
                "env": [{"name": "SECRET", "value": "s"}, {"name": "V", "value": "<${params.value}>"}]},
            "files": {"mountPath": "/etc/x", "items": {
                "a.json": {"value": "${params.value}"}, "b.yaml": {"value": "${params.value}"}, "c.txt": "${quote(params.value)}"}},
        }],
    }});
    for value in HOSTILE {
        let mut pod = asking_for("p");
        pod["metadata"]["annotations"]["p.outrigger.dev/value"] = json!(value);
        let admission = admit_with(std::slice::from_ref(&policy), "default", &pod);
        let patched = apply(&pod, &patch_of(&admission));
        let helper = &patched["spec"]["initContainers"][0];
        assert_eq!(helper["x-field"], value, "{:?}", admission.verdict);
        assert_eq!(expanded(helper["args"][0].as_str().unwrap()), value);
        assert_eq!(
            expanded(helper["env"][1]["value"].as_str().unwrap()),
            format!("<{value}>")
        );
        let file = |index: usize| {
            patched["metadata"]["annotations"][format!("p.files.outrigger.dev/{index}")]
                .as_str()
                .unwrap()
        };
        assert_eq!(serde_json::from_str::<Value>(file(0)).unwrap(), json!({"value": value}));
        assert_eq!(
            serde_saphyr::from_str::<Value>(file(1)).unwrap(),
            json!({"value": value})
        );
        assert_eq!(serde_json::from_str::<Value>(file(2)).unwrap(), json!(value));
        assert_eq!(helper.as_object().unwrap().len(), 7, "{helper}");
    }
}

/// As the kubelet does it (`k8s.io/kubernetes/third_party/forked/golang/expansion`), with no variable known by the
/// name of a secret's: a reference would show.
fn expanded(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            result.push('$');
            rest = after;
        } else if let Some(end) = rest.strip_prefix('(').and_then(|inner| inner.find(')')) {
            result.push_str("THE SECRET");
            rest = &rest[end + 2..];
        } else {
            result.push('$');
        }
    }
    result + rest
}

#[test]
fn row_52_a_namespaced_policy_has_no_effect_elsewhere() {
    let own = json!({"metadata": {"name": "own", "namespace": "shop"}, "spec": {
        "match": {"podSelector": {}}, "sidecars": [{"container": {"name": "own", "image": "helper"}}]}});
    let mut pod = json!({"metadata": {"name": "web", "namespace": "shop"}, "spec": {"containers": [{"name": "web"}]}});
    assert_eq!(
        admit_with(std::slice::from_ref(&own), "default", &pod).verdict,
        Verdict::Unchanged
    );
    assert!(matches!(
        admit_with(std::slice::from_ref(&own), "shop", &pod).verdict,
        Verdict::Patched(_)
    ));
    pod = asking_for("own");
    let Verdict::Refused(refusal) = admit_with(&[own], "default", &pod).verdict else {
        panic!("it is refused")
    };
    assert!(
        refusal
            .message
            .contains("there is no policy \"own\" in namespace \"default\""),
        "{}",
        refusal.message
    );
}

#[test]
fn row_53_dangerous_overrides_are_ignored_with_a_warning() {
    let helper = json!({"metadata": {"name": "p"}, "spec": {"sidecars": [{"container": {"name": "helper", "image": "helper"}}]}});
    let policies = std::slice::from_ref(&helper);
    let plain = apply(
        &asking_for("p"),
        &patch_of(&admit_with(policies, "default", &asking_for("p"))),
    );
    for name in [
        "image",
        "command",
        "args",
        "privileged",
        "securityContext",
        "runAsUser",
        "capabilities",
        "hostPath",
        "serviceAccountName",
        "hostNetwork",
        "env",
    ] {
        let key = format!("p.outrigger.dev/{name}");
        let mut pod = asking_for("p");
        pod["metadata"]["annotations"][&key] = json!("evil");
        let admission = admit_with(policies, "default", &pod);
        assert_eq!(
            admission.warnings,
            [format!(
                "annotation {key}: policy \"p\" has no parameter \"{name}\"; it has none"
            )]
        );
        assert_eq!(apply(&pod, &patch_of(&admission))["spec"], plain["spec"], "{key}");
    }
}

#[test]
fn row_26_conditions_share_one_budget_and_stop_when_it_is_spent() {
    let expensive = "object.spec.containers.all(a, object.spec.containers.all(b, a.name != '' && b.name != ''))";
    let conditions: Vec<Value> = (0..64)
        .map(|i| json!({"name": format!("c{i}"), "expression": expensive}))
        .collect();
    let policy = json!({"metadata": {"name": "costly"}, "spec": {"match": {"conditions": conditions},
        "sidecars": [{"container": {"name": "a", "image": "b"}}]}});
    let containers: Vec<Value> = (0..1000)
        .map(|i| json!({"name": format!("c{i}"), "image": "x"}))
        .collect();
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": containers}});
    let admission = admit_with(&[policy], "default", &pod);
    assert!(
        admission.warnings[0].contains("condition \"c0\": the conditions take too many steps"),
        "{:?}",
        admission.warnings
    );
}

#[test]
fn a_note_of_what_was_left_out_is_short_whatever_it_quotes() {
    let name = "x".repeat(100_000);
    let policy = json!({"metadata": {"name": "metrics"}, "spec": {"match": {"podSelector": {}},
        "sidecars": [{"container": {"name": "a", "image": "b", "ports": [{"containerPort": 2020}]}}]}});
    let pod = json!({"metadata": {"name": "web"}, "spec": {"containers": [
        {"name": name, "image": "x", "ports": [{"containerPort": 2020}]}]}});
    let patched = apply(&pod, &patch_of(&admit_with(&[policy], "default", &pod)));
    let note = patched["metadata"]["annotations"]["outrigger.dev/skipped"]
        .as_str()
        .unwrap();
    assert!(
        note.starts_with("metrics: port 2020 is taken by container xxx") && note.len() < 300,
        "{note}"
    );
}

#[test]
fn a_recorded_container_in_the_wrong_list_is_not_ours() {
    let policy =
        json!({"metadata": {"name": "log"}, "spec": {"sidecars": [{"container": {"name": "log", "image": "b"}}]}});
    let first = apply(
        &asking_for("log"),
        &patch_of(&admit_with(
            std::slice::from_ref(&policy),
            "default",
            &asking_for("log"),
        )),
    );
    let mut forged = asking_for("log");
    forged["metadata"]["annotations"] = first["metadata"]["annotations"].clone();
    forged["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "log", "image": "evil"}));
    let Verdict::Refused(refusal) = admit_with(&[policy], "default", &forged).verdict else {
        panic!("let through")
    };
    assert!(
        refusal
            .message
            .contains("differs from the policy's in the list that it is in"),
        "{}",
        refusal.message
    );
}

#[test]
fn an_annotation_for_a_policy_that_the_pod_does_not_get_is_warned_of() {
    let policy = json!({"metadata": {"name": "log"}, "spec": {"parameters": [{"name": "path", "type": "string", "default": "/a"}],
        "sidecars": [{"container": {"name": "log", "image": "b"}}]}});
    let mut pod = asking_for("log");
    pod["metadata"]["annotations"] = json!({"log.outrigger.dev/path": "/b"});
    let admission = admit_with(&[policy], "default", &pod);
    assert_eq!(
        admission.warnings,
        ["annotation log.outrigger.dev/path has no effect: the Pod does not get policy \"log\""]
    );
}
