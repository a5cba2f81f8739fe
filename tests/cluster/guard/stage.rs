//! The guard of a test: made by the code that the controller runs, under names of its own, for the namespaces of one scene.
use outrigger::controller::guard::{Check, Facts, Guard};
use outrigger_engine::{Admission, PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile};
use outrigger_harness::{Answer, Cluster, Namespace, SCENE};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";

/// Namespaces, policies and the guard for them; no webhook. It goes with the test.
pub struct Guarded {
    pub namespaces: Vec<Namespace>,
    pub snapshot: Snapshot,
    revision: u32,
}

impl Guarded {
    /// A namespace for each of these labels, and the guard of the policies, in effect. In the policies, `SCENE` stands for
    /// the label that all of these namespaces have, and `NS0`, `NS1`… for their names. `None`: no API server here.
    pub async fn new(
        name: &str,
        labels: &[Value],
        policies: &[Value],
        facts: &Facts,
        settings: Settings,
    ) -> Option<Guarded> {
        let cluster = Cluster::shared()?;
        let mut namespaces: Vec<Namespace> = Vec::new();
        for labels in labels {
            namespaces.push(cluster.namespace(name, json!({"labels": labels})).await);
        }
        let scene = namespaces[0].name.clone();
        let mut known = Vec::new();
        for namespace in &namespaces {
            let path = format!("/api/v1/namespaces/{}", namespace.name);
            let label = json!({"metadata": {"labels": {SCENE: scene}}});
            namespace.merge(&path, &label).await.object();
            known.push(facts_of(&namespace.manifest().await));
        }
        let snapshot = Snapshot::new(Vec::new(), known, settings);
        let mut guarded = Guarded {
            namespaces,
            snapshot,
            revision: 0,
        };
        guarded.put(policies, facts).await;
        Some(guarded)
    }

    /// These policies instead, and their guard, in effect.
    pub async fn put(&mut self, policies: &[Value], facts: &Facts) {
        let guard = self.guard_of(policies, facts);
        for check in [&guard.requested, &guard.required] {
            self.register(check).await.object();
        }
        self.wait().await;
    }

    /// These policies instead, and their guard.
    pub fn guard_of(&mut self, policies: &[Value], facts: &Facts) -> Guard {
        self.revision += 1;
        let probe = json!({"podSelector": {"matchLabels": {"probe": self.revision.to_string()}}});
        let probe = policy("probe", required(&probe, json!({})));
        let mut text = Value::from_iter(policies.iter().cloned().chain([probe])).to_string();
        for (index, namespace) in self.namespaces.iter().enumerate() {
            text = text.replace(&format!("NS{index}"), &namespace.name);
        }
        let text = text
            .replace("SCENE_NAME", &self.namespaces[0].name)
            .replace("SCENE_LABEL", SCENE);
        let policies: Vec<Value> = serde_json::from_str(&text).unwrap();
        let compiled = policies
            .iter()
            .map(|policy| Arc::new(compile(policy).unwrap()))
            .collect();
        self.snapshot = self.snapshot.clone().with_policies(compiled);
        Guard::of(&self.snapshot, facts)
    }

    /// Under a name of this scene, for its namespaces alone.
    pub async fn register(&self, check: &Check) -> Answer {
        let scene = &self.namespaces[0];
        let name = format!("{}-{}", check.policy["metadata"]["name"].as_str().unwrap(), scene.name);
        let (mut policy, mut binding) = (check.policy.clone(), check.binding.clone());
        policy["metadata"]["name"] = json!(name);
        binding["metadata"]["name"] = json!(name);
        binding["spec"]["policyName"] = json!(name);
        binding["spec"]["matchResources"] = json!({"namespaceSelector": {"matchLabels": {SCENE: scene.name}}});
        for (collection, object) in [
            ("validatingadmissionpolicybindings", &binding),
            ("validatingadmissionpolicies", &policy),
        ] {
            let path = format!("{GROUP}/{collection}/{name}?fieldManager=outrigger&force=true");
            let answer = scene.apply(&path, object).await;
            if answer.status >= 300 || collection == "validatingadmissionpolicies" {
                return answer;
            }
        }
        unreachable!()
    }

    /// Deletes the binding of one of the objects.
    pub async fn break_glass(&self, name: &str) {
        let scene = &self.namespaces[0];
        let name = format!("{name}-{}", scene.name);
        let output = scene
            .kubectl(&["delete", "validatingadmissionpolicybinding", &name], None)
            .await;
        assert!(output.success, "{}", output.stderr);
    }

