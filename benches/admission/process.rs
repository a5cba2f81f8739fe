//! A server in a process of its own: started, asked what it used, ended.
use anyhow::{Context, Result, bail};
use outrigger_harness::Memory;
use std::{
    env, fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// The unit of times in `/proc/<pid>/stat`, the same on every architecture (`man 5 proc`, USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// A server that listens.
pub struct Process {
    pub listen: SocketAddr,
    pub authority: PathBuf,
    admin: Option<SocketAddr>,
    child: Child,
}

impl Process {
    /// The webhook that does nothing.
    pub fn no_op(certificates: &Path) -> Result<Process> {
        let mut command = Command::new(env::current_exe().context("failed to find this program")?);
        command.arg("--serve-no-op").arg(certificates);
        Process::start(command, certificates)
    }

    /// `outrigger serve`, as an operator starts it, with `arguments` besides.
    pub fn outrigger(program: &Path, certificates: &Path, arguments: &[&Path]) -> Result<Process> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--certs"])
            .arg(certificates)
            .args(arguments);
        Process::start(command, certificates)
    }

    fn start(mut command: Command, certificates: &Path) -> Result<Process> {
        command.env_remove("RUST_LOG").stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        let mut log = BufReader::with_capacity(1 << 16, child.stderr.take().context("a server has no stderr")?);
        let mut line = String::new();
        while !line.contains("listen=") {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                bail!("a server ended before it served: {:?}", child.wait()?);
            }
        }
        // Log lines are read as a container runtime does, and dropped.
        thread::spawn(move || io::copy(&mut log, &mut io::sink()));
        let address = |key: &str| {
            line.split_whitespace()
                .find_map(|word| word.strip_prefix(key)?.parse().ok())
        };
        Ok(Process {
            listen: address("listen=").context("a server does not say where it listens")?,
            authority: certificates.join("ca.crt"),
            admin: address("admin="),
            child,
        })
    }

    /// Waits until the admin port says that the server is ready.
    pub fn wait_until_ready(&self) -> Result<()> {
        let admin = self.admin.context("this server has no admin port")?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline {
            if let Ok(true) = is_ready(admin) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        bail!("a server was not ready in time")
    }

    /// Processor time so far, of all threads, in user and kernel mode.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // The name of the program, in parentheses, may hold anything; what follows begins with field 3.
        let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat is not as expected")?;
        let times = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let ticks: Vec<u32> = times
            .collect::<Result<_, _>>()
            .context("/proc/<pid>/stat is not as expected")?;
        Ok(TICK * ticks.iter().sum())
    }

    pub fn memory(&self) -> Result<Memory> {
        Memory::of(self.child.id())
    }

    fn proc(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.child.id());
        fs::read_to_string(&path).with_context(|| format!("failed to read {path}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_ready(admin: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect(admin)?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: outrigger\r\nconnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response.starts_with("HTTP/1.1 200 "))
}
