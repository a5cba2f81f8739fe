//! Events: what who looks at a policy, or at the owner of Pods, is told.
use crate::stage::Stage;
use serde_json::{Value, json};

const EVENTS: &str = "/apis/events.k8s.io/v1";
const CANARY: &str = "c4n4ry-5ecret";

/// All Events of a namespace.
async fn events(stage: &Stage, namespace: &str) -> Vec<Value> {
    let path = format!("{EVENTS}/namespaces/{namespace}/events");
    let list = stage.system.call("GET", &path, None).await.object();
    list["items"].as_array().unwrap().clone()
}

/// The Event with this reason about something of this kind and name, when there is one.
async fn told(stage: &Stage, namespace: &str, reason: &str, about: (&str, &str)) -> Value {
    let mut found = None;
    let what = format!("{reason} about {about:?}");
    stage
        .wait_for(&what, async || {
            let all = events(stage, namespace).await;
            found = all.into_iter().find(|event| {
                let regarding = &event["regarding"];
                event["reason"] == reason && regarding["kind"] == about.0 && regarding["name"] == about.1
            });
            found.is_some()
        })
        .await;
    found.unwrap()
}

/// A Pod of this ReplicaSet.
fn pod(owner: Option<&str>, inject: Option<&str>) -> Value {
    let owner = owner.map(|name| json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "1-2-3", "controller": true}]));
    let annotations = inject.map(|inject| json!({"outrigger.dev/inject": inject}));
    json!({
        "metadata": {"generateName": "web-", "labels": {"tier": "events"}, "annotations": annotations, "ownerReferences": owner},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1", "ports": [{"containerPort": 7171}]}]},
    })
}

/// A policy that every Pod of [`pod`] gets, and none can have: its port is taken.
fn clashing(stage: &Stage) -> Value {
    json!({
        "parameters": [{"name": "size", "type": "integer", "default": 1}],
        "match": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": stage.app.name}},
            "podSelector": {"matchLabels": {"tier": "events"}}},
        "sidecars": [{"container": {"name": "taker", "image": "taker:1", "args": ["${string(params.size)}"], "ports": [{"containerPort": 7171}]}}],
    })
}

async fn delete(stage: &Stage, policy: &str) {
    let path = format!("/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies/{policy}");
    stage.system.call("DELETE", &path, None).await.object();
}

#[tokio::test]
async fn the_owner_of_pods_that_are_refused_or_go_without_is_told_and_repetitions_are_counted() {
    let Some(mut stage) = Stage::new("owners").await else {
        return;
    };
    stage.put("taker", clashing(&stage)).await.object();
    stage.replicas(2, &[]).await;
    stage.wait_until_called().await;
    let app = stage.app.name.clone();

    // Nobody is told of a dry run.
    stage.app.dry_run(&pod(Some("dry"), Some("nobody"))).await;
    assert_eq!(stage.app.create(&pod(Some("web-1"), None)).await.status, 201);
    let event = told(&stage, &app, "PolicyLeftOut", ("ReplicaSet", "web-1")).await;
    assert_eq!(
        (&event["type"], &event["regarding"]["uid"]),
        (&json!("Warning"), &json!("1-2-3"))
    );
    assert_eq!(
        (&event["related"]["kind"], &event["related"]["name"]),
        (&json!("ClusterInjectionPolicy"), &json!("taker"))
    );
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("policy \"taker\"") && note.contains("7171"), "{note}");

    for _ in 0..5 {
        assert_eq!(stage.app.create(&pod(Some("web-2"), Some("taker"))).await.status, 403);
    }
    told(&stage, &app, "PodRefused", ("ReplicaSet", "web-2")).await;
    let counted = async || {
        let all = events(&stage, &app).await;
        let about = all.iter().filter(|event| event["regarding"]["name"] == "web-2");
        // Each replica has its own.
        let counts = about.map(|event| event["series"]["count"].as_i64().unwrap_or(1));
        counts.sum::<i64>() == 5
    };
    stage.wait_for("count of repetitions", counted).await;

    assert_eq!(stage.app.create(&pod(None, Some("no-such"))).await.status, 422);
    told(&stage, &app, "PodRefused", ("Namespace", &app)).await;
    let all = events(&stage, &app).await;
    assert!(all.iter().all(|event| event["regarding"]["name"] != "dry"), "{all:#?}");
    assert!(stage.metric("outrigger_events_total").await >= 3.0);
    // And who asks kubectl sees them.
    let seen = stage
        .app
        .kubectl(&["events", "--for", "replicaset/web-2"], None)
        .await
        .ok();
    assert!(seen.contains("PodRefused"), "{seen}");
    delete(&stage, "taker").await;
}

