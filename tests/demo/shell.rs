//! What somebody types.
use outrigger_harness::cargo::untold;
use outrigger_harness::rundir::{target, workspace};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Said {
    pub success: bool,
    pub stdout: String,
    pub stderr: String,
}

fn run(command: &mut Command) -> Said {
    let output = untold(command)
        .current_dir(workspace())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// Runs make at the root of the sources.
pub fn make(goal: &str, variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new("make");
    command
        .arg("--no-print-directory")
        .arg(goal)
        .env("CARGO_TARGET_DIR", target());
    run(command.envs(variables.iter().copied()))
}

/// A shell after the line that `make demo` says it needs.
pub struct Shell {
    export: String,
    cache: tempfile::TempDir,
}

impl Shell {
    pub fn told(stdout: &str) -> Shell {
        let export = stdout.lines().find(|line| line.starts_with("export KUBECONFIG="));
        Shell {
            export: export
                .unwrap_or_else(|| panic!("no line begins with export:\n{stdout}"))
                .to_owned(),
            cache: tempfile::tempdir().unwrap(),
        }
    }

    /// What commands print, on both ways; their last one says whether they succeed.
    pub fn attempt(&self, commands: &str) -> Said {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{}\n{commands}", self.export)]);
        for variable in ["KUBECACHEDIR", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, self.cache.path());
        }
        run(&mut command)
    }

    /// What commands print, which must succeed.
    #[track_caller]
    pub fn run(&self, commands: &str) -> String {
        let said = self.attempt(&format!("set -eo pipefail\n{commands}"));
        assert!(said.success, "{commands}\n{said:?}");
        said.stdout
    }

    /// Looks again and again, as people do, until `wanted` says yes to what is printed on both ways.
    #[track_caller]
    pub fn until(&self, commands: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let said = self.attempt(commands);
            let text = said.stdout + &said.stderr;
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{commands}\nstill says\n{text}");
            std::thread::sleep(Duration::from_millis(300));
        }
    }
}
