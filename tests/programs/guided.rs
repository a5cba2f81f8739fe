//! `benches/guided.sh`, as far as it refuses; what it builds is in [`built`](crate::built).
use crate::built::busybox;
use outrigger_harness::cargo::untold;
use outrigger_harness::demand::{Absent, available};
use outrigger_harness::rundir::workspace;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The script on its way to build `false`, which it must not come to; what it would clear is in a folder of the test's own.
fn guided(arguments: &[&str], target: &Path, variables: &[(&str, &OsStr)]) -> Output {
    let mut command = Command::new(workspace().join("benches/guided.sh"));
    untold(command.args(arguments)).env("CARGO_TARGET_DIR", target);
    command.envs(variables.iter().copied()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Without a command the script says whether its tools are there.
fn has_its_tools() -> Option<()> {
    let directory = TempDir::new().unwrap();
    let output = guided(&[], directory.path(), &[]);
    let missing = || Absent::NotInstalled(said(&output));
    available(output.status.success().then_some(()).ok_or_else(missing))
}

#[test]
fn a_guided_build_refuses_before_it_builds_what_it_could_not_guide() {
    let Some(()) = has_its_tools() else { return };
    let directory = TempDir::new().unwrap();
    let (plain, spaced) = (directory.path().join("target"), directory.path().join("a target"));
    for (arguments, target, flags, way_out) in [
        (&["false", "--target", "a"][..], &plain, "", "CARGO_BUILD_TARGET"),
        (&["false", "--target=a"], &plain, "", "CARGO_BUILD_TARGET"),
        (&["false"], &spaced, "", "has a space"),
        (&["false"], &plain, "-g", "by RUSTFLAGS"),
    ] {
        let output = guided(arguments, target, &[("CARGO_ENCODED_RUSTFLAGS", flags.as_ref())]);
        assert_eq!(output.status.code(), Some(1), "{arguments:?} {flags:?}");
        let said = said(&output);
        assert!(said.contains("guided.sh: ") && said.contains(way_out), "{said}");
    }
}

#[test]
fn a_guided_build_says_which_tool_is_missing() {
    let directory = TempDir::new().unwrap();
    let Some(tools) = busybox(directory.path()) else { return };
    // A compiler whose LLVM nobody has; its own tools are in its folder.
    let compiler = tools.join("rustc");
    let answers =
        "#!/bin/sh\ncase $* in *host*) echo a ;; *sysroot*) echo \"${0%/*}\" ;; *) echo LLVM version: 0.1 ;; esac\n";
    fs::write(&compiler, answers).unwrap();
    fs::set_permissions(&compiler, fs::Permissions::from_mode(0o755)).unwrap();
    let ask = || {
        let output = guided(
            &["false"],
            &directory.path().join("target"),
            &[("PATH", tools.as_os_str())],
        );
        assert_eq!(output.status.code(), Some(1));
        said(&output)
    };
    let missing = ask();
    assert!(
        missing.contains("llvm-profdata of LLVM 0 is missing; install it: rustup"),
        "{missing}"
    );
    let own = tools.join("lib/rustlib/a/bin");
    fs::create_dir_all(&own).unwrap();
    symlink(&compiler, own.join("llvm-profdata")).unwrap();
    let missing = ask();
    assert!(missing.contains("curl is missing; install it"), "{missing}");
}
