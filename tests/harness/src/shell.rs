//! A person's shell: a directory, tools that come before all others, and a cluster.
use crate::cluster::Cluster;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs what documents show, as somebody would who types it.
pub struct Shell {
    /// Where the commands are run.
    pub directory: PathBuf,
    /// What `PATH` is there.
    pub path: String,
    kubeconfig: PathBuf,
}

impl Shell {
    /// A shell in a new directory, with the cluster's kubectl; `name` is that of a test.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn new(cluster: &Cluster, name: &str) -> Shell {
        let directory = cluster.directory(name);
        let tools = directory.join("tools");
        fs::create_dir_all(&tools).expect("failed to make a directory");
        let path = std::env::var("PATH").unwrap_or_default();
        let shell = Shell {
            path: format!("{}:{path}", tools.display()),
            directory,
            kubeconfig: cluster.kubeconfig().to_owned(),
        };
        shell.tool("kubectl", cluster.kubectl_path());
        shell
    }

    /// Makes a file or a directory known by this name.
    ///
    /// # Panics
    /// When there is something of that name.
    pub fn link(&self, name: &str, target: &Path) {
        symlink(target, self.directory.join(name)).expect("failed to make a link");
    }

    /// Makes a program known by this name.
    ///
    /// # Panics
    /// When there is something of that name.
    pub fn tool(&self, name: &str, program: &Path) {
        self.link(&format!("tools/{name}"), program);
    }

    /// Makes a script for `sh` known by this name.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn script(&self, name: &str, text: &str) {
        let path = self.directory.join("tools").join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("failed to write a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("failed to make a script executable");
    }

    fn command(&self, commands: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", commands]);
        command
            .current_dir(&self.directory)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.directory.join("kubectl-cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs commands, which must succeed; what they print. It waits, so in an async test it needs a thread of its own.
    ///
    /// # Panics
    /// When one of them fails; the message has what they print.
    pub fn run(&self, commands: &str) -> String {
        let output = self.command(commands).output().expect("failed to start bash");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{commands}\n{stdout}\n{stderr}");
        stdout
    }

    /// Waits until a command succeeds.
    ///
    /// # Panics
    /// When it does not; `told` says what is known then.
    pub fn wait(&self, condition: &str, patience: Duration, told: impl Fn() -> String) {
        let deadline = Instant::now() + patience;
        let holds = || {
            let mut command = self.command(condition);
            let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
            status.expect("failed to start bash").success()
        };
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "not within {patience:?}: {condition}\n{}",
                told()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
