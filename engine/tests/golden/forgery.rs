//! What who forges the record, or changes what it is about, gets past a `Required` policy: nothing.

use outrigger_engine::{Settings, Snapshot, Verdict};
use serde_json::{Value, json};

use crate::support::{apply, between_the_calls, decide, patch_of, snapshot};
use crate::tables::policy;

const REQUIRED: &str = "watcher";

/// Helpers on request, that add of everything something; and a policy that is required for each Pod that has anything but
/// one container and the labels and annotations of [`asking`].
fn policies() -> Vec<Value> {
    let more_than_asked_for = "object.spec.containers.size() > 1 || object.spec.containers[0].?env.orValue([]).size() > 0 \
        || object.spec.containers[0].?volumeMounts.orValue([]).exists(m, !m.name.startsWith('kube-api-access')) \
        || object.spec.?initContainers.orValue([]).size() > 0 \
        || object.spec.?volumes.orValue([]).exists(v, !v.name.startsWith('kube-api-access')) \
        || object.metadata.?labels.orValue({}).size() > 0 \
        || object.metadata.?annotations.orValue({}).exists(k, !k.startsWith('outrigger.dev/') && !k.startsWith('saver.outrigger.dev/') && !k.startsWith('kubectl.kubernetes.io/'))";
    let documents = [
        json!({"metadata": {"name": REQUIRED}, "spec": {
            "enforcement": "Required",
            "match": {"namespaceSelector": {"matchLabels": {"security": "high"}},
                "conditions": [{"name": "more", "expression": more_than_asked_for}]},
            "sidecars": [{"container": {"name": REQUIRED, "image": "watcher"}}],
        }}),
        json!({"metadata": {"name": "saver"}, "spec": {
            "parameters": [{"name": "path", "type": "string", "default": "/srv/x"}],
            "sidecars": [{
                "container": {"name": "saver", "image": "saver", "resources": {"limits": {"memory": "1024Mi"}},
                    "env": [{"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                    "livenessProbe": {"httpGet": {"port": 1}}},
                "sharedVolumes": [{"path": "${params.path}"}],
                "files": {"mountPath": "/etc/saver", "items": {"a.conf": "path = ${params.path}, of ${object.metadata.name}"}},
                "serviceAccountToken": "None",
            }],
            "app": {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
            "pod": {"labels": {"saver": "yes"}, "annotations": {"example.com/saver": "yes"},
                "volumes": [{"name": "scratch", "emptyDir": {}}]},
        }}),
        json!({"metadata": {"name": "proxy"}, "spec": {"ambassadors": [{
            "container": {"name": "proxy", "image": "proxy", "startupProbe": {"tcpSocket": {"port": 2}}},
            "lifecycle": "Container",
            "endpoints": [{"name": "proxy", "port": 2, "env": [{"name": "PROXY", "value": "127.0.0.1:2"}]}],
        }]}}),
        json!({"metadata": {"name": "meter"}, "spec": {"adapters": [{
            "container": {"name": "meter", "image": "meter"}, "metrics": {"port": 3},
        }]}}),
        json!({"metadata": {"name": "elsewhere"}, "spec": {
            "allowedNamespaces": {"matchLabels": {"elsewhere": "yes"}},
            "sidecars": [{"container": {"name": "elsewhere", "image": "elsewhere"}, "lifecycle": "Container"}],
        }}),
    ];
    documents.iter().map(policy).collect()
}

fn policies_in_namespaces() -> Snapshot {
    let namespaces = [
        json!({"metadata": {"name": "safe", "labels": {"security": "high"}}}),
        json!({"metadata": {"name": "elsewhere", "labels": {"elsewhere": "yes"}}}),
    ];
    snapshot(&policies(), &namespaces, Settings::default())
}

fn asking(names: &str) -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": names, "saver.outrigger.dev/path": "/srv/y"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    })
}

/// What becomes of the Pod.
fn admitted(snapshot: &Snapshot, namespace: &str, pod: &Value) -> Value {
    let admission = decide(snapshot, namespace, pod);
    if let Verdict::Refused(refusal) = &admission.verdict {
        panic!("{}", refusal.message);
    }
    apply(pod, &patch_of(&admission))
}

/// Whether the Pod comes with the required policy, or not at all.
fn is_seen(snapshot: &Snapshot, pod: &Value) -> bool {
    let refused = matches!(decide(snapshot, "safe", pod).verdict, Verdict::Refused(_));
    refused || has_the_required(&admitted(snapshot, "safe", pod))
}

fn has_the_required(pod: &Value) -> bool {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .any(|container| container["name"] == REQUIRED)
}

/// The Pod as an earlier call has left it.
fn injected(snapshot: &Snapshot) -> Value {
    let pod = admitted(snapshot, "safe", &asking("saver, proxy, meter"));
    for part in [
        "saver",
        "proxy",
        "meter",
        "prometheus.io/port",
        "scratch",
        "outrigger-files",
    ] {
        assert!(pod.to_string().contains(part), "no {part} in {pod:#}");
    }
    assert!(!has_the_required(&pod), "{pod:#}");
    pod
}

#[test]
fn what_an_earlier_call_has_added_is_not_seen_by_a_required_policy() {
    let snapshot = policies_in_namespaces();
    let pod = injected(&snapshot);
    for pod in [pod.clone(), between_the_calls(&pod)] {
        let again = admitted(&snapshot, "safe", &pod);
        assert_eq!(again, pod);
    }
}

#[test]
fn whoever_changes_what_the_record_is_about_has_it_seen_by_a_required_policy() {
    let snapshot = policies_in_namespaces();
    let good = injected(&snapshot);
    let place = |list: &str, name: &str| {
        let items = good["spec"][list].as_array().unwrap();
        let index = items
            .iter()
            .position(|item| item["name"].as_str().unwrap().starts_with(name));
        format!("/spec/{list}/{}", index.unwrap())
    };
    let (saver, proxy) = (place("initContainers", "saver"), place("containers", "proxy"));
    let (shared, files) = (place("volumes", "outrigger-srv-y"), place("volumes", "outrigger-files"));
    let host = json!({"path": "/"});
    for (what, at, key, value) in [
        ("image", &*saver, "image", json!("evil")),
        ("program", &saver, "command", json!(["evil"])),
        ("arguments", &proxy, "args", json!(["evil"])),
        ("privileges", &proxy, "securityContext", json!({"privileged": true})),
        (
            "devices",
            &saver,
            "resources",
            json!({"limits": {"memory": "1Gi", "example.com/gpu": "1"}}),
        ),
        (
            "a mount",
            &proxy,
            "volumeMounts",
            json!([{"name": "outrigger-x", "mountPath": "/x"}]),
        ),
        ("a shared volume", &shared, "hostPath", host.clone()),
        ("a volume of files", &files, "hostPath", host.clone()),
        ("a label", "/metadata/labels", "saver", json!("no")),
        (
            "an annotation",
            "/metadata/annotations",
            "example.com/saver",
            json!("no"),
        ),
        (
            "a file",
            "/metadata/annotations",
            "saver.files.outrigger.dev/0",
            json!("evil"),
        ),
        (
            "an advertisement",
            "/metadata/annotations",
            "prometheus.io/path",
            json!("/evil"),
        ),
    ] {
        let mut pod = good.clone();
        pod.pointer_mut(at).unwrap()[key] = value;
        assert!(is_seen(&snapshot, &pod), "{what}");
    }
    let mut more = good.clone();
    let volumes = more["spec"]["volumes"].as_array_mut().unwrap();
    volumes.push(json!({"name": "outrigger-x", "hostPath": host}));
    assert!(
        has_the_required(&admitted(&snapshot, "safe", &more)),
        "a volume of our names"
    );
}

#[test]
fn a_forged_record_hides_nothing_from_a_required_policy() {
    let snapshot = policies_in_namespaces();
    let record = |pod: &Value| pod["metadata"]["annotations"]["outrigger.dev/injected"].clone();
    let genuine = record(&injected(&snapshot));
    let elsewhere = record(&admitted(&snapshot, "elsewhere", &asking("elsewhere")));
    let evil = |name: &str| json!({"name": name, "image": "evil", "securityContext": {"privileged": true}});
    let many: Vec<String> = (0..2000).map(|number| format!("a{number}@000000000000")).collect();
    for (what, record, container) in [
        ("of helpers that are not there", &genuine, evil("proxy")),
        ("of another version", &json!("proxy@000000000000"), evil("proxy")),
        (
            "of a policy that this namespace may not have",
            &elsewhere,
            json!({"name": "elsewhere", "image": "elsewhere"}),
        ),
        ("of policies that nobody has", &json!(many.join(",")), evil("a0")),
    ] {
        let mut pod = asking("false");
        pod["metadata"]["annotations"]["outrigger.dev/injected"] = record.clone();
        assert!(
            !has_the_required(&admitted(&snapshot, "safe", &pod)),
            "{what}: the record alone is nothing to see"
        );
        pod["spec"]["containers"].as_array_mut().unwrap().push(container);
        assert!(has_the_required(&admitted(&snapshot, "safe", &pod)), "{what}");
    }
}

#[test]
fn a_container_that_runs_something_else_does_not_pass_for_a_required_policys() {
    let snapshot = policies_in_namespaces();
    let mut pod = asking("false");
    pod["metadata"]["labels"] = json!({"a": "b"});
    let pod = admitted(&snapshot, "safe", &pod);
    assert!(has_the_required(&pod));
    for (field, value) in [("command", json!(["sleep", "inf"])), ("args", json!(["--off"]))] {
        let mut changed = pod.clone();
        changed["spec"]["initContainers"][0][field] = value;
        let admission = decide(&snapshot, "safe", &changed);
        let Verdict::Refused(refusal) = &admission.verdict else {
            panic!("{field}: {:?}", admission.verdict);
        };
        assert!(refusal.message.contains(field), "{}", refusal.message);
    }
}
