//! What the leader writes into the status of policies.
use crate::stage::{HELPER, PATIENCE, Stage};
use serde_json::{Value, json};
use tokio::time::Instant;

const GROUP: &str = "/apis/outrigger.dev/v1alpha1";

fn cluster(name: &str) -> String {
    format!("{GROUP}/clusterinjectionpolicies/{name}")
}

/// An InjectionPolicy of the application's namespace.
fn own(stage: &Stage, name: &str) -> String {
    format!("{GROUP}/namespaces/{}/injectionpolicies/{name}", stage.app.name)
}

/// A policy with a sidecar of this image; it selects Pods of this tier in the application's namespace.
fn sidecar(stage: &Stage, container: &str, image: &str, tier: Option<&str>) -> Value {
    let mut spec = json!({"sidecars": [{"container": {"name": container, "image": image}}]});
    if let Some(tier) = tier {
        spec["match"] = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.app.name}},
            "podSelector": {"matchLabels": {"tier": tier}}});
    }
    spec
}

/// A policy that the schema takes, and that cannot be used.
fn broken() -> Value {
    json!({"sidecars": [{"container": {"name": "helper", "image": "${params.nothing}"}}]})
}

fn pod(tier: Option<&str>, inject: Option<&str>) -> Value {
    let labels = tier.map(|tier| json!({"tier": tier}));
    let annotations = inject.map(|inject| json!({"outrigger.dev/inject": inject}));
    json!({
        "metadata": {"generateName": "web-", "labels": labels, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}

async fn status(stage: &Stage, path: &str) -> Value {
    stage.system.call("GET", path, None).await.body["status"].clone()
}

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let mut found = conditions.filter(|condition| condition["type"] == kind);
    found.next().unwrap_or(&Value::Null)
}

/// Until a condition has this status and reason; its message.
async fn said(stage: &Stage, path: &str, kind: &str, is: [&str; 2]) -> String {
    let mut last = Value::Null;
    let end = Instant::now() + PATIENCE;
    loop {
        let found = condition(&last, kind);
        if [&found["status"], &found["reason"]] == [is[0], is[1]] {
            return found["message"].as_str().unwrap().to_owned();
        }
        assert!(
            Instant::now() < end,
            "{path}: no {kind} {is:?} in {last:#}\n{}",
            stage.logs()
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        last = status(stage, path).await;
    }
}

/// Until these fields are so.
async fn shows(stage: &Stage, path: &str, fields: Value) {
    let mut last = Value::Null;
    let what = format!("{fields} of {path}");
    let holds = async || {
        last = status(stage, path).await;
        let mut fields = fields.as_object().unwrap().iter();
        fields.all(|(field, value)| last[field] == *value)
    };
    stage.wait_for(&what, holds).await;
}

/// Makes a change that nobody judges: the webhooks cannot be reached meanwhile.
async fn unseen(stage: &Stage, change: impl AsyncFnOnce()) {
    for replica in &stage.replicas {
        stage.balancer.remove(replica.address());
    }
    stage.balancer.disconnect();
    change().await;
    for replica in &stage.replicas {
        stage.balancer.add(replica.address());
    }
}

#[tokio::test]
async fn a_policy_that_came_while_nobody_ran_has_its_conditions_and_each_change_is_told() {
    let Some(mut stage) = Stage::new("told").await else {
        return;
    };
    let good = sidecar(&stage, "told", "told:1", None);
    stage.put("told-good", good.clone()).await.object();
    stage.put("told-broken", broken()).await.object();
    for (name, image) in [("told-one", "one:1"), ("told-other", "other:1")] {
        let spec = sidecar(&stage, "same", image, Some("clash"));
        stage.put(name, spec).await.object();
    }
    let shadowed = own(&stage, "told-good");
    let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "told-good"},
        "spec": good});
    let apply = format!("{shadowed}?fieldManager=test");
    stage.system.apply(&apply, &document).await.object();
    stage.replicas(2, &[]).await;
    stage.wait_until_called().await;

    let (good_at, broken_at) = (cluster("told-good"), cluster("told-broken"));
    said(&stage, &good_at, "Accepted", ["True", "Accepted"]).await;
    said(&stage, &good_at, "Ready", ["True", "Served"]).await;
    let why = said(&stage, &broken_at, "Accepted", ["False", "Invalid"]).await;
    assert!(
        why.contains("spec.sidecars[0].container.image") && why.contains("nothing"),
        "{why}"
    );
    said(&stage, &broken_at, "Ready", ["False", "NotAccepted"]).await;
    let why = said(&stage, &cluster("told-one"), "Accepted", ["True", "Clashes"]).await;
    assert!(why.contains("told-other") && why.contains("\"same\""), "{why}");
    let why = said(&stage, &shadowed, "Shadowed", ["True", "ClusterPolicy"]).await;
    assert!(why.contains("told-good"), "{why}");
    let generation = stage.system.call("GET", &good_at, None).await.body["metadata"]["generation"].clone();
    shows(
        &stage,
        &good_at,
        json!({"pattern": "sidecar", "selection": "OnRequest", "observedGeneration": generation}),
    )
    .await;
    let listed = stage.app.kubectl(&["get", "outrigger"], None).await.ok();
    for line in ["told-good ", "told-broken "] {
        assert!(listed.contains(line), "{listed}");
    }
    let wait = ["wait", "--for=condition=Ready", "cinj/told-good", "--timeout=60s"];
    stage.app.kubectl(&wait, None).await.ok();

    // It breaks, unseen by the webhook: the last good version is served, and the status says so.
    unseen(&stage, async || drop(stage.put("told-good", broken()).await.object())).await;
    let why = said(&stage, &good_at, "Accepted", ["False", "Invalid"]).await;
    assert!(why.contains("last good"), "{why}");
    let asking = pod(None, Some("told-good"));
    let serves = async || stage.app.dry_run(&asking).await.created_with("told");
    stage.wait_for("helper of the last good version", serves).await;
    stage.put("told-good", good).await.object();
    said(&stage, &good_at, "Accepted", ["True", "Accepted"]).await;
    said(&stage, &good_at, "Ready", ["True", "Served"]).await;

    // What another policy took part in ends with it.
    for path in [&good_at, &cluster("told-other")] {
        stage.system.call("DELETE", path, None).await.object();
    }
    said(&stage, &shadowed, "Shadowed", ["False", "OwnName"]).await;
    said(&stage, &cluster("told-one"), "Accepted", ["True", "Accepted"]).await;
    for path in [&broken_at, &cluster("told-one"), &shadowed] {
        stage.system.call("DELETE", path, None).await.object();
    }
}

