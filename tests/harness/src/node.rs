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
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Takes the node away when the process that holds the other end of its standard input ends, however that ends; and nobody else
/// has the node before that is done, since it has the lock for its standard output.
const KEEPER: &str = r#"read -r word; [ "$word" = stay ] || exec "$0" 3>&1 >/dev/null 2>&1"#;

/// A running node.
#[derive(Debug)]
pub struct Node {
    run: PathBuf,
    bin: PathBuf,
    /// Its standard input is held by this process alone.
    life: Option<Child>,
    _turn: Option<File>,
}

impl Node {
    /// The node of this test process, brought up by the first who asks and taken away when the process ends; `None` where
    /// that cannot be, after saying so.
    ///
    /// # Panics
    /// When it cannot be brought up, or is missing although everything is demanded.
    pub fn shared() -> Option<&'static Node> {
        let start = || {
            let node = Node::claim()?;
            if node.stays() {
                let way_out = "the node of `make demo` is up; take it away first: make demo-down";
                return Err(Absent::Broken(way_out.into()));
            }
            say("bringing up a node");
            node.up(|_| ()).map_err(broken)?;
            Ok(node)
        };
        available(SHARED.get_or_init(start).as_ref().map_err(Clone::clone))
    }

    /// The right to have a node, as soon as nobody else has it. What is brought up then goes away when this process ends, unless
    /// it is, or has been, [told to stay](Node::stay).
    ///
    /// # Errors
    /// When this machine cannot have one.
    pub fn claim() -> Result<Node, Absent> {
        Node::possible()?;
        let programs = BUILT.map(|tool| program(tool).map(|path| (tool.name(), path)));
        let programs = programs.into_iter().collect::<Result<Vec<_>, _>>()?;
        Node::with(&programs).map_err(broken)
    }

    /// The node that another process has left here, which has [told it to stay](Node::stay). It goes away with this process.
    ///
    /// # Errors
    /// When there is none.
    pub fn left_here() -> Result<Node> {
        let mut node = Node::here();
        if !node.stays() {
            bail!("no node has been told to stay");
        }
        node.live_with_this_process(Stdio::null())?;
        Ok(node)
    }

    fn here() -> Node {
        let node = rundir::target().join("node");
        Node {
            run: node.join("run"),
            bin: node.join("bin"),
            life: None,
            _turn: None,
        }
    }

    fn with(programs: &[(&str, PathBuf)]) -> Result<Node> {
        let mut node = Node::here();
        fs::create_dir_all(&node.bin)?;
        let turn = turn(&node.run.with_file_name("lock"))?;
        for (name, path) in programs {
            node.add_program(name, path)?;
        }
        if !node.stays() {
            node.live_with_this_process(turn.try_clone()?.into())?;
        }
        node._turn = Some(turn);
        Ok(node)
    }

    /// Puts a program [beside its own](Node::programs).
    ///
    /// # Errors
    /// When there is no such program.
    pub fn add_program(&self, name: &str, path: &Path) -> Result<()> {
        let path = fs::canonicalize(path).with_context(|| format!("failed to find {}", path.display()))?;
        let _ = fs::remove_file(self.bin.join(name));
        symlink(path, self.bin.join(name))?;
        Ok(())
    }

    fn live_with_this_process(&mut self, lock: Stdio) -> Result<()> {
        let mut keeper = self.command("sh");
        keeper.args(["-c", KEEPER]).arg(scripts().join("down.sh"));
        keeper.stdin(Stdio::piped()).stdout(lock).stderr(Stdio::null());
        keeper.process_group(0);
        self.life = Some(keeper.spawn()?);
        Ok(())
    }

    /// Brings it up, or what is missing of it; `told` is told each step.
    ///
    /// # Errors
    /// With what was said last, when it does not come up.
    pub fn up(&self, mut told: impl FnMut(&str)) -> Result<()> {
        fs::create_dir_all(self.run.join("log"))?;
        let log = self.run.join("log/up.log");
        let mut up = self.command(scripts().join("up.sh"));
        up.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let mut up = up.spawn()?;
        for line in up
            .stdout
            .take()
            .map(BufReader::new)
            .into_iter()
            .flat_map(BufRead::lines)
        {
            told(&line?);
        }
        let status = up.wait()?;
        if !status.success() {
            bail!("up.sh ends with {status}:\n{}", fs::read_to_string(&log)?.trim_end());
        }
        Ok(())
    }

    /// Lets it stay when this process ends, until [`Node::down`].
    ///
    /// # Errors
    /// When that cannot be written down.
    pub fn stay(mut self) -> Result<()> {
        fs::write(self.stays_file(), "")?;
        self.forget()
    }

    /// Whether it has been told to.
    pub fn stays(&self) -> bool {
        self.stays_file().exists()
    }

    fn stays_file(&self) -> PathBuf {
        self.run.join("stays")
    }

    /// Ends the keeper, which does nothing then.
    fn forget(&mut self) -> Result<()> {
        if let Some(mut keeper) = self.life.take() {
            keeper
                .stdin
                .take()
                .context("the keeper has no input")?
                .write_all(b"stay\n")?;
            keeper.wait()?;
        }
        Ok(())
    }

    /// Takes the node away, with all that was in it.
    ///
    /// # Errors
    /// When something of it stays.
    pub fn down(mut self) -> Result<()> {
        self.script("down.sh", &[])?;
        self.forget()
    }

    /// Whether this machine can have one.
    ///
    /// # Errors
    /// Why not.
    pub fn possible() -> Result<(), Absent> {
        can_be_here()
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

fn broken(error: anyhow::Error) -> Absent {
    Absent::Broken(format!("failed to bring up a node: {error:#}"))
}

/// The lock of the node, when nobody else has it any more.
fn turn(path: &Path) -> Result<File> {
    let turn = File::create(path)?;
    if turn.try_lock().is_err() {
        say("another process has the node of this machine: waiting until it has ended");
        turn.lock()?;
    }
    Ok(turn)
}

fn scripts() -> PathBuf {
    rundir::workspace().join("tests/node/cluster")
}

fn can_be_here() -> Result<(), Absent> {
    let is_root = fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    if !is_root {
        return Err(Absent::Elsewhere(
            "the tests on a whole node, which needs root on Linux; run them as root".into(),
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
