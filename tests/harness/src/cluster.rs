//! The one API server of a test process, shared by its tests; each test has a namespace of its own in it.
use crate::assets::{Program as Tool, program};
use crate::control_plane::{ControlPlane, Programs};
use crate::demand::{Absent, available};
use crate::keeper::{Kept, Program};
use crate::namespace::Namespace;
use crate::rundir::RunDir;
use anyhow::Result;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static SHARED: OnceLock<Result<Cluster, Absent>> = OnceLock::new();

/// A running API server.
#[derive(Debug)]
pub struct Cluster {
    control_plane: ControlPlane,
    kubectl: PathBuf,
    dir: PathBuf,
    /// Locked as long as the cluster lives.
    _run: Option<RunDir>,
    namespaces: AtomicU32,
}

impl Cluster {
    /// The cluster of this test process, started by the first who asks; `None` where a tool is missing, after saying so.
    ///
    /// # Panics
    /// When it cannot be started, or is missing although everything is demanded.
    pub fn shared() -> Option<&'static Cluster> {
        let shared = SHARED.get_or_init(Cluster::start);
        available(shared.as_ref().map_err(Clone::clone))
    }

    /// A cluster of its own until the process ends, whose API server has these arguments besides the usual ones; `name` is
    /// that of a test. `None` as for [`Self::shared`].
    ///
    /// # Panics
    /// As [`Self::shared`].
    pub fn apart(name: &str, arguments: &[String]) -> Option<&'static Cluster> {
        let dir = Cluster::shared()?.directory(name).join("cluster");
        std::fs::create_dir_all(&dir).expect("failed to make a directory");
        let cluster = Cluster::start_in(dir, None, arguments);
        available(cluster).map(|cluster| &*Box::leak(Box::new(cluster)))
    }

    fn start() -> Result<Cluster, Absent> {
        let broken = |error: anyhow::Error| Absent::Broken(format!("failed to make a directory: {error:#}"));
        Programs::find()?;
        let run = RunDir::create().map_err(broken)?;
        Cluster::start_in(run.path().to_owned(), Some(run), &[])
    }

    fn start_in(dir: PathBuf, run: Option<RunDir>, arguments: &[String]) -> Result<Cluster, Absent> {
        let programs = Programs::find()?;
        let kubectl = program(Tool::Kubectl)?;
        let broken = |error: anyhow::Error| Absent::Broken(format!("failed to start a cluster: {error:#}"));
        let control_plane = ControlPlane::start(&programs, &dir, arguments).map_err(broken)?;
        Ok(Cluster {
            control_plane,
            kubectl,
            dir,
            _run: run,
            namespaces: AtomicU32::new(0),
        })
    }

    /// A client with all rights. It belongs to the runtime of the caller.
    pub async fn client(&self) -> Client {
        connect(self.kubeconfig()).await.expect("failed to make a client")
    }

    /// The kubeconfig that [`Self::client`] uses.
    pub fn kubeconfig(&self) -> &Path {
        &self.control_plane.kubeconfig
    }

    /// A kubeconfig for whoever has this token; `name` is that of a test.
    pub fn kubeconfig_with_token(&self, token: &str, name: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.kubeconfig()).expect("failed to read the kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        config["users"][0]["user"] = json!({"token": token});
        let path = self.directory(name).join("token.kubeconfig");
        std::fs::write(&path, config.to_string()).expect("failed to write a kubeconfig");
        path
    }

    /// Starts the garbage collector, which removes what is owned by something that is gone. It ends when what is returned
    /// is dropped. `None` where it can neither be found nor built, after saying so.
    ///
    /// # Panics
    /// When it cannot be started, or is missing although everything is demanded.
    pub fn garbage_collector(&self) -> Option<Kept> {
        self.controllers(&["garbage-collector-controller"])
    }

    /// Starts kube-controller-manager with these controllers alone; the rest as for [`Self::garbage_collector`].
    ///
    /// # Panics
    /// As [`Self::garbage_collector`].
    pub fn controllers(&self, names: &[&str]) -> Option<Kept> {
        let path = available(program(Tool::ControllerManager))?;
        let log = File::create(self.dir.join("kube-controller-manager.log")).expect("failed to make a log");
        let arguments = [
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--controllers={}", names.join(",")),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ];
        let program = Program {
            path: &path,
            arguments: arguments.into(),
            stdout: Stdio::from(log.try_clone().expect("failed to share a log")),
            stderr: Stdio::from(log),
            scratch: None,
        };
        Some(program.start().expect("failed to start the controller manager"))
    }

    /// Ends etcd and the API server as a power cut would, and starts them anew with what is on the disk.
    ///
    /// # Panics
    /// When they do not come up again.
    pub fn restart(&self) {
        self.control_plane.restart().expect("failed to start the cluster anew");
    }

    /// The same, with these arguments of the API server instead of those that [`Self::apart`] was given.
    ///
    /// # Panics
    /// As [`Self::restart`].
    pub fn restart_with(&self, arguments: &[String]) {
        self.control_plane.change(arguments);
        self.restart();
    }

    /// The process groups of etcd and the API server.
    pub fn process_groups(&self) -> [u32; 2] {
        self.control_plane.groups()
    }

    /// The kubectl that goes with the API server.
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    pub(crate) fn audit_log(&self) -> &Path {
        &self.control_plane.audit_log
    }

    /// A new directory for files of a test.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.dir.join("tests").join(name);
        std::fs::create_dir_all(&path).expect("failed to make a directory");
        path
    }

    /// A new namespace: its name is `prefix` and a number, `facts` are the labels and annotations, for example
    /// `json!({"labels": {"team": "web"}})`.
    pub async fn namespace(&'static self, prefix: &str, facts: Value) -> Namespace {
        let number = self.namespaces.fetch_add(1, Ordering::Relaxed);
        let name = format!("{prefix}-{number}");
        let mut metadata = facts;
        metadata["name"] = json!(name);
        Namespace::make(self, name, metadata).await
    }

    /// A namespace that somebody else makes.
    pub async fn namespace_of_others(&'static self, name: &str) -> Namespace {
        Namespace::named(self, name.to_owned()).await
    }
}

pub(crate) async fn connect(kubeconfig: &Path) -> Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}
