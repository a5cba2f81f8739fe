//! A Pod that got bundled policies, as the API server would store it. Knows nothing of the programs in it.
use crate::support::{apply, decide, patch_of, snapshot};
use outrigger_engine::{Settings, Snapshot, Verdict};
use outrigger_harness::rundir::workspace;
use serde_json::{Value, json};
use std::fs;

/// A bundled policy.
pub fn policy(name: &str) -> Value {
    let file = workspace().join("policies").join(name).join("policy.yaml");
    serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// A Pod with one container that asks for the policy, with these values of parameters; or why it is refused.
pub fn admit(name: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
    // What only a namespace may set is set there.
    let namespace = json!({"metadata": {"name": "shop", "annotations": annotations(name, parameters)}});
    let snapshot = snapshot(&[policy(name)], &[namespace], Settings::default());
    admit_with(&snapshot, name, parameters)
}

/// The policy by itself, to be asked again and again.
pub fn only(name: &str) -> Snapshot {
    snapshot(&[policy(name)], &[], Settings::default())
}

/// The same with a policy that is there already.
pub fn admit_with(snapshot: &Snapshot, name: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
    let pod = json!({
        "metadata": {"name": "web", "namespace": "shop", "annotations": annotations(name, parameters)},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    });
    let admission = decide(snapshot, "shop", &pod);
    match &admission.verdict {
        Verdict::Patched(_) => Ok(apply(&pod, &patch_of(&admission))),
        Verdict::Refused(refusal) => Err(refusal.message.clone()),
        Verdict::Unchanged => Err(format!("nothing was injected: {:?}", admission.decisions)),
    }
}

fn annotations(name: &str, parameters: &[(&str, &str)]) -> Value {
    let mut annotations = json!({"outrigger.dev/inject": name});
    for (parameter, value) in parameters {
        annotations[format!("{name}.outrigger.dev/{parameter}")] = json!(value);
    }
    annotations
}

/// The helper's container in a Pod.
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let mut containers = lists.into_iter().flatten().flatten();
    containers.find(|container| container["name"] == name).unwrap()
}

/// A list of strings.
pub fn texts(list: &Value) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap().to_owned()).collect()
}
