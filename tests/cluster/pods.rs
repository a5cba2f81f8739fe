//! Pods to send, and a look at Pods that came back.
use serde_json::{Value, json};

/// A Pod with one container, that asks for these policies.
pub fn asking(policies: &str) -> Value {
    let mut pod = plain();
    pod["metadata"]["annotations"] = json!({"outrigger.dev/inject": policies});
    pod
}

/// A Pod with one container, that asks for nothing.
pub fn plain() -> Value {
    json!({
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}

/// The Pod with one more annotation.
pub fn annotated(mut pod: Value, key: &str, value: &str) -> Value {
    pod["metadata"]["annotations"][key] = json!(value);
    pod
}

/// A Pod as the API server answered with it.
#[derive(Debug)]
pub struct Admitted(pub Value);

impl Admitted {
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][key].as_str()
    }

    /// The names in `outrigger.dev/injected`, without the hashes.
    pub fn injected(&self) -> Vec<&str> {
        let recorded = self.annotation("outrigger.dev/injected").unwrap_or_default();
        let entries = recorded.split(',').filter(|entry| !entry.is_empty());
        entries
            .map(|entry| entry.split_once('@').expect("name@hash").0)
            .collect()
    }

    /// Names of `containers` or `initContainers`, in order.
    pub fn names(&self, list: &str) -> Vec<&str> {
        let containers = self.0["spec"][list].as_array().into_iter().flatten();
        containers
            .map(|container| container["name"].as_str().expect("a name"))
            .collect()
    }

    /// The container of that name, wherever it is; there is one.
    #[track_caller]
    pub fn container(&self, name: &str) -> &Value {
        let spec = &self.0["spec"];
        let lists = ["initContainers", "containers"].map(|list| spec[list].as_array().into_iter().flatten());
        let mut found = lists
            .into_iter()
            .flatten()
            .filter(|container| container["name"] == name);
        let first = found
            .next()
            .unwrap_or_else(|| panic!("no container {name} in {spec:#}"));
        assert!(found.next().is_none(), "two containers {name} in {spec:#}");
        first
    }

    /// The mount of that container at that path; there is at most one.
    #[track_caller]
    pub fn mount(&self, container: &str, path: &str) -> Option<&Value> {
        let mounts = self.container(container)["volumeMounts"]
            .as_array()
            .into_iter()
            .flatten();
        let found: Vec<_> = mounts.filter(|mount| mount["mountPath"] == path).collect();
        assert!(found.len() <= 1, "{container} mounts {path} twice: {found:?}");
        found.first().copied()
    }

    /// The name of the volume that the container mounts at that path.
    #[track_caller]
    pub fn volume_at(&self, container: &str, path: &str) -> &str {
        let mount = self
            .mount(container, path)
            .unwrap_or_else(|| panic!("{container} mounts nothing at {path}"));
        mount["name"].as_str().expect("a name")
    }

    #[track_caller]
    pub fn volume(&self, name: &str) -> &Value {
        let mut volumes = self.0["spec"]["volumes"].as_array().into_iter().flatten();
        volumes
            .find(|volume| volume["name"] == name)
            .unwrap_or_else(|| panic!("no volume {name}"))
    }

    /// The value of a variable.
    pub fn variable(&self, container: &str, name: &str) -> Option<&str> {
        let variables = self.container(container)["env"].as_array().into_iter().flatten();
        let mut values = variables
            .filter(|variable| variable["name"] == name)
            .map(|variable| &variable["value"]);
        values.next()?.as_str()
    }

    /// The Pod as its user would have written it, to be sent again.
    pub fn again(&self) -> Value {
        json!({
            "metadata": {
                "name": self.0["metadata"]["name"],
                "labels": self.0["metadata"]["labels"],
                "annotations": self.0["metadata"]["annotations"],
            },
            "spec": self.0["spec"],
        })
    }
}
