//! Policies of these tests, registered for the Pods of one namespace, and the Pods that ask for them.
use outrigger_harness::Namespace;
use serde_json::{Value, json};
use std::time::Duration;

pub const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
pub const PATH: &str = "log-saver.inject.test/path";

/// Adds a log helper as a native sidecar that shares a directory with the application, and makes each parent that is absent.
pub const JSON_PATCH: &str = r#"
    (has(object.metadata.annotations) ? [] : [JSONPatch{op: "add", path: "/metadata/annotations", value: {}}])
    + [JSONPatch{op: "add", path: "/metadata/annotations/log-saver.inject.test~1config", value: "inputs: [{name: tail, path: " + variables.path + "/*.log}]"}]
    + (has(object.spec.volumes) ? [] : [JSONPatch{op: "add", path: "/spec/volumes", value: []}])
    + (variables.own.size() > 0 ? [] : [JSONPatch{op: "add", path: "/spec/volumes/-",
        value: Object.spec.volumes{name: "log-saver-logs", emptyDir: Object.spec.volumes.emptyDir{}}}])
    + [JSONPatch{op: "add", path: "/spec/volumes/-", value: Object.spec.volumes{
        name: "log-saver-config",
        downwardAPI: Object.spec.volumes.downwardAPI{items: [Object.spec.volumes.downwardAPI.items{
            path: "config.yaml",
            fieldRef: Object.spec.volumes.downwardAPI.items.fieldRef{fieldPath: "metadata.annotations['log-saver.inject.test/config']"}}]}}}]
    + (has(object.spec.initContainers) ? [] : [JSONPatch{op: "add", path: "/spec/initContainers", value: []}])
    + [JSONPatch{op: "add", path: "/spec/initContainers/-", value: Object.spec.initContainers{
        name: "log-saver",
        image: "registry.test/log-saver:1",
        restartPolicy: "Always",
        volumeMounts: [
            Object.spec.initContainers.volumeMounts{name: variables.volume, mountPath: variables.path, readOnly: true},
            Object.spec.initContainers.volumeMounts{name: "log-saver-config", mountPath: "/etc/log-saver", readOnly: true}]}}]
    + lists.range(object.spec.containers.size()).filter(i, !has(object.spec.containers[i].volumeMounts)).map(i,
        JSONPatch{op: "add", path: "/spec/containers/" + string(i) + "/volumeMounts", value: []})
    + lists.range(object.spec.containers.size()).filter(i, !has(object.spec.containers[i].volumeMounts)
            || !object.spec.containers[i].volumeMounts.exists(m, m.mountPath == variables.path)).map(i,
        JSONPatch{op: "add", path: "/spec/containers/" + string(i) + "/volumeMounts/-",
            value: Object.spec.containers.volumeMounts{name: variables.volume, mountPath: variables.path}})
"#;

/// The same helper and directory by server-side apply, which merges lists by their keys.
pub const APPLY: &str = r#"
    Object{spec: Object.spec{
        initContainers: [Object.spec.initContainers{
            name: "log-saver",
            image: "registry.test/log-saver:1",
            restartPolicy: "Always",
            volumeMounts: [Object.spec.initContainers.volumeMounts{name: variables.volume, mountPath: variables.path, readOnly: true}]}],
        containers: object.spec.containers.map(c, Object.spec.containers{
            name: c.name,
            volumeMounts: [Object.spec.containers.volumeMounts{name: variables.volume, mountPath: variables.path}]}),
        volumes: variables.own.size() > 0 ? [] : [Object.spec.volumes{name: "log-saver-logs", emptyDir: Object.spec.volumes.emptyDir{}}]}}
"#;

/// What both kinds of mutation use.
pub fn variables() -> Value {
    json!([
        {"name": "path", "expression": format!("object.metadata.?annotations[?'{PATH}'].orValue('/var/log/app')")},
        {"name": "own", "expression": "object.spec.containers.map(c, has(c.volumeMounts) ? c.volumeMounts : [])
            .map(mounts, mounts.filter(m, m.mountPath == variables.path)).filter(mounts, mounts.size() > 0)"},
        {"name": "volume", "expression": "variables.own.size() > 0 ? variables.own[0][0].name : 'log-saver-logs'"},
    ])
}

pub fn json_patch(expression: &str) -> Value {
    json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}})
}

pub fn apply(expression: &str) -> Value {
    json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}})
}

/// Both ways to write the log helper.
pub fn both() -> [(&'static str, Value); 2] {
    [("patch", json_patch(JSON_PATCH)), ("apply", apply(APPLY))]
}

/// Policies with their bindings, for the Pods of one namespace.
pub struct Policies<'a> {
    namespace: &'a Namespace,
    made: Vec<String>,
    /// A Pod that shows whether they are in effect.
    probe: Value,
}

