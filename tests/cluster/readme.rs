//! The tour of the README, as a newcomer walks it, and docs/development.md, as somebody does who changes Outrigger: every command is run here,
//! in its order, as it is printed. Those for a cluster of its own are run by `tests/demo/`.
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::keeper::{Kept, Program};
use outrigger_harness::page::Block;
use outrigger_harness::{Cluster, Page, Shell};
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn tour() -> Vec<Block> {
    Page::read("README.md").part("### On this machine").fenced()
}

/// A newcomer's checkout and tools.
struct Newcomer {
    shell: Shell,
    server: Option<Kept>,
}

impl Newcomer {
    fn new(cluster: &Cluster) -> Newcomer {
        let shell = Shell::new(cluster, "tour");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["policies", "tests"] {
            shell.link(name, &root.join(name));
        }
        // What `cargo run` would build is what this test belongs to.
        let binary = env!("CARGO_BIN_EXE_outrigger");
        shell.script(
            "cargo",
            &format!("[ \"$1 $2 $3\" = 'run --release --' ] || exit 2\nshift 3\nexec {binary} \"$@\""),
        );
        Newcomer { shell, server: None }
    }

    fn run(&self, commands: &str) -> String {
        self.shell.run(commands)
    }

    /// Starts the command that stays in the foreground of the newcomer's first terminal.
    fn serve(&mut self, command: &str) {
        let directory = &self.shell.directory;
        let script = format!("cd {} && exec {}", directory.display(), command.trim());
        let log = fs::File::create(directory.join("serve.log")).unwrap();
        let program = Program {
            path: Path::new("/usr/bin/env"),
            arguments: vec![format!("PATH={}", self.shell.path), "sh".into(), "-c".into(), script],
            stdout: Stdio::null(),
            stderr: log.into(),
            scratch: None,
        };
        // The one of before ends first: it has the ports.
        self.server = None;
        self.server = Some(program.start().unwrap());
        self.wait("curl --silent --fail http://127.0.0.1:8080/readyz >/dev/null");
    }

    fn wait(&self, condition: &str) {
        let log = || fs::read_to_string(self.shell.directory.join("serve.log")).unwrap_or_default();
        self.shell.wait(condition, Duration::from_secs(20), log);
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
async fn every_command_of_the_tour_and_of_the_page_on_development_does_what_they_say() {
    let Some(cluster) = Cluster::shared() else { return };
    if available(installed(&["bash", "curl", "jq"])).is_none() {
        return;
    }
    let walk = move || {
        let mut newcomer = Newcomer::new(cluster);
        let mut printed = String::new();
        let development = Page::read("docs/development.md").fenced();
        for Block { language, text } in tour().into_iter().chain(development) {
            match language.as_str() {
                "sh" if text.contains(" -- serve ") => newcomer.serve(&text),
                "sh" => {
                    newcomer.read_on();
                    printed = newcomer.run(&text);
                }
                // Lines that the commands before it print, among others.
                "text" => {
                    let absent = text.lines().find(|line| !printed.contains(line.trim()));
                    assert_eq!(absent, None, "it is not printed, but\n{printed}");
                }
                _ => panic!("a block in {language} is not run by this test"),
            }
        }
    };
    tokio::task::spawn_blocking(walk).await.unwrap();
}

#[test]
fn the_tour_has_commands_and_says_what_they_print() {
    let blocks = tour();
    let commands = blocks.iter().filter(|block| block.language == "sh").count();
    assert!(commands >= 5 && blocks.len() - commands >= 4, "{blocks:?}");
    // What a request looks like to the server is shown with a real one.
    let review: serde_json::Value = serde_json::from_str(include_str!("../fixtures/review.json")).unwrap();
    assert_eq!(
        review["request"]["object"]["metadata"]["annotations"]["outrigger.dev/inject"],
        json!("log-saver")
    );
}