#[tokio::test]
async fn who_looks_at_a_policy_is_told_that_it_broke_clashes_or_is_shadowed() {
    let Some(mut stage) = Stage::new("policies").await else {
        return;
    };
    let same = |image: &str| json!({"match": {"namespaceSelector": {}}, "sidecars": [{"container": {"name": "same", "image": image}}]});
    stage.put("events-one", same("one:1")).await.object();
    stage.put("events-other", same("other:1")).await.object();
    let broken = json!({"sidecars": [{"container": {"name": "a", "image": "${params.nothing}"}}]});
    stage.put("events-broken", broken).await.object();
    let own = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "InjectionPolicy", "metadata": {"name": "events-one"},
        "spec": {}});
    let path = format!(
        "/apis/outrigger.dev/v1alpha1/namespaces/{}/injectionpolicies/events-one",
        stage.app.name
    );
    stage
        .system
        .apply(&format!("{path}?fieldManager=test"), &own)
        .await
        .object();
    stage.replicas(2, &[]).await;
    stage.wait_until_called().await;
    for (namespace, reason, kind, name, part) in [
        (
            "default",
            "NotAccepted",
            "ClusterInjectionPolicy",
            "events-broken",
            "spec.sidecars[0].container.image",
        ),
        (
            "default",
            "Clash",
            "ClusterInjectionPolicy",
            "events-one",
            "events-other",
        ),
        (
            "default",
            "Clash",
            "ClusterInjectionPolicy",
            "events-other",
            "events-one",
        ),
        (
            &stage.app.name,
            "Shadowed",
            "InjectionPolicy",
            "events-one",
            "events-one",
        ),
    ] {
        let event = told(&stage, namespace, reason, (kind, name)).await;
        let note = event["note"].as_str().unwrap();
        assert!(note.contains(part), "{note}");
        assert!(!event["regarding"]["uid"].as_str().unwrap().is_empty());
    }
    stage.put("events-broken", json!({})).await.object();
    told(
        &stage,
        "default",
        "Accepted",
        ("ClusterInjectionPolicy", "events-broken"),
    )
    .await;
    for policy in ["events-one", "events-other", "events-broken"] {
        delete(&stage, policy).await;
    }
    told(
        &stage,
        &stage.app.name,
        "NotShadowed",
        ("InjectionPolicy", "events-one"),
    )
    .await;
}

#[tokio::test]
async fn row_54_what_a_pod_holds_stands_in_no_event_and_in_no_status() {
    let Some(mut stage) = Stage::new("row54").await else {
        return;
    };
    stage.let_it_count_pods().await;
    stage.put("taker", clashing(&stage)).await.object();
    stage.replicas(2, &["--count-pods", "--log-level", "trace"]).await;
    stage.wait_until_called().await;
    let app = stage.app.name.clone();
    let secretive = |owner: &str, inject: Option<&str>| {
        let mut pod = pod(Some(owner), inject);
        pod["metadata"]["annotations"]["example.com/token"] = json!(CANARY);
        pod["metadata"]["labels"]["token"] = json!(CANARY);
        pod["spec"]["containers"][0]["env"] = json!([{"name": "PASSWORD", "value": CANARY}]);
        pod
    };
    // A value that breaks its rule, one that does not clash, a name that nobody has, a clash, and one that goes without.
    let mut bad_value = secretive("bad-value", Some("taker"));
    bad_value["metadata"]["annotations"]["taker.outrigger.dev/size"] = json!(CANARY);
    let mut left_out = secretive("left-out", None);
    left_out["metadata"]["annotations"]["taker.outrigger.dev/size"] = json!(CANARY);
    for (pod, status) in [
        (bad_value, 422),
        (secretive("no-such", Some(CANARY)), 422),
        (secretive("unreadable", Some(&format!("{CANARY}/="))), 422),
        (secretive("clash", Some("taker")), 403),
        (left_out, 201),
    ] {
        let answer = stage.app.create(&pod).await;
        assert_eq!(answer.status, status, "{}", answer.message());
    }
    for (reason, owner) in [
        ("PodRefused", "bad-value"),
        ("PodRefused", "no-such"),
        ("PodRefused", "unreadable"),
        ("PodRefused", "clash"),
        ("PolicyLeftOut", "left-out"),
    ] {
        told(&stage, &app, reason, ("ReplicaSet", owner)).await;
    }
    let policies = stage
        .system
        .call("GET", "/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies", None)
        .await;
    let mut metrics = String::new();
    for replica in &stage.replicas {
        metrics += &replica.metrics().await;
    }
    for (place, text) in [
        (
            "the Events",
            format!("{:?}{:?}", events(&stage, &app).await, events(&stage, "default").await),
        ),
        ("the status of policies", policies.object().to_string()),
        ("the log", stage.logs()),
        ("the metrics", metrics),
    ] {
        assert!(!text.contains(CANARY), "{place}: {text}");
    }
    delete(&stage, "taker").await;
}
