//! Policies and namespaces from an API server, above all from one that fails.
use crate::{
    api_server::{ApiServer, CLUSTER, NAMESPACED, NAMESPACES},
    program::{Program, eventually},
    reviews::creation,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn policy(name: &str, image: &str) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy", "metadata": {"name": name},
        "spec": {"sidecars": [{"container": {"name": name, "image": image}}]}})
}

fn namespace(name: &str, labels: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A Pod in this namespace that asks for these policies.
fn asking(namespace: &str, policies: &str) -> String {
    let mut review = creation();
    review["request"]["namespace"] = namespace.into();
    if !policies.is_empty() {
        review["request"]["object"]["metadata"]["annotations"] = json!({"outrigger.dev/inject": policies});
    }
    review.to_string()
}

/// The containers that the answer to a Pod adds, as JSON text; empty: none.
async fn added(program: &Program, namespace: &str, policies: &str) -> String {
    let answer = program.connect().await.post(asking(namespace, policies)).await.json();
    let patch = answer["response"]["patch"]
        .as_str()
        .map(|patch| STANDARD.decode(patch).unwrap());
    patch.map_or_else(String::new, |patch| String::from_utf8(patch).unwrap())
}

async fn adds(program: &Program, policies: &str, image: &str) -> bool {
    added(program, "web", policies).await.contains(image)
}

async fn ready(program: &Program) -> bool {
    program.get("/readyz").await.status == 200
}

async fn value(program: &Program, metric: &str) -> i64 {
    let text = program.get("/metrics").await.body;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(metric)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("{metric} is not in\n{text}"))
}

async fn server() -> ApiServer {
    let server = ApiServer::start().await;
    server.put(NAMESPACES, namespace("web", json!({"team": "web"})));
    server
}

async fn serving(server: &ApiServer) -> Program {
    let program = Program::in_cluster(server, &[]);
    eventually("not ready", || ready(&program)).await;
    program
}

