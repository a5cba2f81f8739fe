//! Processes: this program in another role, and the one that is measured.
use outrigger_harness::keeper::{Kept, Program};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

pub const ROLE: &str = "OUTRIGGER_BENCH_ROLE";

/// A running process.
pub struct Process {
    pub addresses: Vec<String>,
    kept: Kept,
}

impl Process {
    pub async fn leaves(manner: &str) -> Process {
        Process::own(&format!("leaves {manner}"))
    }

    pub async fn plain(leaves: &[String]) -> Process {
        Process::own(&format!("plain {}", leaves.join(",")))
    }

    /// This program, which writes its addresses as one line, `listen="…"`.
    fn own(role: &str) -> Process {
        let itself = std::env::current_exe().unwrap().display().to_string();
        Process::start(vec![format!("{ROLE}={role}"), itself])
    }

    pub async fn gather(flags: &[&str]) -> Process {
        let own = [
            env!("CARGO_BIN_EXE_outrigger-runtime"),
            "gather",
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
        ];
        Process::start(own.iter().chain(flags).map(|word| (*word).to_owned()).collect())
    }

    fn start(arguments: Vec<String>) -> Process {
        let mut kept = Program {
            path: Path::new("/usr/bin/env"),
            arguments,
            stdout: Stdio::null(),
            stderr: Stdio::piped(),
            scratch: None,
        }
        .start()
        .unwrap();
        let mut lines = BufReader::new(kept.take_stderr().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut said = String::new();
        let addresses = lines.find_map(|line| {
            said += &line;
            let (_, rest) = line.split_once("listen=")?;
            let list = rest.split_whitespace().next()?;
            Some(list.split(',').map(str::to_owned).collect())
        });
        // Read on, so that it does not stand still.
        std::thread::spawn(move || lines.for_each(drop));
        Process {
            addresses: addresses.unwrap_or_else(|| panic!("it does not listen: {said}")),
            kept,
        }
    }

    /// The CPU time that it has used, in steps of 10 ms.
    pub fn cpu(&self) -> Duration {
        let shell = self.kept.group();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap_or_default();
        let ticks = |pid: &str| -> Option<u64> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        Duration::from_millis(10 * children.split_whitespace().filter_map(ticks).sum::<u64>())
    }
}