#[tokio::test]
async fn pods_are_counted_that_carry_a_policy_lack_it_or_name_it_and_who_deletes_it_is_told() {
    let Some(mut stage) = Stage::new("counted").await else {
        return;
    };
    stage.let_it_count_pods().await;
    let by_match = sidecar(&stage, "by-match", "by-match:1", Some("front"));
    stage
        .put("counted", sidecar(&stage, "counted", "counted:1", None))
        .await
        .object();
    stage.put("by-match", by_match.clone()).await.object();
    stage.replicas(2, &["--count-pods"]).await;
    stage.wait_until_called().await;
    let (counted, selecting) = (cluster("counted"), cluster("by-match"));
    shows(
        &stage,
        &counted,
        json!({"injected": 0, "outdated": 0, "named": 0, "missing": null}),
    )
    .await;

    let mut pods = Vec::new();
    for _ in 0..3 {
        pods.push(stage.app.create(&pod(None, Some("counted"))).await.object());
    }
    stage.app.create(&pod(Some("front"), None)).await.object();
    shows(&stage, &counted, json!({"injected": 3, "outdated": 0, "named": 3})).await;
    shows(&stage, &selecting, json!({"injected": 1, "missing": 0, "named": 0})).await;
    unseen(&stage, async || {
        drop(stage.app.create(&pod(Some("front"), None)).await.object())
    })
    .await;
    shows(&stage, &selecting, json!({"injected": 1, "missing": 1})).await;

    // Another version of it, and Pods that go.
    stage
        .put("counted", sidecar(&stage, "counted", "counted:2", None))
        .await
        .object();
    shows(&stage, &counted, json!({"injected": 3, "outdated": 3})).await;
    let path = |pod: &Value| {
        stage
            .app
            .path(&format!("pods/{}", pod["metadata"]["name"].as_str().unwrap()))
    };
    stage.system.call("DELETE", &path(&pods[0]), None).await.object();
    shows(&stage, &counted, json!({"injected": 2, "named": 2})).await;
    let deleted = stage
        .app
        .kubectl(&["delete", "cinj", "counted", "by-match"], None)
        .await;
    for part in [
        "2 running Pods carry it",
        "2 name it, and Pods like these will be refused",
        "one running Pod carries it",
    ] {
        assert!(
            deleted.success && deleted.stderr.contains(part),
            "{part} is not in {}",
            deleted.stderr
        );
    }
}

