//! Others on the machine who want a node while there is one: another checkout, a test.
use crate::shell::Shell;
use outrigger_harness::Node;
use outrigger_harness::rundir::workspace;
use std::path::Path;
use std::process::{Command, Output};

pub fn nobody_else_has_a_node_or_takes_this_one(node: &Node, shell: &Shell) {
    let elsewhere = tempfile::tempdir().unwrap();
    let refused = script("up.sh", node, elsewhere.path());
    let said = String::from_utf8_lossy(&refused.stderr);
    let there = format!("make demo-down, where {} is", node.directory().display());
    assert!(!refused.status.success() && said.contains(&there), "{said}");
    assert!(script("down.sh", node, elsewhere.path()).status.success());
    shell.run("kubectl get --raw /readyz");

    let refused = std::panic::catch_unwind(Node::shared).unwrap_err();
    let said = refused.downcast_ref::<String>().unwrap();
    assert!(said.contains("take it away first: make demo-down"), "{said}");
}

fn script(name: &str, node: &Node, directory: &Path) -> Output {
    let mut script = Command::new(workspace().join("tests/node/cluster").join(name));
    script.env("RUN", directory).env("BIN", node.programs());
    script.output().unwrap()
}
