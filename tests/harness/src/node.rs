//! A whole node, on which Pods run: kubelet, containerd, kube-proxy, DNS and the control plane, in a network namespace of
//! its own. The scripts of `tests/node/cluster/` do it; this builds what they need, and calls them.
//!
//! It needs root and Linux, and there is one at a time on a machine.
use crate::assets::program;
use crate::demand::{Absent, available, say};
use crate::golang::Tool;
use crate::kubectl::{Output, Run};
use crate::rundir;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

static SHARED: OnceLock<Result<Node, Absent>> = OnceLock::new();

const BUILT: [Tool; 8] = [
    Tool::Etcd,
    Tool::ApiServer,
    Tool::ControllerManager,
    Tool::Scheduler,
    Tool::Kubelet,
    Tool::KubeProxy,
    Tool::Kubectl,
    Tool::CoreDns,
];

/// What the scripts call, and the Debian package that has it.
const INSTALLED: [(&str, &str); 11] = [
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("busybox", "busybox-static"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("openssl", "openssl"),
    ("python3", "python3"),
];

/// Takes the node away when the process that holds the other end of its standard input ends, however that ends.
const KEEPER: &str = r#"read -r _; exec "$0" >/dev/null 2>&1"#;

/// A running node.
#[derive(Debug)]
pub struct Node {
    run: PathBuf,
    bin: PathBuf,
    /// Held by this process alone, and never closed by it.
    _life: Option<std::process::Child>,
    _turn: File,
}

impl Node {
    /// The node of this test process, brought up by the first who asks and taken away when the process ends; `None` where
    /// that cannot be, after saying so.
    ///
    /// # Panics
    /// When it cannot be brought up, or is missing although everything is demanded.
    pub fn shared() -> Option<&'static Node> {
        let start = || {
            let mut node = Node::up()?;
            node.live_with_this_process()
                .map_err(|error| Absent::Broken(format!("failed to look after the node: {error:#}")))?;
            Ok(node)
        };
        available(SHARED.get_or_init(start).as_ref().map_err(Clone::clone))
    }

    /// Brings the node up, or what is missing of it. It stays until [`Node::down`].
    ///
    /// # Errors
    /// When this machine cannot have one, or it does not come up.
    pub fn up() -> Result<Node, Absent> {
        can_be_here()?;
        let programs = BUILT.map(|tool| program(tool).map(|path| (tool.name(), path)));
        let programs = programs.into_iter().collect::<Result<Vec<_>, _>>()?;
        let broken = |error: anyhow::Error| Absent::Broken(format!("failed to bring up a node: {error:#}"));
        Node::at(&programs).map_err(broken)
    }

    fn at(programs: &[(&str, PathBuf)]) -> Result<Node> {
        let node = rundir::target().join("node");
        let (run, bin) = (node.join("run"), node.join("bin"));
        fs::create_dir_all(&bin)?;
        let turn = File::create(node.join("lock"))?;
        turn.try_lock()
            .context("another process has the node of this machine; wait until it ends")?;
        for (name, path) in programs {
            let _ = fs::remove_file(bin.join(name));
            symlink(fs::canonicalize(path)?, bin.join(name))?;
        }
        let node = Node {
            run,
            bin,
            _life: None,
            _turn: turn,
        };
        say("bringing up a node");
        node.script("up.sh", &[])?;
        Ok(node)
    }

    fn live_with_this_process(&mut self) -> Result<()> {
        let mut keeper = self.command("sh");
        keeper.args(["-c", KEEPER]).arg(scripts().join("down.sh"));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        keeper.process_group(0);
        self._life = Some(keeper.spawn()?);
        Ok(())
    }

    /// Takes the node away, with all that was in it.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn down(self) -> Result<()> {
        self.script("down.sh", &[]).map(drop)
    }

    /// Runs a script of `tests/node/cluster/`, and returns what it printed.
    ///
    /// # Errors
    /// With what it printed, when it fails.
    pub fn script(&self, name: &str, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(scripts().join(name))
            .args(arguments)
            .stdin(Stdio::null())
            .output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if !output.status.success() {
            bail!("{name} ends with {}:\n{stdout}{stderr}", output.status);
        }
        Ok(stdout)
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env("BIN", &self.bin).env("RUN", &self.run);
        command
    }

    /// Runs kubectl, and waits without blocking the runtime.
    pub async fn kubectl(&self, arguments: &[&str], input: Option<String>) -> Output {
        let run = Run {
            program: &self.bin.join("kubectl"),
            kubeconfig: &self.kubeconfig(),
        };
        run.go(arguments, input).await
    }

    /// A client with all rights. It belongs to the runtime of the caller.
    ///
    /// # Panics
    /// When its kubeconfig cannot be read.
    pub async fn client(&self) -> kube::Client {
        let client = crate::cluster::connect(&self.kubeconfig()).await;
        client.expect("failed to make a client")
    }

    /// A program of this machine, inside the node's network.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--net=/run/netns/outrigger").arg(program);
        command
    }

    /// The way to its API server from this machine.
    pub fn kubeconfig(&self) -> PathBuf {
        self.run.join("kubeconfig-host")
    }

    /// Where its state is: keys, logs, data, process ids.
    pub fn directory(&self) -> &Path {
        &self.run
    }

    /// Where its programs are, by name.
    pub fn programs(&self) -> &Path {
        &self.bin
    }
}

fn scripts() -> PathBuf {
    rundir::workspace().join("tests/node/cluster")
}

fn can_be_here() -> Result<(), Absent> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        return Err(Absent::NotInstalled(
            "a node needs root on Linux; run the tests as root".into(),
        ));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| {
        let mut places = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
        places.any(|place| place.join(program).exists())
    };
    let missing = INSTALLED.iter().filter(|(program, _)| !is_there(program));
    let missing: Vec<&str> = missing.map(|(_, package)| *package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    Err(Absent::NotInstalled(format!(
        "a node needs Debian's {packages}: apt-get install {packages}"
    )))
}