#[tokio::test]
async fn where_pods_are_not_counted_the_status_says_why() {
    let Some(stage) = Stage::running("uncounted", 1, &[]).await else {
        return;
    };
    let path = cluster(HELPER);
    stage
        .wait_for("status", async || status(&stage, &path).await["uncounted"].is_string())
        .await;
    let status = status(&stage, &path).await;
    let why = status["uncounted"].as_str().unwrap();
    assert!(why.contains("--count-pods"), "{why}");
    for count in ["injected", "outdated", "missing", "named"] {
        assert!(status[count].is_null(), "{count}");
    }
}

/// A measurement: how long the leader takes for as many policies as anybody has.
#[tokio::test]
#[ignore = "it measures, for minutes"]
async fn ten_thousand_policies_get_their_status() {
    const POLICIES: usize = 10_000;
    let Some(mut stage) = Stage::new("many").await else {
        return;
    };
    let begin = Instant::now();
    let mut making = tokio::task::JoinSet::new();
    for part in 0..8 {
        let client = stage.app.cluster().client().await;
        making.spawn(async move {
            for number in (0..POLICIES).filter(|number| number % 8 == part) {
                let name = format!("many-{number}");
                let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
                    "metadata": {"name": name}, "spec": {"sidecars": [{"container": {"name": name, "image": "many:1"}}]}});
                let path = format!("{GROUP}/clusterinjectionpolicies");
                outrigger_harness::Namespace::send(&client, "POST", &path, Some(&policy)).await.object();
            }
        });
    }
    while let Some(made) = making.join_next().await {
        made.unwrap();
    }
    println!("{POLICIES} policies made in {:.0?}", begin.elapsed());
    let begin = Instant::now();
    stage.replicas(2, &[]).await;
    println!("two replicas ready after {:.1?}", begin.elapsed());
    let written = async || {
        let written = stage.metric("outrigger_policy_status_writes_total").await;
        println!("{written} statuses after {:.0?}", begin.elapsed());
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        written >= 10_001.0
    };
    let end = Instant::now() + std::time::Duration::from_secs(900);
    while !written().await {
        assert!(Instant::now() < end, "{}", stage.logs());
    }
    let all = stage
        .system
        .call("GET", &format!("{GROUP}/clusterinjectionpolicies"), None)
        .await
        .object();
    let policies = all["items"].as_array().unwrap();
    let ready = policies
        .iter()
        .filter(|policy| condition(&policy["status"], "Ready")["status"] == "True");
    println!("{} of {} Ready", ready.count(), policies.len());
    let path = format!("{GROUP}/clusterinjectionpolicies?labelSelector=a!=b");
    stage.system.call("DELETE", &path, None).await.object();
}
