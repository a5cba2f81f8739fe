//! The real program, started as an operator starts it.
use crate::{
    api_server::ApiServer,
    client::{Connection, Response, get},
};
use outrigger_harness::Memory;
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");

pub struct Program {
    pub directory: TempDir,
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Program {
    /// Serves the policies that `prepare` writes.
    pub fn start(arguments: &[&str], prepare: impl FnOnce(&Path)) -> Program {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("policies")).unwrap();
        prepare(directory.path());
        Program::spawn(directory, &[&["--policies", "policies"], arguments].concat())
    }

    /// Serves what this API server has.
    pub fn in_cluster(server: &ApiServer, arguments: &[&str]) -> Program {
        let directory = tempfile::tempdir().unwrap();
        server.kubeconfig(directory.path());
        Program::spawn(directory, &[&["--kubeconfig", "kubeconfig"], arguments].concat())
    }

    fn spawn(directory: TempDir, arguments: &[&str]) -> Program {
        let mut child = Command::new(OUTRIGGER)
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .args(arguments)
            .current_dir(directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| kept.lock().unwrap().push(line))
        });
        let none = ([0, 0, 0, 0], 0).into();
        let mut program = Program {
            directory,
            listen: none,
            admin: none,
            child,
            log,
        };
        let serving = program.wait_for_log("serving");
        program.listen = serving["listen"].as_str().unwrap().parse().unwrap();
        program.admin = serving["admin"].as_str().unwrap().parse().unwrap();
        program
    }

    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("certs/ca.crt")
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.listen, &self.authority()).await
    }

    pub async fn get(&self, path: &str) -> Response {
        get(self.admin, path).await
    }

    pub async fn has_metric(&self, line: &str) -> bool {
        self.get("/metrics").await.body.lines().any(|found| found == line)
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub fn wait_for_log(&self, message: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let lines = self.log.lock().unwrap().clone();
            let mut events = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(event) = events.find(|event| event["message"] == message) {
                return event;
            }
            assert!(Instant::now() < deadline, "no {message:?} in\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The most memory that it has held, in MiB.
    pub fn peak_memory(&self) -> u64 {
        Memory::of(self.child.id()).unwrap().peak >> 20
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits, but not forever, until `holds`.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn policy(name: &str) -> String {
    format!(
        "apiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionPolicy\nmetadata: {{name: {name}}}\nspec: {{}}\n"
    )
}
