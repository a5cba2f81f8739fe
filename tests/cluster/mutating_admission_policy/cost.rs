//! What policies in the API server cost it, beside what a call of Outrigger's webhook costs it.
use super::namespace;
use super::stage::{APPLY, Policies, apply, both, constraints, container};
use outrigger_harness::Namespace;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Microseconds of processor time for each admission of a Pod of 5 KB, by cases. The application of policies by the API
/// server cannot be told from the rest of its work; the first case is the rest.
#[tokio::test]
#[ignore = "a measurement: `make compare` prints it"]
async fn what_one_pod_costs_the_api_server() {
    let Some(scene) = crate::scene::Scene::new("map-cost-webhook", &[crate::policies::LOG_SAVER]).await else {
        return;
    };
    let namespace = namespace("map-cost").await.unwrap();
    println!("without any: {} µs", cost(&namespace, &large(json!({}))).await);
    let by_webhook = large(json!({"outrigger.dev/inject": "log-saver"}));
    let webhook = cost(&scene.namespace, &by_webhook).await;
    println!("Outrigger's webhook, the API server's part: {webhook} µs");
    let asks = large(json!({"inject.test/policies": "log-saver"}));
    for (kind, mutation) in both() {
        let policies = Policies::careful(&namespace, "log-saver", mutation).await;
        println!("MutatingAdmissionPolicy, {kind}: {} µs", cost(&namespace, &asks).await);
        policies.end().await;
    }
    let mut policies = Policies::careful(&namespace, "log-saver", apply(APPLY)).await;
    for n in 0..1000 {
        let mut constraints = constraints(&namespace);
        constraints["objectSelector"] = json!({"matchLabels": {"tier": format!("tier-{n}")}});
        let name = format!("other-{n}");
        let spec = json!({"matchConstraints": constraints, "variables": [], "mutations": [container(&name)]});
        policies.add(&name, spec).await;
    }
    let mut last = asks.clone();
    last["metadata"]["labels"]["tier"] = json!("tier-999");
    policies.wait(&last, "registry.test/other-999:1").await;
    println!(
        "the same, with 1000 policies for other Pods: {} µs",
        cost(&namespace, &asks).await
    );
    policies.end().await;
}

/// The Pod of the benchmarks, with these annotations.
fn large(annotations: Value) -> Value {
    let review: Value = serde_json::from_str(include_str!("../../fixtures/review.json")).unwrap();
    let mut pod = review["request"]["object"].clone();
    for (parent, field) in [
        ("metadata", "namespace"),
        ("metadata", "managedFields"),
        ("spec", "serviceAccount"),
    ] {
        pod[parent].as_object_mut().unwrap().shift_remove(field);
    }
    pod["spec"]["serviceAccountName"] = json!("default");
    pod["metadata"]["annotations"] = annotations;
    pod
}

async fn cost(namespace: &Namespace, pod: &Value) -> u128 {
    const PODS: u32 = 500;
    let [_, api_server] = namespace.cluster().process_groups();
    // What it does by itself, such as taking up new policies, is over soon, and is not counted.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (start, idle) = (Instant::now(), used(api_server));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let idle = (used(api_server) - idle).as_secs_f64() / start.elapsed().as_secs_f64();
    let (start, before) = (Instant::now(), used(api_server));
    for _ in 0..PODS {
        namespace.dry_run(pod).await.object();
    }
    let by_itself = start.elapsed().mul_f64(idle);
    ((used(api_server) - before).saturating_sub(by_itself) / PODS).as_micros()
}

/// Processor time of a process group.
fn used(group: u32) -> Duration {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let of_group = stats.filter_map(|stat| {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let times = [fields[11], fields[12]].map(|ticks| ticks.parse::<u64>().unwrap_or(0));
        (fields[2] == group.to_string()).then_some(times[0] + times[1])
    });
    // Linux counts in hundredths of a second there.
    Duration::from_millis(10 * of_group.sum::<u64>())
}
