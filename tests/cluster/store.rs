//! Policies and namespaces as objects of the API server.
use crate::stage::{self, CLUSTER, own, policy};
use outrigger_harness::{Proxy, SCENE, installation};
use serde_json::{Value, json};
use std::time::Duration;

const SEEN: &str = r#"outrigger_source_seen_timestamp_seconds{source="policies"}"#;

#[tokio::test]
async fn policies_applied_with_kubectl_take_effect() {
    let Some(scene) = stage::scene("store").await else {
        return;
    };
    let name = scene.name("a");
    let apply = ["apply", "-f", "-"];
    for image in ["helper:1", "helper:2"] {
        let output = scene
            .namespace
            .kubectl(&apply, Some(&policy("ClusterInjectionPolicy", &name, image)))
            .await;
        assert!(output.success, "{}", output.stderr);
        scene.wait_for(&name, image).await;
    }
    let shown = scene.namespace.kubectl(&["get", "cinj", &name], None).await;
    assert!(
        shown.stdout.contains("ENFORCEMENT") && shown.stdout.contains("BestEffort"),
        "{}",
        shown.stdout
    );

    // A namespace's own policy of that name has no effect until the cluster's is gone.
    let own = policy("InjectionPolicy", &name, "own:1");
    let output = scene.namespace.kubectl(&apply, Some(&own)).await;
    assert!(
        output.success && output.stderr.contains("has no effect"),
        "{}",
        output.stderr
    );
    assert_eq!(scene.image(&name).await, "helper:2");
    let deleted = scene.namespace.kubectl(&["delete", "cinj", &name], None).await;
    assert!(
        deleted.success && deleted.stderr.contains("will be refused"),
        "{}",
        deleted.stderr
    );
    scene.wait_for(&name, "own:1").await;
    assert!(scene.namespace.kubectl(&["delete", "inj", &name], None).await.success);
    scene.wait_for(&name, "there is no policy").await;
}

