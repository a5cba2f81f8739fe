//! The label of the leader's Pod.
use crate::{
    api::{ServiceAccount, apply, namespace},
    asking::eventually,
    elector::{Elector, Start},
};
use outrigger_harness::Namespace;
use serde_json::{Value, json};

const TIMES: [&str; 4] = [
    "--lease-duration=2s",
    "--renew-deadline=1400ms",
    "--retry-period=400ms",
    "--label-pod",
];

/// Makes a Pod; its uid.
async fn pod(namespace: &Namespace, name: &str, labels: Value) -> String {
    let pod = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]},
    });
    let made = namespace.create(&pod).await.object();
    made["metadata"]["uid"].as_str().unwrap().to_owned()
}

/// The Pods that a Service with this selector would have.
async fn selected(namespace: &Namespace) -> Vec<String> {
    let path = namespace.path("pods?labelSelector=outrigger.dev/leader%3Dshop");
    let pods = namespace.call("GET", &path, None).await.object();
    let pods = pods["items"].as_array().unwrap().iter();
    pods.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

fn start(pod: &str, uid: &str, account: &ServiceAccount) -> Elector {
    let mut start = Start::new(pod, "shop").with(&TIMES).variable("POD_UID", uid);
    start.environment.extend(account.environment());
    start.go()
}

async fn wait_for(namespace: &Namespace, expected: &[&str]) {
    let mut last = Vec::new();
    for _ in 0..1500 {
        last = selected(namespace).await;
        if last == expected {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{last:?}, not {expected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_label_is_on_the_pod_that_leads_and_goes_with_its_leadership() {
    let Some((_, namespace)) = namespace("label").await else {
        return;
    };
    apply(&namespace, "rbac.yaml").await;
    apply(&namespace, "rbac-label.yaml").await;
    let account = ServiceAccount::of(&namespace).await;
    let uid_0 = pod(&namespace, "web-0", json!({})).await;
    // What an earlier process of the Pod left behind.
    let uid_1 = pod(
        &namespace,
        "web-1",
        json!({"outrigger.dev/leader": "shop", "app": "web"}),
    )
    .await;
    let first = start("web-0", &uid_0, &account);
    eventually("it leads", || first.leads("/").then_some(()));
    let mut second = start("web-1", &uid_1, &account);
    wait_for(&namespace, &["web-0"]).await;
    assert_eq!(first.post("/resign").status, 200);
    wait_for(&namespace, &["web-1"]).await;
    assert!(second.terminate().success());
    wait_for(&namespace, &["web-0"]).await;
    let left = namespace
        .call("GET", &namespace.path("pods/web-1"), None)
        .await
        .object();
    assert_eq!(left["metadata"]["labels"], json!({"app": "web"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_permission_it_leads_all_the_same_and_says_which_role_the_label_needs() {
    let Some((_, namespace)) = namespace("no-label").await else {
        return;
    };
    apply(&namespace, "rbac.yaml").await;
    let account = ServiceAccount::of(&namespace).await;
    let uid = pod(&namespace, "web-0", json!({})).await;
    let elector = start("web-0", &uid, &account);
    eventually("it leads", || elector.leads("/").then_some(()));
    let expected = format!(
        "not permitted to patch Pod \\\"web-0\\\" in namespace \\\"{0}\\\", which --label-pod needs; there is a Role for that in \
         rbac-label.yaml of the policy leader-elector: pods \\\"web-0\\\" is forbidden: User \\\"system:serviceaccount:{0}:default\\\" \
         cannot patch resource",
        namespace.name
    );
    eventually("it says so", || elector.log().contains(&expected).then_some(()));
}
