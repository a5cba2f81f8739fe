//! Start, reload, stop.
use crate::{
    client::{Connection, get, head},
    program::{OUTRIGGER, Program, eventually, policy},
    reviews::{creation, creation_with},
    server::{Server, Setup},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use outrigger::{
    observe::health,
    webhook::listener::{self, Cap},
};
use outrigger_engine::{Admission, PodRequest, Snapshot};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

fn loaded(accepted: usize) -> String {
    format!(r#"outrigger_policies{{state="accepted"}} {accepted}"#)
}

#[tokio::test]
async fn policies_are_taken_up_when_they_change_and_kept_when_their_file_breaks() {
    let program = Program::start(&[], |directory| {
        fs::write(directory.join("policies/a.yaml"), policy("a")).unwrap()
    });
    let policies = program.directory.path().join("policies");
    assert!(program.has_metric(&loaded(1)).await);
    fs::create_dir(policies.join("b")).unwrap();
    fs::write(policies.join("b/policy.yaml"), policy("b")).unwrap();
    eventually("b is not loaded", || program_has(&program, loaded(2))).await;
    fs::write(policies.join("a.yaml"), "a: [1").unwrap();
    let failed = r#"outrigger_reloads_total{source="policies",result="failed"} 1"#;
    eventually("the failure is not counted", || program_has(&program, failed.into())).await;
    assert!(program.has_metric(&loaded(2)).await);
    assert!(program.log().contains("a.yaml"));
    fs::remove_file(policies.join("b/policy.yaml")).unwrap();
    eventually("b is still loaded", || program_has(&program, loaded(1))).await;
}

async fn program_has(program: &Program, line: String) -> bool {
    program.has_metric(&line).await
}

/// Whether the image is in what is added to a Pod that asks for the policy.
async fn adds(program: &Program, image: &str) -> bool {
    let asking = creation_with(
        "/request/object/metadata/annotations",
        json!({"outrigger.dev/inject": "a"}),
    );
    let answer = program.connect().await.post(asking).await.json();
    let patch = STANDARD.decode(answer["response"]["patch"].as_str().unwrap()).unwrap();
    String::from_utf8(patch)
        .unwrap()
        .contains(&format!("\"image\":\"{image}\""))
}

#[tokio::test]
async fn helpers_have_the_images_that_the_command_line_says_also_once_a_policy_has_changed() {
    let with = |image: &str| {
        policy("a").replace(
            "{}",
            &format!("{{sidecars: [{{container: {{name: a, image: '{image}'}}}}]}}"),
        )
    };
    let flags = ["--image-registry=r.example", "--image-tag=0.2", "--image=other:1=mine"];
    let program = Program::start(&flags, |directory| {
        fs::write(directory.join("policies/a.yaml"), with("outrigger/runtime:0.1.0")).unwrap()
    });
    assert!(adds(&program, "r.example/outrigger/runtime:0.2").await);
    fs::write(program.directory.path().join("policies/a.yaml"), with("other:1")).unwrap();
    eventually("the change is not taken up", || adds(&program, "mine")).await;
}

#[test]
fn images_go_with_policies_from_files() {
    let output = Command::new(OUTRIGGER)
        .args(["serve", "--image-tag=0.2"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("go with --policies") && said.contains("policies.images"),
        "{said}"
    );
}

#[tokio::test]
async fn namespaces_are_taken_up_when_they_change_and_kept_when_their_file_breaks() {
    let program = Program::start(&["--namespaces", "namespaces.yaml"], |directory| {
        fs::write(
            directory.join("namespaces.yaml"),
            "{kind: Namespace, apiVersion: v1, metadata: {name: a}}",
        )
        .unwrap();
    });
    let file = program.directory.path().join("namespaces.yaml");
    let reloads = |result: &str| format!(r#"outrigger_reloads_total{{source="namespaces",result="{result}"}} 1"#);
    fs::write(&file, "{kind: Namespace, apiVersion: v1, metadata: {name: b}}").unwrap();
    eventually("not reloaded", || program_has(&program, reloads("ok"))).await;
    fs::write(&file, "{kind: Namespace").unwrap();
    eventually("not counted", || program_has(&program, reloads("failed"))).await;
    assert_eq!(program.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_admin_port_tells_life_readiness_and_metrics() {
    let program = Program::start(&[], |_| {});
    assert_eq!(program.connect().await.post(creation().to_string()).await.status, 200);
    for path in ["/livez", "/readyz"] {
        let response = program.get(path).await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok\n"), "{path}");
    }
    let metrics = program.get("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    for expected in [
        "outrigger_admissions_total{outcome=\"unchanged\"} 1",
        "outrigger_build_info{version=",
        "# EOF",
    ] {
        assert!(
            metrics.body.contains(expected),
            "{expected} is not in\n{}",
            metrics.body
        );
    }
    assert_eq!(program.get("/mutate").await.status, 404);
}

#[tokio::test]
async fn row_35_a_call_in_progress_is_answered_before_the_process_ends() {
    let mut program = Program::start(&["--drain", "1s"], |_| {});
    let body = creation().to_string();
    let mut idle = program.connect().await;
    assert_eq!(idle.post(&body).await.status, 200);
    let mut busy = program.connect().await;
    busy.send(head(
        "POST",
        "/mutate",
        "content-type: application/json\r\n",
        body.len(),
    ))
    .await;
    busy.send(&body[..100]).await;
    // The server must have seen the head.
    tokio::time::sleep(Duration::from_millis(200)).await;
    program.signal("TERM");
    eventually("still ready", || async { program.get("/readyz").await.status == 503 }).await;
    assert!(idle.is_closed_within(Duration::from_secs(3)).await);
    eventually("still accepting", || async {
        TcpStream::connect(program.listen).await.is_err()
    })
    .await;
    busy.send(&body[100..]).await;
    let response = busy.response().await;
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[tokio::test]
async fn no_call_fails_while_the_process_is_told_to_stop() {
    let mut program = Program::start(&["--drain", "3s"], |_| {});
    let running = Arc::new(AtomicBool::new(true));
    let callers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(call_while(Arc::clone(&running), program.listen, program.authority())))
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    program.signal("TERM");
    eventually("still ready", || async { program.get("/readyz").await.status == 503 }).await;
    // The callers learn of it somewhat later, as they would in a cluster.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    running.store(false, Ordering::Relaxed);
    for caller in callers {
        let (calls, closed) = caller.await.unwrap();
        assert!(calls > 10 && closed > 0, "{calls} calls, {closed} times told to go");
    }
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

/// Calls on one connection until told to go, then on another. Panics when a call fails.
async fn call_while(running: Arc<AtomicBool>, address: SocketAddr, authority: PathBuf) -> (usize, usize) {
    let (mut calls, mut closed) = (0, 0);
    let mut connection = Connection::open(address, &authority).await;
    while running.load(Ordering::Relaxed) {
        let response = connection.post(creation().to_string()).await;
        assert_eq!(response.status, 200);
        calls += 1;
        if response.header("connection") == Some("close") {
            closed += 1;
            connection = Connection::open(address, &authority).await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (calls, closed)
}

#[tokio::test]
async fn sighup_has_the_files_looked_at_and_does_not_kill() {
    let program = Program::start(&[], |_| {});
    program.signal("HUP");
    program.wait_for_log("told to look at all files again");
    fs::write(program.directory.path().join("policies/a.yaml"), policy("a")).unwrap();
    program.signal("HUP");
    eventually("a is not loaded", || program_has(&program, loaded(1))).await;
    assert_eq!(program.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_admin_port_answers_while_every_worker_is_deciding_and_has_a_cap() {
    static DECIDE: AtomicBool = AtomicBool::new(false);
    fn blocking(_: &Snapshot, request: &PodRequest<'_>) -> Admission {
        while !DECIDE.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        outrigger_engine::admit(&Snapshot::default(), request)
    }
    let (socket, admin) = listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
    let handle = axum_server::Handle::new();
    let workers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (server, serving) = workers
        .spawn(async move {
            let server = Server::start(Setup::deciding_by(blocking)).await;
            let router = health::router(Arc::default(), Arc::clone(&server.metrics));
            let serving =
                health::start(socket, Cap::at(2, Arc::clone(&server.metrics)), router, handle.clone()).unwrap();
            (server, (serving, handle))
        })
        .await
        .unwrap();
    let mut connection = server.connect().await;
    let body = creation().to_string();
    connection
        .send(head("POST", "/mutate", "content-type: application/json\r\n", body.len()) + &body)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for path in ["/livez", "/metrics"] {
        let response = timeout(Duration::from_secs(3), get(admin, path)).await;
        assert_eq!(response.unwrap().status, 200, "{path}");
    }
    // The connections from before must be gone.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let held = [
        TcpStream::connect(admin).await.unwrap(),
        TcpStream::connect(admin).await.unwrap(),
    ];
    let mut excess = TcpStream::connect(admin).await.unwrap();
    let closed = timeout(Duration::from_secs(3), excess.read_to_end(&mut Vec::new())).await;
    assert!(closed.is_ok(), "a connection beyond the cap is open");
    drop(held);
    DECIDE.store(true, Ordering::Relaxed);
    assert_eq!(connection.response().await.status, 200);
    let (serving, handle) = serving;
    handle.shutdown();
    serving.join().unwrap().unwrap();
    drop(server);
    workers.shutdown_background();
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_the_process_beyond_its_grace() {
    let mut program = Program::start(&["--shutdown-grace", "1s"], |_| {});
    let mut stuck = program.connect().await;
    stuck
        .send(head("POST", "/mutate", "content-type: application/json\r\n", 1000))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    program.signal("INT");
    assert_eq!(program.wait().code(), Some(0), "{}", program.log());
}

#[tokio::test]
async fn row_54_nothing_that_a_pod_holds_is_logged() {
    let canary = "c4n4ry";
    let program = Program::start(&["--log-level", "trace"], |_| {});
    let mut connection = program.connect().await;
    let env = json!([{"name": "TOKEN", "value": canary}]);
    let annotations = json!({"secret": canary});
    for (body, status) in [
        (creation_with("/request/object/spec/containers/0/env", env), 200),
        (creation_with("/request/object/metadata/annotations", annotations), 200),
        (creation_with("/request/userInfo/username", canary.into()), 200),
        (creation_with("/request/object", canary.into()), 400),
        (creation_with("/request", json!([canary])), 400),
    ] {
        assert_eq!(connection.post(body).await.status, status);
    }
    let answered = program.wait_for_log("answered");
    assert_eq!(
        (&answered["namespace"], &answered["name"]),
        (&json!("web"), &json!("nginx-*"))
    );
    assert!(!program.log().contains(canary), "{}", program.log());
    assert!(!program.get("/metrics").await.body.contains(canary));
}

#[test]
fn wrong_usage_and_unreadable_input_exit_with_2_and_say_why() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("policies")).unwrap();
    for (arguments, message) in [
        (&["serve"][..], "--policies"),
        (&["serve", "--kubeconfig", "missing"], "missing"),
        (
            &["serve", "--kubeconfig", "missing", "--policies", "policies"],
            "--kubeconfig",
        ),
        (&["serve", "--namespaces", "missing.yaml"], "--policies"),
        (&["serve", "--policies", "missing"], "missing"),
        (
            &["serve", "--policies", "policies", "--namespaces", "missing.yaml"],
            "missing.yaml",
        ),
        (
            &["serve", "--policies", "policies", "--tls-cert", "tls.crt"],
            "--tls-key",
        ),
        (
            &["serve", "--policies", "policies", "--tls-key", "tls.key"],
            "--tls-cert",
        ),
        (
            &[
                "serve",
                "--policies",
                "policies",
                "--tls-cert",
                "a.crt",
                "--tls-key",
                "a.key",
            ],
            "a.crt",
        ),
        (
            &["serve", "--policies", "policies", "--kubernetes-version", "2"],
            "1.37",
        ),
        (&["serve", "--policies", "policies", "--listen", "nowhere"], "--listen"),
        (
            &["serve", "--policies", "policies", "--log-level", "a=b=c"],
            "log level",
        ),
        (&["frobnicate"], "frobnicate"),
    ] {
        let output = Command::new(OUTRIGGER)
            .args(arguments)
            .current_dir(directory.path())
            .env("KUBECONFIG", "no-cluster-here")
            .env_remove("KUBERNETES_SERVICE_HOST")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(message), "{arguments:?}: {said}");
    }
    let help = Command::new(OUTRIGGER).args(["serve", "--help"]).output().unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("Examples:"));
}
