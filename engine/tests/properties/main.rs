//! What must hold of every Pod and every set of policies.

// A test says that it fails by panicking, its helpers too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
mod pods;
mod policies;
#[path = "../support/mod.rs"]
mod support;

use outrigger_engine::{Admission, Settings, Snapshot, Verdict};
use policies::{NAMESPACE, World, container_names, name, sure_container_names, world};
use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use serde_json::{Value, json};
use support::{apply, between_the_calls, patch_of};

/// The same cases in each run, so that a change is judged by what it changes; `PROPTEST_RNG_SEED` and `PROPTEST_CASES`
/// look elsewhere, and further.
fn config() -> ProptestConfig {
    let seeds = FileFailurePersistence::Direct(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/properties/seeds.txt"));
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(seeds)),
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(2026);
    }
    config.cases = config.cases.max(256);
    config.max_global_rejects = 100 * config.cases;
    config
}

impl World {
    fn snapshot(&self) -> Snapshot {
        let settings = Settings {
            kubernetes_minor: self.kubernetes_minor,
            ..Settings::default()
        };
        support::snapshot(&self.policies, std::slice::from_ref(&self.namespace), settings)
    }

    fn decide(&self, pod: &Value) -> Admission {
        support::decide(&self.snapshot(), NAMESPACE, pod)
    }

    fn without(&self, policy: &str) -> World {
        let mut world = self.clone();
        world.policies.retain(|other| name(other) != policy);
        world
    }

    /// The policy that a name means.
    fn policy(&self, wanted: &str) -> Option<&Value> {
        let of = |kind| {
            self.policies
                .iter()
                .find(|policy| name(policy) == wanted && policy["kind"] == kind)
        };
        of("ClusterInjectionPolicy").or_else(|| of("InjectionPolicy"))
    }
}

/// Policies, and a Pod that may name some of them.
fn meeting() -> impl Strategy<Value = (World, Value)> {
    let wishes = prop::collection::vec((any::<prop::sample::Index>(), prop::bool::weighted(0.15)), 1..4);
    (world(), pods::pod(), wishes).prop_map(|(world, pod, wishes)| {
        let named = |(index, declined): (prop::sample::Index, bool)| {
            let name = name(index.get(&world.policies));
            if declined { format!("-{name}") } else { name.to_owned() }
        };
        let names: Vec<String> = match world.policies.is_empty() {
            true => Vec::new(),
            false => wishes.into_iter().map(named).collect(),
        };
        let pod = pods::naming(pod, &names);
        (world, pod)
    })
}

fn is_refused(admission: &Admission) -> bool {
    matches!(admission.verdict, Verdict::Refused(_))
}

fn container<'p>(pod: &'p Value, name: &str) -> Option<&'p Value> {
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array());
    lists
        .into_iter()
        .flatten()
        .flatten()
        .find(|container| container["name"] == name)
}

fn annotation<'p>(pod: &'p Value, key: &str) -> Option<&'p str> {
    pod["metadata"]["annotations"][key].as_str()
}

