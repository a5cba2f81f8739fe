//! The examples of the policy's README, as they stand there, with the real binary and server.
use crate::queue::Queue;
use crate::worker::Worker;
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::keeper::{Kept, Program};
use outrigger_harness::{NatsServer, port, rundir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The code blocks of one language in the README.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(rundir::workspace().join("policies/work-queue/README.md")).unwrap();
    let begin = format!("\n```{language}\n");
    let parts = readme.split(&begin).skip(1);
    parts
        .map(|part| part.split_once("\n```").unwrap().0.to_owned() + "\n")
        .collect()
}

fn python() -> Option<PathBuf> {
    let found = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output();
    let path = found.ok().filter(|output| output.status.success());
    let path = path.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    available(
        path.ok_or_else(|| Absent::NotInstalled("python3 is needed (Debian: apt-get install python3)".to_owned())),
    )
}

fn run(program: &Path, arguments: Vec<String>, log: &Path) -> Kept {
    let program = Program {
        path: program,
        arguments,
        stdout: Stdio::null(),
        stderr: fs::File::create(log).unwrap().into(),
        scratch: None,
    };
    program.start().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_in_python_does_what_the_readme_says() {
    let (Some(nats), Some(python)) = (NatsServer::start(""), python()) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    let port = port::free().unwrap();
    let code = blocks("python").remove(0);
    // The Deployment beside it has the same.
    let example = fs::read_to_string(rundir::workspace().join("policies/work-queue/example.yaml")).unwrap();
    let indented: String = code.lines().map(|line| format!("    {line}\n")).collect();
    assert!(example.contains(&indented), "example.yaml has another application");
    assert_eq!(code.matches("8080").count(), 1);
    let file = dir.path().join("app.py");
    fs::write(&file, code.replace("8080", &port.to_string())).unwrap();
    let _application = run(&python, vec![file.display().to_string()], &dir.path().join("log"));

    let worker = Worker::start(&nats.url(), &["--application", &format!("http://127.0.0.1:{port}/")]);
    worker.ready().await;
    // What the README enqueues by curl.
    let curl = blocks("sh").into_iter().find(|block| block.contains("/items")).unwrap();
    let url = format!("http://127.0.0.1:{}", worker.port);
    let script = curl
        .lines()
        .filter(|line| line.starts_with("curl"))
        .collect::<Vec<_>>()
        .join("\n");
    let sent = Command::new("sh")
        .args(["-ec", &script])
        .env("WORK_QUEUE_URL", &url)
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    let queue = Queue::connect(&nats.url()).await;
    assert_eq!(queue.results_of(1).await["order-17"].body, "TWO APPLES");
    assert_eq!(worker.post("/items", &[("idempotency-key", "empty")], "").await.0, 202);
    queue.waits_for("orders-dead", 1).await;
    let dead = worker.json("/dead").await["dead"][0].clone();
    assert_eq!(
        (&dead["id"], &dead["reason"]),
        (&"empty".into(), &"422 Unprocessable Entity: an empty item".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_in_shell_does_what_the_readme_says() {
    let Some(nats) = NatsServer::start("") else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().display().to_string();
    let script = blocks("sh")
        .into_iter()
        .find(|block| block.contains("WORK_QUEUE_DIR"))
        .unwrap();
    let _worker = Worker::start(&nats.url(), &["--files", &path]);
    let arguments = vec![
        format!("WORK_QUEUE_DIR={path}"),
        "sh".to_owned(),
        "-c".to_owned(),
        script,
    ];
    let _application = run(Path::new("/usr/bin/env"), arguments, &dir.path().join(".log"));
    let queue = Queue::connect(&nats.url()).await;
    for (id, body) in [("a", "two apples\n"), ("b", "three pears\n")] {
        queue.put(id, body).await;
    }
    let results = queue.results_of(2).await;
    assert_eq!(
        (results["a"].body.as_str(), results["b"].body.as_str()),
        ("TWO APPLES\n", "THREE PEARS\n")
    );
}
