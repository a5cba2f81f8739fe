//! Each bundled policy, on the real API server with strict validation of fields, under the PodSecurity level `restricted`.
use crate::contract::operations;
use crate::pods::{Admitted, annotated, asking};
use crate::scene::Scene;
use outrigger_harness::{JsonPatch, rundir::workspace};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Values for parameters of bundled policies that have no default.
const PARAMETERS: &[(&str, &str)] = &[
    (
        "content-sync.outrigger.dev/repository",
        "https://git.example/team/site.git",
    ),
    ("leader-elector.outrigger.dev/elections", "shop"),
    (
        "memcached.outrigger.dev/servers",
        "cache-0.cache:11211, cache-1.cache:11211",
    ),
    ("scatter-gather.outrigger.dev/shards", "statefulset:leaf:3"),
    ("scatter-gather.outrigger.dev/replicas", "dns:{shard}.leaf:8080"),
    ("work-queue.outrigger.dev/queue", "orders"),
];

/// The folders under `policies/` and their policies, by name.
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

/// A namespace that enforces the level `restricted`, with all bundled policies.
async fn restricted(name: &str) -> Option<Scene> {
    let policies = bundled();
    let texts: Vec<_> = policies.iter().map(|(_, text)| text.as_str()).collect();
    let facts = json!({"labels": {"pod-security.kubernetes.io/enforce": "restricted"}});
    Scene::with(name, facts, &texts).await
}

/// The Pod with what the level `restricted` wants of its author.
fn unprivileged(mut pod: Value) -> Value {
    pod["spec"]["securityContext"] =
        json!({"runAsNonRoot": true, "runAsUser": 101, "seccompProfile": {"type": "RuntimeDefault"}});
    for container in pod["spec"]["containers"].as_array_mut().unwrap() {
        container["securityContext"] = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    }
    pod
}

/// A Pod that asks for these policies, with the parameters that they need.
fn asking_with_parameters(names: &str) -> Value {
    let needed = |key: &str| names.split(", ").any(|name| key.starts_with(&format!("{name}.")));
    let asked = PARAMETERS.iter().filter(|(key, _)| needed(key));
    unprivileged(asked.fold(asking(names), |pod, (key, value)| annotated(pod, key, value)))
}

/// What is wrong with the Pod that the policy makes of one that asks for it; nothing: empty.
async fn findings(scene: &Scene, library: &mut JsonPatch, name: &str) -> Vec<String> {
    let pod = asking_with_parameters(name);
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
    let Some(scene) = restricted("bundled").await else {
        return;
    };
    let Some(mut library) = JsonPatch::start() else { return };
    let mut all = Vec::new();
    for (name, _) in &bundled() {
        let found = findings(&scene, &mut library, name).await;
        all.extend(found.into_iter().map(|finding| format!("{name}: {finding}")));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[tokio::test]
async fn all_bundled_policies_fit_into_one_pod() {
    let Some(scene) = restricted("together").await else {
        return;
    };
    let policies = bundled();
    let names: Vec<&str> = policies.iter().map(|(name, _)| name.as_str()).collect();
    let pod = annotated(
        asking_with_parameters(&names.join(", ")),
        "log-saver.outrigger.dev/path",
        "/var/log/nginx",
    );
    let answer = scene.namespace.create(&pod).await;
    assert_eq!(answer.warnings, [""; 0]);
    let pod = Admitted(answer.object());
    assert_eq!(pod.injected(), names);
    // One helper each, and the ambassadors before all others.
    let mut helpers = pod.names("initContainers");
    let is_ambassador = |name: &&str| {
        policies
            .iter()
            .any(|(own, text)| own == name && text.contains("\n  ambassadors:"))
    };
    let (ambassadors, others) = helpers.split_at(helpers.iter().take_while(|name| is_ambassador(name)).count());
    assert!(
        !ambassadors.is_empty() && !others.iter().any(is_ambassador),
        "{helpers:?}"
    );
    assert_eq!(pod.names("containers"), ["app"]);
    helpers.sort_unstable();
    assert_eq!(helpers, names);
    // What the API server stored, sent as a user's own, is left as it is.
    let again = scene.review(&pod.again()).await;
    assert_eq!(
        (again["allowed"].as_bool(), again.get("patch")),
        (Some(true), None),
        "{again}"
    );
}

#[tokio::test]
async fn the_example_beside_every_bundled_policy_can_be_applied_and_its_pods_are_injected() {
    let policies = bundled();
    let texts: Vec<_> = policies.iter().map(|(_, text)| text.as_str()).collect();
    let Some(scene) = Scene::new("examples", &texts).await else {
        return;
    };
    for (name, _) in &policies {
        let file = workspace().join("policies").join(name).join("example.yaml");
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(file).unwrap()).unwrap();
        let mut injected = 0;
        for manifest in &manifests {
            let applied = scene.namespace.kubectl(&["apply", "-f", "-"], Some(manifest)).await;
            assert!(applied.success, "{name}: {}", applied.stderr);
            // There is no controller here that would make the Pods.
            if let Some(template) = manifest["spec"].get("template") {
                let mut pod = template.clone();
                pod["metadata"]["generateName"] = json!(format!("{name}-"));
                assert_eq!(scene.admit(&pod).await.injected(), [name.as_str()]);
                injected += 1;
            }
        }
        assert_eq!(injected, 1, "{name}");
    }
}
