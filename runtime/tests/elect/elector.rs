//! A process of the program.
use crate::asking::{Reply, ask, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger-runtime");

/// A running elector; it is killed when this is dropped.
pub struct Elector {
    pub pod: String,
    pub identity: String,
    pub address: SocketAddr,
    child: Child,
    log: PathBuf,
    _directory: TempDir,
}

/// What an elector is started with, besides its own address and log format.
pub struct Start<'a> {
    pub pod: &'a str,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

impl<'a> Start<'a> {
    /// The Pod `pod` takes part in `elections`.
    pub fn new(pod: &'a str, elections: &str) -> Start<'a> {
        Start {
            pod,
            arguments: vec![format!("--election={elections}")],
            environment: vec![],
        }
    }

    pub fn with(mut self, arguments: &[&str]) -> Start<'a> {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// With the way to the API server that this file tells, in this namespace.
    pub fn in_namespace(self, kubeconfig: &Path, namespace: &str) -> Start<'a> {
        let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
        self.with(&[&kubeconfig, "--namespace", namespace])
    }

    pub fn variable(mut self, name: &str, value: &str) -> Start<'a> {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it, and waits until it listens.
    pub fn go(self) -> Elector {
        let directory = TempDir::new().unwrap();
        let log = directory.path().join("log");
        let child = Command::new(PROGRAM)
            .args(["elect", "--listen=127.0.0.1:0", "--log-format=json", "--pod", self.pod])
            .args(&self.arguments)
            .env_clear()
            .envs(without_authorities(&self.arguments, directory.path()))
            .envs(self.environment)
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let serving = eventually("the elector listens", || {
            let text = fs::read_to_string(&log).unwrap();
            let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["message"] == "serving")
        });
        Elector {
            pod: self.pod.to_owned(),
            identity: serving["identity"].as_str().unwrap().to_owned(),
            address: serving["listen"].as_str().unwrap().parse().unwrap(),
            child,
            log,
            _directory: directory,
        }
    }
}

impl Elector {
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it with SIGTERM.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.wait().unwrap()
    }

    /// Waits until it has ended.
    pub fn end(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn get(&self, path: &str) -> Reply {
        ask(self.address, "GET", path).unwrap()
    }

    pub fn post(&self, path: &str) -> Reply {
        ask(self.address, "POST", path).unwrap()
    }

    /// Whether it leads the election at this path.
    pub fn leads(&self, path: &str) -> bool {
        self.get(path).json()["leader"] == true
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Elector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.identity, self.log());
        }
    }
}

/// The one of them that leads, once one does.
pub fn leader(electors: &[Elector]) -> usize {
    eventually("somebody leads", || {
        electors.iter().position(|elector| elector.leads("/"))
    })
}

/// In a Pod's image there are no authorities of the system's own: there, only those of the service account are.
fn without_authorities(arguments: &[String], empty: &Path) -> Vec<(&'static str, PathBuf)> {
    match arguments.iter().any(|argument| argument.starts_with("--kubeconfig")) {
        true => Vec::new(),
        false => vec![
            ("SSL_CERT_FILE", "/dev/null".into()),
            ("SSL_CERT_DIR", empty.to_owned()),
        ],
    }
}