/// Whether anything in the world's policies says that a Pod may get this.
fn is_declared(path: &str, world: &World) -> bool {
    let mut declared = String::new();
    for policy in &world.policies {
        declared += &policy["spec"].to_string();
    }
    let names = |text: &str| declared.contains(&format!("\"{text}\""));
    let (parent, last) = path.rsplit_once('/').unwrap();
    let (_, list) = parent.rsplit_once('/').unwrap_or_default();
    let own = [
        "/metadata/annotations/outrigger.dev/",
        "/metadata/annotations/prometheus.io/",
    ];
    let is_ours = own.iter().any(|prefix| path.starts_with(prefix)) || path.contains(".files.outrigger.dev/");
    match list {
        "containers" | "initContainers" | "env" | "imagePullSecrets" | "spec" => names(last),
        "volumes" => names(last) || last.starts_with("outrigger-"),
        _ if path.starts_with("/metadata/") => {
            let key = path.splitn(4, '/').nth(3).unwrap_or_default();
            let known = ["outrigger.dev/injected", "kubectl.kubernetes.io/default-container"];
            is_ours || known.contains(&key) || names(key)
        }
        _ => path.contains("/volumeMounts/") || path.starts_with("/spec/hostAliases/"),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn row_5_every_parent_is_there_when_an_operation_adds_to_it((world, pod) in meeting()) {
        let admission = world.decide(&pod);
        let patch = patch_of(&admission);
        let walked = checks::walk(&pod, &patch);
        prop_assert_eq!(walked, Ok(apply(&pod, &patch)));
        prop_assert_ne!(admission.verdict, Verdict::Patched(b"[]".to_vec()));
    }

    #[test]
    fn row_7_what_the_pod_says_survives_in_its_place((world, pod) in meeting()) {
        let after = apply(&pod, &patch_of(&world.decide(&pod)));
        prop_assert_eq!(checks::survives(&pod, &after), Ok(()));
    }

    #[test]
    fn row_7_nothing_appears_that_no_policy_declares((world, pod) in meeting()) {
        let after = apply(&pod, &patch_of(&world.decide(&pod)));
        for addition in checks::additions(&pod, &after) {
            prop_assert!(is_declared(&addition, &world), "{}", addition);
        }
    }

    #[test]
    fn row_3_a_second_call_changes_nothing((world, pod) in meeting()) {
        let first = world.decide(&pod);
        prop_assume!(!is_refused(&first));
        let after = apply(&pod, &patch_of(&first));
        for after in [after.clone(), between_the_calls(&after)] {
            let second = world.decide(&after);
            prop_assert_eq!(patch_of(&second), json!([]));
            prop_assert_eq!(second.verdict, Verdict::Unchanged);
        }
    }

    #[test]
    fn row_16_the_order_of_policies_does_not_matter(
        ((world, pod), policies) in meeting()
            .prop_flat_map(|(world, pod)| (Just(world.policies.clone()).prop_shuffle(), Just((world, pod))))
            .prop_map(|(policies, meeting)| (meeting, policies)),
    ) {
        let shuffled = World { policies, ..world.clone() };
        let (a, b) = (world.decide(&pod), shuffled.decide(&pod));
        prop_assert_eq!(a.verdict, b.verdict);
        prop_assert_eq!(a.warnings, b.warnings);
        prop_assert_eq!(a.audit_annotations, b.audit_annotations);
        prop_assert_eq!(a.decisions, b.decisions);
    }

    #[test]
    fn a_policy_that_is_left_out_leaves_only_a_note((world, pod) in meeting()) {
        // A record that somebody forged is mended when its policy fails, and left alone when there is no such policy.
        prop_assume!(annotation(&pod, "outrigger.dev/injected").is_none());
        let admission = world.decide(&pod);
        let skipped = admission.audit_annotations.iter().find(|(key, _)| *key == "skipped");
        let skipped = skipped.map(|(_, names)| names.as_str()).filter(|_| !is_refused(&admission));
        let without_note = |mut pod: Value, admission: &Admission| {
            pod = apply(&pod, &patch_of(admission));
            let metadata = pod.get_mut("metadata").and_then(Value::as_object_mut);
            let annotations = metadata.and_then(|metadata| metadata.get_mut("annotations")?.as_object_mut());
            annotations.map(|annotations| annotations.shift_remove("outrigger.dev/skipped"));
            // What held nothing but the note.
            support::prune(&pod)
        };
        for name in skipped.into_iter().flat_map(|names| names.split(',')) {
            let without = world.without(name).decide(&pod);
            if is_refused(&without) {
                // The Pod names it.
                continue;
            }
            prop_assert_eq!(without_note(pod.clone(), &admission), without_note(pod.clone(), &without), "{}", name);
        }
    }

    #[test]
    fn a_pod_that_names_a_policy_gets_it_or_is_refused((world, pod) in meeting()) {
        let admission = world.decide(&pod);
        prop_assume!(!is_refused(&admission));
        let after = apply(&pod, &patch_of(&admission));
        let wishes = annotation(&pod, "outrigger.dev/inject").unwrap_or_default();
        for wanted in wishes.split(',').map(str::trim).filter(|term| !term.is_empty() && !term.starts_with('-')) {
            if wanted == "false" {
                continue;
            }
            let policy = world.policy(wanted);
            prop_assert!(policy.is_some(), "{} is not known", wanted);
            let policy = policy.unwrap();
            if policy["spec"]["paused"] == true || policy["spec"]["enforcement"] == "Audit" {
                continue;
            }
            for name in sure_container_names(policy) {
                prop_assert!(container(&after, name).is_some(), "{} lacks {}", wanted, name);
            }
            let record = annotation(&after, "outrigger.dev/injected").unwrap_or_default();
            prop_assert!(record.split(',').any(|entry| entry.starts_with(&format!("{wanted}@"))), "{}", record);
        }
    }

    #[test]
    fn a_policy_is_injected_whole_or_not_at_all((world, pod) in meeting()) {
        prop_assume!(annotation(&pod, "outrigger.dev/injected").is_none());
        let after = apply(&pod, &patch_of(&world.decide(&pod)));
        let record = annotation(&after, "outrigger.dev/injected").unwrap_or_default();
        for policy in &world.policies {
            let names = container_names(policy);
            let others = world.policies.iter().filter(|other| *other != policy).flat_map(container_names);
            let others: Vec<&str> = others.collect();
            let recorded = record.split(',').any(|entry| entry.starts_with(&format!("{}@", name(policy))));
            for container_name in names.into_iter().filter(|name| !others.contains(name) && *name != "maybe") {
                let is_new = container(&pod, container_name).is_none() && container(&after, container_name).is_some();
                let shadowed = world.policy(name(policy)) != Some(policy);
                prop_assert!(!is_new || (recorded && !shadowed), "{container_name} is there without a record");
            }
        }
    }
}
