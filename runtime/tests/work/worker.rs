//! A worker's process, and HTTP calls to it.
use outrigger_harness::Memory;
use outrigger_harness::keeper::{Kept, Program};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until there is something.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub struct Worker {
    process: Kept,
    log: PathBuf,
    pub port: u16,
    _dir: TempDir,
}

/// The binary's arguments that tests have in common: quick back-off, and a free port.
fn arguments(nats: &str, more: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = [
        "work",
        "--listen",
        "127.0.0.1:0",
        "--log-format",
        "json",
        "--nats",
        nats,
    ]
    .map(str::to_owned)
    .to_vec();
    for (flag, value) in [
        ("--queue", "orders"),
        ("--backoff", "50ms"),
        ("--max-backoff", "2s"),
        ("--log-level", "debug"),
    ] {
        if !more.contains(&flag) {
            all.extend([flag.to_owned(), value.to_owned()]);
        }
    }
    all.extend(more.iter().map(|&argument| argument.to_owned()));
    all
}

impl Worker {
    pub fn start(nats: &str, more: &[&str]) -> Worker {
        Worker::with_environment(&[], nats, more)
    }

    pub fn with_environment(environment: &[(&str, &str)], nats: &str, more: &[&str]) -> Worker {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("log");
        let mut given: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        given.push(env!("CARGO_BIN_EXE_outrigger-runtime").to_owned());
        given.extend(arguments(nats, more));
        let program = Program {
            path: Path::new("/usr/bin/env"),
            arguments: given,
            stdout: Stdio::null(),
            stderr: File::create(&log).unwrap().into(),
            scratch: None,
        };
        let mut worker = Worker {
            process: program.start().unwrap(),
            log,
            port: 0,
            _dir: dir,
        };
        worker.port = worker.wait_for_port();
        worker
    }

    fn wait_for_port(&mut self) -> u16 {
        let start = Instant::now();
        loop {
            let log = self.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let listen = lines
                .filter_map(|line| line["listen"].as_str().map(str::to_owned))
                .next();
            if let Some(listen) = listen {
                return listen.rsplit_once(':').unwrap().1.parse().unwrap();
            }
            assert!(start.elapsed() < PATIENCE && self.process.ended().is_none(), "{log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        if let Some(process) = self.process.process("outrigger") {
            Command::new("kill")
                .args([name, &process.to_string()])
                .status()
                .unwrap();
        }
    }

    /// As kubelet stops it.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn pause(&self) {
        self.signal("-STOP");
    }

    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// Its memory, in KiB.
    pub fn resident(&self) -> u64 {
        let process = self.process.process("outrigger").unwrap();
        Memory::of(process).unwrap().resident / 1024
    }

    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the worker ends", async || self.process.ended()).await
    }

    /// As a node does that fails.
    pub fn kill(self) {
        drop(self.process);
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        call(self.port, "GET", path, &[], "")
            .await
            .unwrap_or((0, String::new()))
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.1).unwrap_or_default()
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
        let (status, text) = call(self.port, "POST", path, headers, body).await.unwrap_or_default();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// Until it is ready; or until what it lacks is told with `lack` in it.
    pub async fn ready(&self) {
        eventually(&format!("ready\n{}", self.log()), async || {
            (self.get("/readyz").await.0 == 200).then_some(())
        })
        .await;
    }

    pub async fn lacks(&self, lack: &str) -> String {
        let told =
            async || Some(self.get("/readyz").await).filter(|(status, text)| *status == 503 && text.contains(lack));
        eventually(&format!("lacks {lack:?}\n{}", self.log()), told).await.1
    }

    /// The sum over labels of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics").await;
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
            .sum()
    }
}

/// One call over a connection of its own.
pub async fn call(port: u16, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    stream.write_all(format!("{text}\r\n{body}").as_bytes()).await.ok()?;
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .ok()?
        .ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked {
        body.lines().skip(1).step_by(2).collect()
    } else {
        body.to_owned()
    };
    Some((status, body))
}
