//! Child processes that never outlive the test process, not even when that is killed.
//!
//! Each child runs under a small shell that waits at a pipe. The other end of the pipe is held by the test process and by
//! nobody else (Rust's pipes are close-on-exec), so it closes when that process ends in any way, and the shell then
//! kills the child and removes what it left on the disk.
use anyhow::{Context, Result};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};

/// Arguments: a path to remove afterwards, or nothing; the program; its arguments. `wait` comes back when the program
/// ends by itself, and then the one that reads the pipe must not kill whoever has got its number next.
const SCRIPT: &str = r#"
scratch=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ read -r _ <&3; kill -KILL "$child"; } >/dev/null 2>&1 &
reader=$!
wait "$child"; code=$?
kill "$reader" 2>/dev/null
[ -z "$scratch" ] || rm -rf "$scratch"
exit "$code"
"#;

/// A running child; dropping it kills the child and waits for its end.
#[derive(Debug)]
pub struct Kept {
    shell: Child,
}

/// What to start.
pub struct Program<'a> {
    /// The program's file.
    pub path: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Where its standard output goes.
    pub stdout: Stdio,
    /// Where its standard error goes.
    pub stderr: Stdio,
    /// A directory to remove when it has ended.
    pub scratch: Option<&'a Path>,
}

impl Program<'_> {
    /// Starts it.
    ///
    /// # Errors
    /// When there is no `sh`. A program that cannot be started ends with code 126 or 127 instead.
    pub fn start(self) -> Result<Kept> {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", SCRIPT, "sh"]);
        command.arg(self.scratch.map_or(OsStr::new(""), Path::as_os_str));
        command.arg(self.path).args(self.arguments);
        command.stdin(Stdio::piped()).stdout(self.stdout).stderr(self.stderr);
        // Ctrl-C reaches the test process only; the rest follows from the pipe.
        command.process_group(0);
        let shell = command.spawn().context("failed to start sh")?;
        Ok(Kept { shell })
    }
}

impl Kept {
    /// The shell's process id, which is also the id of the group that the program runs in.
    pub fn group(&self) -> u32 {
        self.shell.id()
    }

    /// The program's own process, whose name begins like this (Linux cuts names after 15 bytes); `None` where it has not begun, or has
    /// ended.
    pub fn process(&self, name: &str) -> Option<u32> {
        let shell = self.group();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
        let called =
            |pid: &&str| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.starts_with(name));
        children.split_whitespace().find(called)?.parse().ok()
    }

    /// Kills the program and its shell, which then removes nothing; waits for the shell's end.
    pub fn kill(&mut self) {
        self.signal("KILL");
        let _ = self.shell.wait();
    }

    /// Sends a signal, such as `KILL` or `STOP`, to the program and its shell.
    ///
    /// # Panics
    /// When there is no `kill`.
    pub fn signal(&self, signal: &str) {
        let group = format!("-{}", self.group());
        let mut kill = std::process::Command::new("kill");
        kill.args([&format!("-{signal}"), "--", &group]);
        // That it has gone already is no error.
        let _ = kill.stderr(Stdio::null()).status().expect("failed to start kill");
    }

    /// How the program ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.shell.try_wait().ok().flatten()
    }

    /// The output, where that is a pipe.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.shell.stderr.take()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