    /// Until Pods that this revision of both objects refuses are refused.
    async fn wait(&self) {
        let asking =
            json!({"metadata": {"generateName": "probe-", "annotations": {"outrigger.dev/inject": "no-such-policy"}}});
        let selected = json!({"metadata": {"generateName": "probe-", "labels": {"probe": self.revision.to_string()}}});
        for (probe, object) in [(asking, "outrigger-requested"), (selected, "outrigger-required")] {
            let mut last = String::new();
            for attempt in 0.. {
                let answer = self.namespaces[0].dry_run(&with_containers(&probe)).await;
                last = format!("{} {}", answer.status, answer.message());
                if answer.status == 403 && last.contains(object) {
                    break;
                }
                assert!(attempt < 600, "{object} is not in effect: {last}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert!(!last.contains("error"), "{last}");
        }
    }

    /// What the engine says about a Pod that comes to this namespace.
    pub fn decide(&self, namespace: usize, pod: &Value) -> Admission {
        let text = pod.to_string();
        let view: PodView<'_> = serde_json::from_str(&text).unwrap();
        let request = PodRequest {
            namespace: &self.namespaces[namespace].name,
            pod: &view,
            object: &|| serde_json::from_str(&text).ok(),
        };
        admit(&self.snapshot, &request)
    }

    /// The Pod as Outrigger would make it.
    pub fn injected(&self, namespace: usize, pod: &Value) -> Value {
        let mut pod = pod.clone();
        match self.decide(namespace, &pod).verdict {
            Verdict::Patched(patch) => {
                let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
                json_patch::patch(&mut pod, &patch).unwrap();
                pod
            }
            Verdict::Unchanged => pod,
            Verdict::Refused(refusal) => panic!("{}", refusal.message),
        }
    }

    /// What the guard says of a Pod: nothing, or why it is refused.
    pub async fn verdict(&self, namespace: usize, pod: &Value) -> Result<(), String> {
        judged(self.namespaces[namespace].dry_run(pod).await)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let scene = &self.namespaces[0];
        let names = ["outrigger-requested", "outrigger-required"].map(|name| format!("{name}-{}", scene.name));
        let delete = async {
            for name in names {
                for collection in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
                    let path = format!("{GROUP}/{collection}/{name}");
                    scene.call("DELETE", &path, None).await;
                }
            }
        };
        // Left behind, they would do no harm: nobody else creates Pods in these namespaces.
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(delete));
    }
}

/// Admitted, or refused by the guard with this message.
#[track_caller]
pub fn judged(answer: Answer) -> Result<(), String> {
    if answer.status < 300 {
        return Ok(());
    }
    let message = answer.message();
    let (_, own) = message
        .split_once("ValidatingAdmissionPolicy '")
        .unwrap_or_else(|| panic!("not refused by the guard: {} {message}", answer.status));
    Err(own.to_owned())
}

fn facts_of(manifest: &Value) -> outrigger_engine::Namespace {
    let map = |key: &str| serde_json::from_value(manifest["metadata"][key].clone()).unwrap_or_default();
    outrigger_engine::Namespace {
        name: manifest["metadata"]["name"].as_str().unwrap().to_owned(),
        labels: map("labels"),
        annotations: map("annotations"),
    }
}

/// A ClusterInjectionPolicy.
pub fn policy(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": name}, "spec": spec})
}

/// An InjectionPolicy of the namespace with this number.
pub fn own_policy(namespace: usize, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionPolicy",
        "metadata": {"name": name, "namespace": format!("NS{namespace}")}, "spec": spec})
}

/// The spec of a `Required` policy in the namespaces of the scene, with this `match` besides and these fields.
pub fn required(matches: &Value, fields: Value) -> Value {
    let mut matches = matches.clone();
    if matches["namespaceSelector"].is_null() {
        matches["namespaceSelector"] = json!({"matchLabels": {"SCENE_LABEL": "SCENE_NAME"}});
    }
    merged(
        json!({"enforcement": "Required", "match": matches, "sidecars": [helper()]}),
        fields,
    )
}

/// The container of most policies here.
pub fn helper() -> Value {
    json!({"container": {"name": "helper", "image": "registry.test/helper:1"}})
}

/// These fields, and those over them.
pub fn merged(mut spec: Value, fields: Value) -> Value {
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec
}

/// The Pod with a container, if it has none, and a name.
pub fn with_containers(pod: &Value) -> Value {
    let mut pod = pod.clone();
    if pod["spec"]["containers"].is_null() {
        pod["spec"]["containers"] = json!([{"name": "app", "image": "registry.test/app:1"}]);
    }
    if pod["metadata"]["generateName"].is_null() {
        pod["metadata"]["name"] = json!("web");
    }
    pod
}

/// A Pod with these labels that asks for these policies.
pub fn pod(labels: Value, inject: Option<&str>) -> Value {
    let mut pod = with_containers(&json!({"metadata": {}}));
    pod["metadata"]["labels"] = labels;
    if let Some(inject) = inject {
        pod["metadata"]["annotations"] = json!({"outrigger.dev/inject": inject});
    }
    pod
}
