//! Each bundled policy, on the real API server with strict validation of fields.
use crate::contract::operations;
use crate::pods::{Admitted, annotated, asking};
use crate::scene::Scene;
use outrigger_harness::{JsonPatch, rundir::workspace};
use std::fs;
use std::path::Path;

/// Values for parameters of bundled policies that have no default.
const PARAMETERS: &[(&str, &str)] = &[];

/// The folders under `policies/`, by name.
fn bundled() -> Vec<(String, String)> {
    let folders = fs::read_dir(workspace().join("policies"))
        .into_iter()
        .flatten()
        .flatten();
    let files = folders
        .map(|folder| folder.path().join("policy.yaml"))
        .filter(|file| file.is_file());
    let mut policies: Vec<_> = files
        .map(|file| (name(&file), fs::read_to_string(&file).unwrap()))
        .collect();
    policies.sort();
    policies
}

fn name(file: &Path) -> String {
    file.parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned()
}

/// What is wrong with the Pod that the policy makes of one that asks for it; nothing: empty.
async fn findings(scene: &Scene, library: &mut JsonPatch, name: &str) -> Vec<String> {
    let asked = PARAMETERS
        .iter()
        .filter(|(key, _)| key.starts_with(&format!("{name}.")));
    let pod = asked.fold(asking(name), |pod, (key, value)| annotated(pod, key, value));
    let answer = scene.namespace.dry_run(&pod).await;
    if answer.status != 201 {
        return vec![answer.message().to_owned()];
    }
    if !Admitted(answer.object()).injected().contains(&name) {
        return vec!["not injected".to_owned()];
    }
    // What a webhook adds is not validated strictly; so the patched Pod is sent as a user's own.
    let patch = operations(&scene.review(&pod).await);
    let patched = library
        .apply(&pod.to_string(), &patch.to_string())
        .expect("a patch that applies");
    let strict = scene.namespace.strict_dry_run(&patched).await;
    if strict.status != 201 {
        return vec![strict.message().to_owned()];
    }
    let warnings = strict.warnings.iter();
    warnings.map(|warning| format!("a warning: {warning}")).collect()
}

#[tokio::test]
async fn every_bundled_policy_makes_a_pod_that_strict_validation_accepts() {
    let policies = bundled();
    let texts: Vec<_> = policies.iter().map(|(_, text)| text.as_str()).collect();
    let Some(scene) = Scene::new("bundled", &texts).await else {
        return;
    };
    let Some(mut library) = JsonPatch::start() else { return };
    let mut all = Vec::new();
    for (name, _) in &policies {
        let found = findings(&scene, &mut library, name).await;
        all.extend(found.into_iter().map(|finding| format!("{name}: {finding}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}