#[tokio::test]
async fn row_39_who_has_not_seen_everything_yet_is_not_ready() {
    let server = server().await;
    server.put(CLUSTER, policy("a", "a:1"));
    server.behave(|behaviour| behaviour.refuse = Some(503));
    let program = Program::in_cluster(&server, &[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let response = program.get("/readyz").await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (503, "policies are not loaded yet\n")
    );
    server.behave(|behaviour| behaviour.refuse = None);
    eventually("not ready", || ready(&program)).await;
    assert!(adds(&program, "a", "a:1").await);
}

#[tokio::test]
async fn a_missing_crd_is_told_with_the_way_out() {
    let server = server().await;
    server.behave(|behaviour| behaviour.refuse = Some(404));
    let program = Program::in_cluster(&server, &[]);
    eventually("not told", || async { program.log().contains("install the CRDs") }).await;
    assert!(!ready(&program).await);
}

#[tokio::test]
async fn of_namespaces_metadata_alone_is_asked_for() {
    let server = server().await;
    server.put(CLUSTER, policy("a", "a:1"));
    let program = serving(&server).await;
    server.behave(|behaviour| behaviour.silent = true);
    server.put(
        NAMESPACES,
        namespace("new", json!({"inject.outrigger.dev/a": "enabled"})),
    );
    assert!(added(&program, "new", "").await.contains("a:1"), "it was not read");
    let seen = server.seen();
    assert_eq!((seen.lists[NAMESPACES], seen.reads), (1, 1));
    assert_eq!(seen.whole, [CLUSTER, NAMESPACED].map(String::from).into());
}

#[tokio::test]
async fn policies_and_namespaces_are_taken_up_as_they_change() {
    let server = server().await;
    let program = serving(&server).await;
    server.put(CLUSTER, policy("a", "a:1"));
    eventually("not added", || adds(&program, "a", "a:1")).await;
    server.put(CLUSTER, policy("a", "a:2"));
    eventually("not changed", || adds(&program, "a", "a:2")).await;
    let mut own = policy("own", "own:1");
    own["kind"] = "InjectionPolicy".into();
    own["metadata"]["namespace"] = "web".into();
    server.put(NAMESPACED, own);
    eventually("not added", || adds(&program, "own", "own:1")).await;
    server.put(
        NAMESPACES,
        namespace("web", json!({"inject.outrigger.dev/a": "enabled"})),
    );
    eventually("the label has no effect", || adds(&program, "", "a:2")).await;
    server.delete(CLUSTER, "a");
    eventually("still there", || async { added(&program, "web", "").await.is_empty() }).await;
}

#[tokio::test]
async fn row_41_a_policy_that_breaks_is_served_from_its_last_good_version_and_harms_no_other() {
    let server = server().await;
    server.put(CLUSTER, policy("a", "a:1"));
    server.put(
        CLUSTER,
        json!({"metadata": {"name": "wild"}, "spec": [{"sidecars": 1}]}),
    );
    let program = serving(&server).await;
    assert!(adds(&program, "a", "a:1").await);
    server.put(CLUSTER, policy("a", "${params.nothing}"));
    server.put(CLUSTER, policy("b", "b:1"));
    eventually("b is not served", || adds(&program, "b", "b:1")).await;
    assert!(adds(&program, "a", "a:1").await);
    let broken = r#"outrigger_policies{state="broken"} 2"#;
    eventually("not counted", || program.has_metric(broken)).await;
    // Made anew, it has no past.
    server.delete(CLUSTER, "a");
    server.put(CLUSTER, policy("a", "${params.nothing}"));
    eventually("still served", || async { !adds(&program, "a", "a:1").await }).await;
}

#[tokio::test]
async fn row_38_whatever_a_watch_says_the_list_is_asked_again_and_nothing_is_lost() {
    let server = server().await;
    let program = serving(&server).await;
    let error = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"x","code":500}}"#;
    let lines = [
        r#"{"type":"ADDED","object":null}"#,
        r#"{"type":"ADDED","object":{"metadata":null}}"#,
        r#"{"type":"MODIFIED","object":[1,2]}"#,
        r#"{"type":"ERROR","object":null}"#,
        r#"{"type":"UNHEARD-OF","object":{}}"#,
        "not even JSON",
        error,
    ];
    let mut number = 0;
    for collection in [CLUSTER, NAMESPACES] {
        for line in lines {
            number += 1;
            let name = format!("after-{number}");
            server.say(collection, line);
            server.put(CLUSTER, policy(&name, "a:1"));
            server.put(NAMESPACES, namespace(&name, json!({})));
            eventually(line, || adds(&program, &name, "a:1")).await;
        }
    }
    for (number, fault) in [ApiServer::break_off, ApiServer::forget].iter().enumerate() {
        let name = format!("again-{number}");
        server.behave(|behaviour| behaviour.silent = true);
        server.put(CLUSTER, policy(&name, "a:1"));
        server.behave(|behaviour| behaviour.silent = false);
        fault(&server);
        eventually("not seen again", || adds(&program, &name, "a:1")).await;
    }
    assert!(ready(&program).await);
}

#[tokio::test]
async fn row_37_while_the_api_server_is_away_the_cache_serves_and_its_age_is_told() {
    let seen = r#"outrigger_source_seen_timestamp_seconds{source="policies"}"#;
    let server = server().await;
    server.put(CLUSTER, policy("a", "a:1"));
    server.put(CLUSTER, policy("gone", "gone:1"));
    let program = serving(&server).await;
    server.behave(|behaviour| behaviour.refuse = Some(500));
    server.break_off();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = value(&program, seen).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(value(&program, seen).await, before);
    assert!(ready(&program).await && adds(&program, "a", "a:1").await);
    server.put(CLUSTER, policy("a", "a:2"));
    server.delete(CLUSTER, "gone");
    server.forget();
    server.behave(|behaviour| behaviour.refuse = None);
    eventually("not caught up", || adds(&program, "a", "a:2")).await;
    assert!(!adds(&program, "gone", "gone:1").await);
    eventually("still old", || async { value(&program, seen).await > before }).await;
    assert!(program.log().contains("the API server answers again"));
}

#[tokio::test]
async fn the_version_of_the_server_decides_how_sidecars_are_made() {
    for (minor, arguments, native) in [
        ("28+", &[][..], false),
        ("29", &[], true),
        ("28", &["--kubernetes-version", "1.30"], true),
    ] {
        let server = server().await;
        server.put(CLUSTER, policy("a", "a:1"));
        server.behave(|behaviour| behaviour.minor = minor.into());
        let program = Program::in_cluster(&server, arguments);
        eventually("not ready", || ready(&program)).await;
        let patch = added(&program, "web", "a").await;
        assert_eq!(patch.contains("restartPolicy"), native, "{minor} {arguments:?} {patch}");
    }
}

