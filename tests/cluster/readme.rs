//! The tour of the README, as a newcomer walks it: every command of it is run here, in its order, as it is printed.
use outrigger_harness::Cluster;
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::keeper::{Kept, Program};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const README: &str = include_str!("../../README.md");

/// A fenced block of the tour.
#[derive(Debug, PartialEq)]
enum Block<'a> {
    Commands(&'a str),
    /// Lines that the commands before it print, among others.
    Output(&'a str),
}

fn tour() -> Vec<Block<'static>> {
    let start = README.find("## A tour of five minutes").unwrap();
    let end = start + README[start..].find("\n## In a cluster").unwrap();
    let fenced = README[start..end].split("```").skip(1).step_by(2);
    fenced
        .map(|block| match block.split_once('\n').unwrap() {
            ("sh", commands) => Block::Commands(commands),
            ("text", output) => Block::Output(output),
            (language, _) => panic!("a block in {language} is not run by this test"),
        })
        .collect()
}

/// A newcomer's checkout and tools.
struct Newcomer {
    directory: PathBuf,
    path: String,
    kubeconfig: PathBuf,
    server: Option<Kept>,
}

impl Newcomer {
    fn new(cluster: &Cluster) -> Newcomer {
        let directory = cluster.directory("tour");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["policies", "tests"] {
            symlink(root.join(name), directory.join(name)).unwrap();
        }
        let tools = directory.join("tools");
        fs::create_dir(&tools).unwrap();
        symlink(cluster.kubectl_path(), tools.join("kubectl")).unwrap();
        // What `cargo run` would build is what this test belongs to.
        let cargo = tools.join("cargo");
        let binary = env!("CARGO_BIN_EXE_outrigger");
        let script =
            format!("#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 2\nshift 3\nexec {binary} \"$@\"\n");
        fs::write(&cargo, script).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
        Newcomer {
            directory,
            path,
            kubeconfig: cluster.kubeconfig().to_owned(),
            server: None,
        }
    }

    /// Runs commands as a shell does that somebody types them into.
    fn run(&self, commands: &str) -> String {
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(&self.directory)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.directory.join("kubectl-cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{commands}\n{stdout}\n{stderr}");
        stdout
    }

    /// Starts the command that stays in the foreground of the newcomer's first terminal.
    fn serve(&mut self, command: &str) {
        let script = format!("cd {} && exec {}", self.directory.display(), command.trim());
        let log = fs::File::create(self.directory.join("serve.log")).unwrap();
        let program = Program {
            path: Path::new("/usr/bin/env"),
            arguments: vec![format!("PATH={}", self.path), "sh".into(), "-c".into(), script],
            stdout: Stdio::null(),
            stderr: log.into(),
            scratch: None,
        };
        self.server = Some(program.start().unwrap());
        self.wait("curl --silent --fail http://127.0.0.1:8080/readyz >/dev/null");
    }

    fn wait(&self, condition: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let holds = || {
            let mut command = Command::new("bash");
            command
                .args(["-c", condition])
                .current_dir(&self.directory)
                .env("PATH", &self.path);
            command.env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        };
        while !holds() {
            let log = fs::read_to_string(self.directory.join("serve.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "not within 20 seconds: {condition}\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// What a complete cluster does in the moment that a person takes to read on: its controllers make the namespace's
    /// ServiceAccount (there are none here), and the API server learns of the webhook.
    fn read_on(&self) {
        if !self.knows("namespace tour") {
            return;
        }
        if !self.knows("serviceaccount default --namespace tour") {
            self.run("kubectl create serviceaccount default --namespace tour");
        }
        if self.knows("mutatingwebhookconfiguration outrigger-tour") && !self.knows("pod web --namespace tour") {
            let probe = "kubectl run probe --namespace tour --image x --dry-run=server --output json";
            self.wait(&format!(
                "{probe} --annotations outrigger.dev/inject=log-saver | grep -q initContainers"
            ));
        }
    }

    fn knows(&self, what: &str) -> bool {
        self.run(&format!("kubectl get --ignore-not-found --output name {what}"))
            .contains('/')
    }
}

fn installed(tools: &[&str]) -> Result<(), Absent> {
    let missing = |tool: &&&str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {tool}")])
            .stdout(Stdio::null())
            .status();
        !found.unwrap().success()
    };
    match tools.iter().find(missing) {
        Some(tool) => Err(Absent::NotInstalled(format!(
            "{tool} is not installed; on Debian: apt-get install {tool}"
        ))),
        None => Ok(()),
    }
}

#[tokio::test]
async fn every_command_of_the_tour_does_what_the_readme_says() {
    let Some(cluster) = Cluster::shared() else { return };
    if available(installed(&["bash", "curl", "jq"])).is_none() {
        return;
    }
    let walk = move || {
        let mut newcomer = Newcomer::new(cluster);
        let mut printed = String::new();
        for block in tour() {
            match block {
                Block::Commands(command) if command.contains(" -- serve ") => newcomer.serve(command),
                Block::Commands(commands) => {
                    newcomer.read_on();
                    printed = newcomer.run(commands);
                }
                Block::Output(expected) => {
                    let absent = expected.lines().find(|line| !printed.contains(line.trim()));
                    assert_eq!(absent, None, "it is not printed, but\n{printed}");
                }
            }
        }
    };
    tokio::task::spawn_blocking(walk).await.unwrap();
}

#[test]
fn the_tour_has_commands_and_says_what_they_print() {
    let blocks = tour();
    let commands = blocks
        .iter()
        .filter(|block| matches!(block, Block::Commands(_)))
        .count();
    assert!(commands >= 7 && blocks.len() - commands >= 5, "{blocks:?}");
    // What a request looks like to the server is shown with a real one.
    let review: serde_json::Value = serde_json::from_str(include_str!("../fixtures/review.json")).unwrap();
    assert_eq!(
        review["request"]["object"]["metadata"]["annotations"]["outrigger.dev/inject"],
        json!("log-saver")
    );
}