impl<'a> Policies<'a> {
    pub fn of(namespace: &'a Namespace) -> Self {
        Policies {
            namespace,
            made: vec![],
            probe: crate::pods::plain(),
        }
    }

    /// One policy, for Pods that ask for it and do not have it yet, once the API server has taken it up.
    pub async fn careful(namespace: &'a Namespace, name: &str, mutation: Value) -> Self {
        let there = format!("!object.spec.?initContainers.orValue([]).exists(c, c.name == '{name}')");
        let there = json!({"name": "not-there", "expression": there});
        let mut policies = Self::of(namespace);
        let spec = json!({"matchConditions": [asked(name), there], "mutations": [mutation]});
        policies.add(name, spec).await;
        policies.wait(&asking(name), name).await;
        policies.probe = asking(name);
        policies
    }

    /// As [`Self::careful`], without a look at what the Pod has already.
    pub async fn careless(namespace: &'a Namespace, name: &str, mutation: Value) -> Self {
        let mut policies = Self::of(namespace);
        policies
            .add(name, json!({"matchConditions": [asked(name)], "mutations": [mutation]}))
            .await;
        policies.wait(&asking(name), name).await;
        policies.probe = asking(name);
        policies
    }

    pub async fn add(&mut self, name: &str, mut spec: Value) {
        let name = format!("{name}-{}", self.namespace.name);
        let defaults = json!({"matchConstraints": constraints(self.namespace), "variables": variables(),
            "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded"});
        for (field, value) in defaults.as_object().unwrap() {
            if spec[field].is_null() {
                spec[field] = value.clone();
            }
        }
        self.create("mutatingadmissionpolicies", &name, spec).await;
        self.create("mutatingadmissionpolicybindings", &name, json!({"policyName": name}))
            .await;
    }

    /// A ValidatingAdmissionPolicy beside it, that refuses paths which are none.
    pub async fn add_check(&mut self) {
        let name = format!("check-{}", self.namespace.name);
        let path = &variables()[0];
        let spec = json!({
            "matchConstraints": constraints(self.namespace),
            "variables": [path],
            "validations": [{
                "expression": "variables.path.matches('^/[a-z0-9/._-]+$')",
                "messageExpression": format!("'{PATH}: ' + variables.path + ' is not a path'"),
            }],
        });
        self.create("validatingadmissionpolicies", &name, spec).await;
        let binding = json!({"policyName": name, "validationActions": ["Deny"]});
        self.create("validatingadmissionpolicybindings", &name, binding).await;
    }

    pub async fn create(&mut self, collection: &str, name: &str, spec: Value) {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let path = format!("{GROUP}/{collection}");
        self.namespace.call("POST", &path, Some(&object)).await.object();
        self.made.push(format!("{path}/{name}"));
    }

    /// Waits until that text is in the spec of the admitted Pod, or the Pod is refused.
    pub async fn wait(&self, pod: &Value, text: &str) {
        for _ in 0..200 {
            let answer = self.namespace.dry_run(pod).await;
            if answer.status >= 300 || answer.body["spec"].to_string().contains(text) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API server does not take up {:?}", self.made);
    }

    /// Takes all back, and waits until none is in effect any more.
    pub async fn end(self) {
        for path in self.made.iter().rev() {
            self.namespace.call("DELETE", path, None).await;
        }
        for _ in 0..200 {
            let answer = self.namespace.dry_run(&self.probe).await;
            if answer.status < 300 && helpers(&answer.body) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("still in effect: {:?}", self.made);
    }
}

/// How many containers the Pod has besides the application's.
pub fn helpers(pod: &Value) -> usize {
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array().map_or(0, Vec::len));
    lists[0] + lists[1] - 1
}

/// Pods ask by annotation.
pub fn asked(name: &str) -> Value {
    let names = "object.metadata.?annotations[?'inject.test/policies'].orValue('').split(',')";
    json!({"name": "asked", "expression": format!("'{name}' in {names}")})
}

/// The Pods of the namespace.
pub fn constraints(namespace: &Namespace) -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}},
        "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
    })
}

pub fn asking(policies: &str) -> Value {
    let mut pod = crate::pods::plain();
    pod["metadata"]["annotations"] = json!({"inject.test/policies": policies});
    pod
}

/// A helper without further needs, by server-side apply.
pub fn container(name: &str) -> Value {
    apply(&format!(
        r#"Object{{spec: Object.spec{{containers: [Object.spec.containers{{name: "{name}", image: "registry.test/{name}:1",
            ports: [Object.spec.containers.ports{{containerPort: 11211, protocol: "TCP"}}]}}]}}}}"#
    ))
}

/// The same by JSON Patch.
pub fn appended(name: &str) -> Value {
    json_patch(&format!(
        r#"[JSONPatch{{op: "add", path: "/spec/containers/-",
            value: Object.spec.containers{{name: "{name}", image: "registry.test/{name}:1"}}}}]"#
    ))
}
