//! File mode, with an application that is a shell script.
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use outrigger_harness::NatsServer;
use outrigger_harness::keeper::{Kept, Program};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;

/// Turns what is in `in/` to upper case; what holds "bad" fails.
const SCRIPT: &str = r#"
cd "$0"
touch up
while :; do
  for item in in/*; do
    [ -e "$item" ] || continue
    id=${item#in/}
    [ -e "done-$id" ] && continue
    if grep -q bad "$item"; then
      echo "cannot do this" >"reason-$id" && mv "reason-$id" "failed/$id"
    else
      tr a-z A-Z <"$item" >"result-$id" && mv "result-$id" "out/$id"
    fi
    while [ -e "$item" ]; do sleep 0.01; done
  done
  sleep 0.01
done
"#;

fn application(directory: &Path) -> Kept {
    let program = Program {
        path: Path::new("/bin/sh"),
        arguments: ["-c", SCRIPT, &directory.display().to_string()]
            .map(str::to_owned)
            .to_vec(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        scratch: None,
    };
    program.start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_files_and_so_are_results() {
    let Some(nats) = NatsServer::start("") else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().display().to_string();
    // What a worker before left behind is no item and no result.
    fs::create_dir_all(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("out/a.b"), "stale").unwrap();
    let worker = Worker::start(&nats.url(), &["--files", &path, "--ready", "up", "--max-attempts", "2"]);
    worker.lacks("the application is not up").await;
    let queue = Queue::connect(&nats.url()).await;
    for (id, body) in [("a.b", "hello"), ("../../x", "evil"), ("c", "bad thing")] {
        queue.put(id, body).await;
    }
    assert_eq!(
        fs::read_dir(dir.path().join("in")).unwrap().count(),
        0,
        "handed over before the application is up"
    );
    let _application = application(dir.path());
    let results = queue.results_of(2).await;
    assert_eq!(
        (results["a.b"].body.as_str(), results["%2E.%2F..%2Fx"].body.as_str()),
        ("HELLO", "EVIL")
    );
    queue.waits_for("orders-dead", 1).await;
    let dead = worker.json("/dead").await["dead"][0].clone();
    assert_eq!(
        (&dead["id"], &dead["reason"], &dead["attempts"]),
        (&"c".into(), &"cannot do this".into(), &2.into())
    );
    // Nothing is left lying about.
    let empty = async || {
        let left = |name: &str| fs::read_dir(dir.path().join(name)).unwrap().count();
        ([".new", "in", "out", "failed"].map(left) == [0; 4]).then_some(())
    };
    eventually("the directories are empty", empty).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_appears_whole_and_a_file_that_nobody_answers_is_an_attempt() {
    let Some(nats) = NatsServer::start("") else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().display().to_string();
    let worker = Worker::start(
        &nats.url(),
        &["--files", &path, "--timeout", "400ms", "--max-attempts", "2"],
    );
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    let body = "x".repeat(900_000);
    queue.put("large", &body).await;
    let input = dir.path().join("in/large");
    // However early it is seen, it is complete.
    let seen = eventually("the file", async || fs::metadata(&input).ok().map(|file| file.len())).await;
    assert_eq!(seen, 900_000);
    queue.waits_for("orders-dead", 1).await;
    let dead = worker.json("/dead").await["dead"][0].clone();
    assert_eq!(
        (&dead["reason"], &dead["attempts"]),
        (&"no result within 0.4 s".into(), &2.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_written_is_told() {
    let Some(nats) = NatsServer::prepare("") else { return };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger-runtime"))
        .args([
            "work",
            "--listen",
            "127.0.0.1:0",
            "--queue",
            "orders",
            "--files",
            "/proc/nowhere",
            "--nats",
            &nats.url(),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("failed to prepare /proc/nowhere/.new"), "{said}");
}
