//! `benches/guided.sh`, as far as it refuses; what it builds is in [`built`](crate::built).
use outrigger_harness::cargo::untold;
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::rundir::workspace;
use std::process::{Command, Output};

fn guided(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(workspace().join("benches/guided.sh"));
    untold(command.args(arguments));
    command.envs(variables.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Without a command the script says whether its tools are there.
fn has_its_tools() -> Option<()> {
    let output = guided(&[], &[]);
    let missing = || Absent::NotInstalled(said(&output));
    available(output.status.success().then_some(()).ok_or_else(missing))
}

#[test]
fn a_guided_build_refuses_before_it_builds_what_it_could_not_guide() {
    let Some(()) = has_its_tools() else { return };
    let directory = tempfile::TempDir::new().unwrap();
    let spaced = directory.path().join("a b");
    // Whatever is built all the same is built by nobody.
    let build = ["false"];
    for (arguments, variable, way_out) in [
        (
            &["false", "--target", "wasm32-wasip1"][..],
            ("A", "b"),
            "CARGO_BUILD_TARGET",
        ),
        (&["false", "--target=wasm32-wasip1"], ("A", "b"), "CARGO_BUILD_TARGET"),
        (&build, ("CARGO_TARGET_DIR", spaced.to_str().unwrap()), "has a space"),
        (&build, ("CARGO_ENCODED_RUSTFLAGS", "-g"), "by RUSTFLAGS"),
    ] {
        let output = guided(arguments, &[variable]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {variable:?}");
        let said = said(&output);
        assert!(said.contains("guided.sh: ") && said.contains(way_out), "{said}");
    }
}

#[test]
fn a_guided_build_says_which_tool_is_missing() {
    let directory = tempfile::TempDir::new().unwrap();
    let tools = directory.path();
    let found = |tool: &str| {
        let path = std::env::var_os("PATH").unwrap();
        let mut places = std::env::split_paths(&path).map(|folder| folder.join(tool));
        places.find(|path| path.is_file()).unwrap()
    };
    for tool in ["sh", "env", "dirname", "sed", "mkdir", "grep", "rustc"] {
        std::os::unix::fs::symlink(found(tool), tools.join(tool)).unwrap();
    }
    let output = guided(&["false"], &[("PATH", tools.to_str().unwrap())]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(said.contains("is missing; install it"), "{said}");
}
