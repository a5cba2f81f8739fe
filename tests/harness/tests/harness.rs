//! The harness itself: what the other tests may rely on.
use outrigger_harness::{Cluster, JsonPatch, OtherWebhook};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "app", "image": "app:1"}]}})
}

#[tokio::test]
async fn a_pod_is_admitted_with_the_token_of_the_default_service_account() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("plain", json!({"labels": {"team": "web"}})).await;
    let admitted = namespace.create(&pod("a")).await.object();
    let mounts = admitted["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts[0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount");
    assert_eq!(namespace.manifest().await["metadata"]["labels"]["team"], "web");
}

#[tokio::test]
async fn kubectl_shows_what_a_user_sees() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster
        .namespace(
            "kubectl",
            json!({"labels": {"pod-security.kubernetes.io/warn": "restricted"}}),
        )
        .await;
    let mut manifest = pod("a");
    manifest["apiVersion"] = json!("v1");
    manifest["kind"] = json!("Pod");
    let output = namespace.kubectl(&["create", "-f", "-"], Some(&manifest)).await;
    assert_eq!(
        (output.success, output.stdout.as_str()),
        (true, "pod/a created\n"),
        "{}",
        output.stderr
    );
    assert!(
        output.stderr.starts_with("Warning: would violate PodSecurity"),
        "{}",
        output.stderr
    );
    let output = namespace.kubectl(&["create", "-f", "-"], Some(&manifest)).await;
    assert!(
        !output.success && output.stderr.contains("already exists"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn an_answer_carries_status_message_and_warnings() {
    let Some(cluster) = Cluster::shared() else { return };
    let warned = cluster
        .namespace(
            "warned",
            json!({"labels": {"pod-security.kubernetes.io/warn": "restricted"}}),
        )
        .await;
    let answer = warned.dry_run(&pod("a")).await;
    assert_eq!(answer.status, 201);
    assert!(
        answer.warnings[0].starts_with("would violate PodSecurity \"restricted:latest\""),
        "{:?}",
        answer.warnings
    );
    let mut unknown = pod("a");
    unknown["spec"]["colour"] = json!("blue");
    let answer = warned.strict_dry_run(&unknown).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer.message().contains("unknown field \"spec.colour\""),
        "{}",
        answer.message()
    );
}

#[tokio::test]
async fn another_webhook_changes_pods_and_remembers_them() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("other", json!({})).await;
    let rename =
        |_: &Value| vec![json!({"op": "replace", "path": "/spec/containers/0/image", "value": "mirror/app:1"})];
    let other = OtherWebhook::after(&namespace, rename).await;
    assert!(other.seen().is_empty(), "only probes so far");
    let admitted = namespace.create(&pod("a")).await.object();
    assert_eq!(admitted["spec"]["containers"][0]["image"], "mirror/app:1");
    assert_eq!(other.seen()[0]["metadata"]["name"], "a");
    drop(other);
    // The API server hears of the removal a moment later; a call in between fails the Pod.
    for _ in 0..100 {
        if namespace.dry_run(&pod("b")).await.status == 201 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the webhook is still registered");
}

#[tokio::test]
async fn the_audit_log_is_kept_by_namespace() {
    let Some(cluster) = Cluster::shared() else { return };
    let namespace = cluster.namespace("audited", json!({})).await;
    namespace.create(&pod("a")).await.object();
    let found = namespace.audit_annotations(1).await;
    assert_eq!(found[0]["authorization.k8s.io/decision"], "allow");
}

#[test]
fn patches_are_applied_as_the_api_server_applies_them() {
    let Some(mut program) = JsonPatch::start() else { return };
    let missing = "missing value";
    let cases: &[(&str, &str, Result<&str, &str>)] = &[
        ("{}", r#"[{"op":"add","path":"/a","value":1}]"#, Ok(r#"{"a":1}"#)),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"add","path":"/a/-","value":2}]"#,
            Ok(r#"{"a":[1,2]}"#),
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"add","path":"/a/0","value":2}]"#,
            Ok(r#"{"a":[2,1]}"#),
        ),
        (
            r#"{"a":{"b":1}}"#,
            r#"[{"op":"add","path":"/a/b","value":2}]"#,
            Ok(r#"{"a":{"b":2}}"#),
        ),
        (
            r#"{"a":{}}"#,
            r#"[{"op":"add","path":"/a/x~1y~0z","value":2}]"#,
            Ok(r#"{"a":{"x/y~z":2}}"#),
        ),
        (
            r#"{"a":{}}"#,
            r#"[{"op":"add","path":"/a/é","value":"<&>"}]"#,
            Ok(r#"{"a":{"é":"<&>"}}"#),
        ),
        (
            r#"{"a":12345678901234567890}"#,
            "[]",
            Ok(r#"{"a":12345678901234567890}"#),
        ),
        ("{\n\"a\":\r\n1}", "[]", Ok(r#"{"a":1}"#)),
        ("{}", r#"[{"op":"add","path":"/a/-","value":1}]"#, Err(missing)),
        ("{}", r#"[{"op":"add","path":"/a/b","value":1}]"#, Err(missing)),
        (
            r#"{"a":null}"#,
            r#"[{"op":"add","path":"/a/-","value":1}]"#,
            Err(missing),
        ),
        (
            r#"{"a":[1]}"#,
            r#"[{"op":"add","path":"/a/7","value":1}]"#,
            Err("index"),
        ),
        ("{}", r#"{"op":"add"}"#, Err("undecodable patch")),
        ("{", "[]", Err("not a question")),
    ];
    for (document, patch, expected) in cases {
        let got = program.apply(document, patch);
        match (&got, expected) {
            (Ok(got), Ok(expected)) => assert_eq!(*got, serde_json::from_str::<Value>(expected).unwrap()),
            (Err(got), Err(expected)) if got.contains(expected) => {}
            _ => panic!("{patch} on {document}: expected {expected:?}, got {got:?}"),
        }
    }
}

/// Runs in the process that the next test kills.
#[test]
#[ignore = "a part of a_killed_test_process_leaves_nothing_behind"]
fn starts_a_cluster_and_waits_to_be_killed() {
    let Some(cluster) = Cluster::shared() else { return };
    println!(
        "groups {:?} {}",
        cluster.process_groups(),
        cluster.kubeconfig().display()
    );
    std::thread::sleep(Duration::from_secs(60));
}

#[test]
fn a_killed_test_process_leaves_nothing_behind() {
    // Says so, or fails, where a tool is missing; and the child need not build anything.
    if Cluster::shared().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "starts_a_cluster_and_waits_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = lines
        .find(|line| line.contains("groups ["))
        .expect("the child starts a cluster");
    let (groups, kubeconfig) = line.split_once("groups [").unwrap().1.split_once("] ").unwrap();
    let groups: Vec<u32> = groups.split(", ").map(|group| group.parse().unwrap()).collect();
    assert!(
        groups.iter().all(|group| !processes_of(*group).is_empty()),
        "{groups:?} run"
    );

    child.kill().unwrap();
    child.wait().unwrap();
    for _ in 0..100 {
        if groups.iter().all(|group| processes_of(*group).is_empty()) {
            let data = std::path::Path::new(kubeconfig).with_file_name("etcd");
            assert!(!data.exists(), "{} is still there", data.display());
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!(
        "still running: {:?}",
        groups.iter().map(|group| processes_of(*group)).collect::<Vec<_>>()
    );
}

/// The processes of a process group, as `ps` shows them.
fn processes_of(group: u32) -> Vec<String> {
    let output = Command::new("ps")
        .args(["-eo", "pgid=,pid=,args="])
        .output()
        .expect("ps is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text
        .lines()
        .filter(|line| line.split_whitespace().next() == Some(&group.to_string()));
    lines.map(String::from).collect()
}