#[tokio::test]
async fn row_40_pods_in_namespaces_that_no_watch_has_brought_are_decided_by_what_these_are() {
    let server = server().await;
    server.put(CLUSTER, policy("a", "a:1"));
    let program = serving(&server).await;
    server.behave(|behaviour| {
        behaviour.silent = true;
        behaviour.slow = Duration::from_millis(20);
    });
    let count = 1000;
    for number in 0..count {
        let labels = if number % 2 == 0 {
            json!({"inject.outrigger.dev/a": "enabled"})
        } else {
            json!({})
        };
        server.put(NAMESPACES, namespace(&format!("new-{number}"), labels));
    }
    let mut callers = Vec::new();
    for first in 0..20 {
        let mut connection = program.connect().await;
        callers.push(tokio::spawn(async move {
            let mut wrong = Vec::new();
            for number in (first..count).step_by(20) {
                let answer = connection.post(asking(&format!("new-{number}"), "")).await;
                let patched = answer.body.contains("\"patch\"");
                if answer.status != 200 || patched != (number % 2 == 0) {
                    wrong.push(format!("new-{number}: {answer:?}"));
                }
            }
            wrong
        }));
    }
    for caller in callers {
        assert_eq!(caller.await.unwrap(), [""; 0], "{}", program.log());
    }
    let seen = server.seen();
    assert_eq!(seen.reads, count, "each is read once");
    // Once more: what was read is remembered.
    assert!(added(&program, "new-998", "").await.contains("a:1"));
    assert!(added(&program, "nowhere", "a").await.contains("a:1"));
    assert_eq!(server.seen().reads, count + 1, "{:?}", server.seen());
}

#[tokio::test]
async fn reads_of_namespaces_are_bounded_in_number_and_end_with_the_call() {
    let server = server().await;
    let program = serving(&server).await;
    server.behave(|behaviour| behaviour.hang = true);
    let mut connections = Vec::new();
    for _ in 0..100 {
        connections.push(program.connect().await);
    }
    let mut callers = Vec::new();
    for (number, mut connection) in connections.into_iter().enumerate() {
        callers.push(tokio::spawn(async move {
            let body = asking(&format!("hanging-{number}"), "");
            let started = Instant::now();
            let json = "content-type: application/json\r\n";
            let response = connection.ask("POST", "/mutate?timeout=2s", json, body).await;
            assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
            started.elapsed()
        }));
    }
    // While none has ended: for the server it is over a little later than for us.
    while server.seen().reading < 64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.seen().most_at_once, 64, "{:?}", server.seen());
    for caller in callers {
        assert!(caller.await.unwrap() < Duration::from_secs(5));
    }
    // Namespaces that are known, or protected, need nobody.
    for namespace in ["web", "kube-system"] {
        assert_eq!(program.connect().await.post(asking(namespace, "")).await.status, 200);
    }
    server.behave(|behaviour| behaviour.hang = false);
    assert_eq!(program.connect().await.post(asking("hanging-0", "")).await.status, 200);
}

#[tokio::test]
async fn row_30_ten_thousand_policies_and_namespaces_load_in_seconds() {
    let server = server().await;
    for number in 0..10_000 {
        let mut policy = policy(&format!("policy-{number}"), "a:1");
        policy["spec"]["match"] = json!({"podSelector": {"matchLabels": {"app": format!("app-{number}")}}});
        server.put(CLUSTER, policy);
        let labels =
            json!({"team": format!("team-{}", number % 100), "kubernetes.io/metadata.name": format!("n-{number}")});
        server.put(NAMESPACES, namespace(&format!("n-{number}"), labels));
    }
    let started = Instant::now();
    let program = Program::in_cluster(&server, &[]);
    while !ready(&program).await {
        assert!(
            started.elapsed() < Duration::from_secs(120),
            "not ready: {}",
            program.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (loaded, memory) = (started.elapsed(), program.peak_memory());
    assert!(adds(&program, "policy-9999", "a:1").await);
    // A change of many at once is a few snapshots, not one for each.
    for number in 0..1000 {
        server.put(CLUSTER, policy(&format!("policy-{number}"), "a:2"));
    }
    eventually("not changed", || adds(&program, "policy-999", "a:2")).await;
    let reloads = value(&program, r#"outrigger_reloads_total{source="policies",result="ok"}"#).await;
    println!(
        "ready after {loaded:?} with {memory} MiB; {reloads} snapshots; then {} MiB",
        program.peak_memory()
    );
    assert!(reloads < 100, "{reloads} snapshots");
    assert!(memory <= 256, "{memory} MiB");
}