#[tokio::test]
async fn row_41_a_policy_that_breaks_in_the_cluster_is_served_from_its_last_good_version() {
    let Some(namespace) = stage::namespace("breaks").await else {
        return;
    };
    let kubeconfig = namespace.cluster().kubeconfig().to_owned();
    // Not the name that this test's validating webhook looks after: it would not let it in.
    let name = format!("x-{}", namespace.name);
    let scene = stage::with(namespace, &kubeconfig).await;
    scene.serve(&name, "helper:1").await;
    let reloads = || scene.webhook.metric("outrigger_reloads_total");
    let before = reloads().await;
    let broken = policy("ClusterInjectionPolicy", &name, "${params.nothing}");
    scene.put(&broken).await.object();
    while reloads().await == before {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(scene.image(&name).await, "helper:1");
    scene.serve(&name, "helper:2").await;
    scene.delete(&name).await;
}

#[tokio::test]
async fn row_37_without_the_api_server_what_was_seen_is_served_and_afterwards_what_is_there() {
    let Some(namespace) = stage::namespace("away").await else {
        return;
    };
    let copy = namespace.cluster().directory(&namespace.name).join("kubeconfig");
    let proxy = Proxy::start(namespace.cluster().kubeconfig(), copy).await;
    let scene = stage::with(namespace, proxy.kubeconfig()).await;
    let name = scene.name("a");
    scene.serve(&name, "helper:1").await;
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let seen = scene.webhook.series(SEEN).await;
    scene
        .put(&policy("ClusterInjectionPolicy", &name, "helper:2"))
        .await
        .object();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.webhook.series(SEEN).await, seen, "the age is not told");
    assert!(scene.webhook.is_ready().await);
    assert_eq!(scene.image(&name).await, "helper:1");
    proxy.mend();
    scene.wait_for(&name, "helper:2").await;
    // Each kind of policy has a watch of its own, and each begins anew in its own time.
    for _ in 0..300 {
        if scene.webhook.series(SEEN).await > seen {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(scene.webhook.series(SEEN).await > seen, "still old");
    scene.delete(&name).await;
}

#[tokio::test]
async fn row_40_a_pod_that_comes_with_its_namespace_gets_what_the_namespace_says() {
    let Some(scene) = stage::scene("fresh").await else {
        return;
    };
    let name = scene.name("a");
    scene.serve(&name, "helper:1").await;
    let mut pods = tokio::task::JoinSet::new();
    for number in 0..200 {
        let client = scene.namespace.cluster().client().await;
        let fresh = format!("{}-{number}", scene.namespace.name);
        let enabled = number % 2 == 0;
        let mut labels = json!({SCENE: scene.namespace.name});
        if enabled {
            labels[format!("inject.outrigger.dev/{name}")] = "enabled".into();
        }
        pods.spawn(async move {
            let pod = created_with_its_namespace(&client, &fresh, labels).await;
            let has_helper = pod["metadata"]["labels"]["outrigger.dev/injected"] == "true";
            (has_helper != enabled).then(|| format!("{fresh}: {pod}"))
        });
    }
    let wrong: Vec<String> = pods.join_all().await.into_iter().flatten().collect();
    assert_eq!(wrong, [""; 0]);
    scene.delete(&name).await;
}

async fn created_with_its_namespace(client: &kube::Client, name: &str, labels: Value) -> Value {
    let post = async |path: String, body: Value| {
        let request = axum::http::Request::post(path).header("content-type", "application/json");
        client
            .request::<Value>(request.body(body.to_string().into_bytes()).unwrap())
            .await
            .unwrap()
    };
    post(
        "/api/v1/namespaces".into(),
        json!({"metadata": {"name": name, "labels": labels}}),
    )
    .await;
    let accounts = format!("/api/v1/namespaces/{name}/serviceaccounts");
    post(accounts, json!({"metadata": {"name": "default"}})).await;
    let pod = json!({"metadata": {"name": "app"}, "spec": {"containers": [{"name": "app", "image": "app"}]}});
    post(format!("/api/v1/namespaces/{name}/pods?dryRun=All"), pod).await
}

#[tokio::test]
async fn a_policy_that_cannot_be_is_refused_with_all_its_errors_and_warned_of_clashes() {
    let Some(scene) = stage::scene("judge").await else {
        return;
    };
    let mut wrong = policy("ClusterInjectionPolicy", &scene.name("wrong"), "${params.nothing}");
    wrong["spec"]["sidecars"][0]["container"]["resources"] = json!({"requests": {"memory": "much"}});
    wrong["spec"]["match"] = json!({"conditions": [{"name": "c", "expression": "1 +"}]});
    let answer = scene.put(&wrong).await;
    assert_eq!(answer.status, 422, "{}", answer.message());
    for path in ["spec.match.conditions[0].expression", "spec.sidecars[0].container"] {
        assert!(answer.message().contains(path), "{path} is not in {}", answer.message());
    }

    let (first, second) = (scene.name("first"), scene.name("second"));
    scene.serve(&first, "helper:1").await;
    let answer = scene.put(&policy("ClusterInjectionPolicy", &second, "helper:1")).await;
    let warned = format!("policy \"{second}\" clashes with policy \"{first}\" over container \"helper\"");
    assert!(
        answer.warnings.iter().any(|warning| warning.contains(&warned)),
        "{:?}",
        answer.warnings
    );

    // What is stored and broken can still be labelled, and let go.
    let stored = format!("{CLUSTER}/{second}");
    let finalizer = json!({"metadata": {"finalizers": ["tests.outrigger.dev/x"], "labels": {"a": "b"}}});
    scene.namespace.merge(&stored, &finalizer).await.object();
    scene.namespace.call("DELETE", &stored, None).await.object();
    scene
        .namespace
        .merge(&stored, &json!({"metadata": {"finalizers": null}}))
        .await
        .object();
    scene.delete(&first).await;
}

#[tokio::test]
async fn a_tenant_cannot_keep_an_admins_policy_out_by_claiming_its_port_or_its_name_first() {
    let Some(scene) = stage::scene("veto").await else {
        return;
    };
    let with_port = |kind, name: &str, container: &str| {
        let mut policy = policy(kind, name, "helper:1");
        policy["spec"]["sidecars"][0]["container"]["name"] = container.into();
        policy["spec"]["sidecars"][0]["container"]["ports"] = json!([{"containerPort": 9113}]);
        policy
    };
    let (theirs, ours) = (scene.name("theirs"), scene.name("ours"));
    let path = own(&scene.namespace.name);
    for name in [&theirs, &ours] {
        let tenants = with_port("InjectionPolicy", name, "helper");
        scene.namespace.call("POST", &path, Some(&tenants)).await.object();
        scene.wait_for(name, "helper:1").await;
    }
    let answer = scene.put(&with_port("ClusterInjectionPolicy", &ours, "ours")).await;
    let warnings = answer.warnings.join("\n");
    for part in [
        "over port 9113/TCP",
        "takes the place of InjectionPolicies of that name",
    ] {
        assert!(warnings.contains(part), "{part} is not in {warnings}");
    }
    answer.object();
    // And it is the admin's that is meant by its name, and that comes first where both are asked for.
    scene.wait_for(&ours, "no helper").await;
    let refused = scene
        .namespace
        .dry_run(&crate::pods::asking(&format!("{theirs},{ours}")))
        .await;
    let message = refused.message();
    assert!(
        message.contains(&format!("policy \"{theirs}\": ")) && !message.contains(&format!("policy \"{ours}\": ")),
        "{message}"
    );
    scene.delete(&ours).await;
}

#[tokio::test]
async fn who_deletes_a_policy_is_told_how_many_pods_carry_it_if_somebody_counts() {
    let Some(scene) = stage::scene("farewell").await else {
        return;
    };
    for (name, injected, expected) in [
        (
            scene.name("uncounted"),
            None,
            "how many Pods carry it is not known here",
        ),
        (scene.name("unused"), Some(0), "no running Pod carries it"),
        (
            scene.name("used"),
            Some(3),
            "3 running Pods carry it and keep it until they are replaced",
        ),
    ] {
        scene
            .put(&policy("ClusterInjectionPolicy", &name, "helper:1"))
            .await
            .object();
        if let Some(injected) = injected {
            let status = json!({"status": {"injected": injected}});
            scene
                .namespace
                .merge(&format!("{CLUSTER}/{name}/status"), &status)
                .await
                .object();
        }
        let deleted = scene.namespace.kubectl(&["delete", "cinj", &name], None).await;
        for part in [expected, "Pods that name it will be refused"] {
            assert!(
                deleted.success && deleted.stderr.contains(part),
                "{part} is not in {}",
                deleted.stderr
            );
        }
    }
}

#[tokio::test]
async fn the_documented_permissions_are_enough_and_no_more_are_used() {
    let Some(namespace) = stage::namespace("least").await else {
        return;
    };
    let kubeconfig = installation::grant(&namespace).await;
    let scene = stage::with(namespace, &kubeconfig).await;
    let name = scene.name("a");
    scene.serve(&name, "helper:1").await;
    let mine = policy("InjectionPolicy", "mine", "own:1");
    scene
        .namespace
        .call("POST", &own(&scene.namespace.name), Some(&mine))
        .await
        .object();
    scene.wait_for("mine", "own:1").await;
    let fresh = format!("{}-fresh", scene.namespace.name);
    let client = scene.namespace.cluster().client().await;
    let labels = json!({SCENE: scene.namespace.name, format!("inject.outrigger.dev/{name}"): "enabled"});
    let pod = created_with_its_namespace(&client, &fresh, labels).await;
    assert_eq!(pod["metadata"]["labels"]["outrigger.dev/injected"], "true", "{pod}");
    let log = scene.webhook.log().join("\n");
    assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    scene.delete(&name).await;
}
