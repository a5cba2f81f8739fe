//! Replicas by EndpointSlices, from the real API server.
use crate::leaf::{Leaf, Says, says};
use crate::stage::{Gather, eventually};
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::{Cluster, Namespace, Proxy};
use serde_json::json;
use std::net::UdpSocket;
use std::path::Path;

/// A slice with one endpoint: this leaf, as this Pod. The API server takes no loopback addresses.
async fn apply(namespace: &Namespace, name: &str, service: &str, leaf: &Leaf, pod: &str, ready: bool) {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/{name}",
        namespace.name
    );
    let path = format!("{path}?fieldManager=tests&force=true");
    let (address, port) = leaf.address.split_once(':').unwrap();
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": ready}, "targetRef": {"kind": "Pod", "name": pod}}],
        "ports": [{"name": "metrics", "port": 1}, {"name": "http", "port": port.parse::<u16>().unwrap()}],
    });
    namespace.apply(&path, &slice).await.object();
}

/// A leaf at an address of this machine that is not a loopback one.
async fn leaf(says: Says) -> Option<Leaf> {
    let address = || {
        let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
        // Nothing is sent: it tells which address would be the sender's.
        socket.connect("192.0.2.1:9").ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_loopback())
    };
    let absent = || Absent::NotInstalled("a network address besides the loopback ones is needed".into());
    let address = available(address().ok_or_else(absent))?;
    Some(Leaf::at(&format!("{address}:0"), says).await)
}

async fn delete(namespace: &Namespace, name: &str) {
    let path = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices/{name}",
        namespace.name
    );
    namespace.call("DELETE", &path, None).await.object();
}

async fn start(kubeconfig: &Path, flags: &[&str]) -> Gather {
    let own = ["--merge=concat", "--deadline=60s", "--require=1"];
    Gather::with_environment(&[&own, flags].concat(), &[("KUBECONFIG", kubeconfig.to_str().unwrap())]).await
}

async fn answers(gather: &Gather, text: &str, missing: &str) {
    eventually(&format!("{text}, without {missing}"), || async {
        let answer = gather.get("/").await;
        (answer.header("outrigger-missing") == missing && (answer.status != 200 || answer.text() == text)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ready_endpoints_of_a_service_are_replicas_and_those_of_a_pod_are_a_shards() {
    let Some(cluster) = Cluster::shared() else { return };
    let (Some(one), Some(two), Some(three)) = (leaf(says("1")).await, leaf(says("2")).await, leaf(says("3")).await)
    else {
        return;
    };
    let namespace = cluster.namespace("gather", json!({})).await;
    apply(&namespace, "leaf-x", "leaf", &one, "leaf-0", true).await;
    apply(&namespace, "leaf-y", "leaf", &two, "leaf-1", true).await;
    // Another Service's are none of its.
    apply(&namespace, "other-x", "other", &three, "leaf-2", true).await;

    let replicas = format!("--replicas=endpoints:leaf.{}/{{shard}}:http", namespace.name);
    let gather = start(cluster.kubeconfig(), &["--shards=statefulset:leaf:3", &replicas]).await;
    gather.ready().await;
    answers(&gather, "12", "leaf-2=no-replica").await;
    // One that is not ready, and one that has gone, is missing, not forgotten.
    apply(&namespace, "leaf-x", "leaf", &one, "leaf-0", false).await;
    answers(&gather, "2", "leaf-0=no-replica, leaf-2=no-replica").await;
    apply(&namespace, "leaf-z", "leaf", &three, "leaf-2", true).await;
    answers(&gather, "23", "leaf-0=no-replica").await;
    delete(&namespace, "leaf-y").await;
    answers(&gather, "3", "leaf-0=no-replica, leaf-1=no-replica").await;
    delete(&namespace, "leaf-z").await;
    answers(&gather, "", "leaf-0=no-replica, leaf-1=no-replica, leaf-2=no-replica").await;

    // All Pods of a Service are the replicas of one shard, with the port by number.
    apply(&namespace, "leaf-x", "leaf", &one, "leaf-0", true).await;
    let port = one.address.split_once(':').unwrap().1;
    let whole = format!("--shards=s=endpoints:leaf.{}:{port}", namespace.name);
    let gather = start(cluster.kubeconfig(), &[&whole]).await;
    answers(&gather, "1", "").await;
}

#[tokio::test]
async fn while_the_api_server_is_away_the_replicas_stay_and_changes_are_seen_when_it_is_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let (Some(one), Some(two)) = (leaf(says("1")).await, leaf(says("2")).await) else {
        return;
    };
    let namespace = cluster.namespace("gather", json!({})).await;
    apply(&namespace, "leaf-x", "leaf", &one, "a", true).await;
    let copy = cluster.directory(&namespace.name).join("cut.kubeconfig");
    let proxy = Proxy::start(cluster.kubeconfig(), copy).await;
    let shards = format!("--shards=s=endpoints:leaf.{}:http", namespace.name);
    let gather = start(proxy.kubeconfig(), &[&shards]).await;
    gather.ready().await;
    answers(&gather, "1", "").await;
    proxy.cut();
    apply(&namespace, "leaf-x", "leaf", &two, "a", true).await;
    eventually("it is complained of", || async {
        gather.logged("the watch of EndpointSlices has failed; what it said last stays")
    })
    .await;
    assert_eq!(gather.get("/").await.text(), "1");
    proxy.mend();
    answers(&gather, "2", "").await;
}

#[tokio::test]
async fn without_the_right_to_watch_it_says_which_role_is_missing_and_goes_on_once_it_has_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let Some(leaf) = leaf(says("1")).await else { return };
    let namespace = cluster.namespace("gather", json!({})).await;
    apply(&namespace, "leaf-x", "leaf", &leaf, "a", true).await;
    let account = namespace.path("serviceaccounts/default/token");
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = namespace.call("POST", &account, Some(&request)).await.object();
    let kubeconfig = cluster.kubeconfig_with_token(token["status"]["token"].as_str().unwrap(), &namespace.name);
    let shards = format!("--shards=s=endpoints:leaf.{}:http", namespace.name);
    let gather = start(&kubeconfig, &[&shards]).await;
    let told = eventually("it says what is missing", || async {
        let lines = gather.log().into_iter();
        let mut told = lines.filter(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains("give it a Role"))
        });
        told.next()
    })
    .await;
    assert_eq!(told["namespace"], namespace.name.as_str());
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("resources [endpointslices], verbs [list, watch]")
    );
    assert_eq!(gather.admin("/readyz").await.status, 503);

    // The Role and RoleBinding that the policy's page shows.
    for manifest in crate::example::role_manifests() {
        let applied = namespace.kubectl(&["apply", "-f", "-"], Some(&manifest)).await;
        assert!(applied.success, "{}", applied.stderr);
    }
    gather.ready().await;
    answers(&gather, "1", "").await;
}
