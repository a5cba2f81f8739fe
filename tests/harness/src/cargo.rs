//! Cargo, called from a test.
use crate::rundir::workspace;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// What Cargo tells the programs that it runs. A build script that looks at such a variable, as ring's does, would be run again, and
/// all that depends on it be built again; and once more when Cargo is next called without.
const TOLD: [&str; 5] = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_CRATE_", "CARGO_BIN_", "OUT_DIR"];

/// Cargo, in the root of the sources, as whoever runs the tests calls it.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    untold(cargo.current_dir(workspace()));
    cargo
}

/// A command that may call Cargo, without what Cargo has told this test.
pub fn untold(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        if TOLD.iter().any(|told| name.to_string_lossy().starts_with(told)) {
            command.env_remove(name);
        }
    }
    command
}

/// The program in helper containers, built beside the tests, once.
///
/// # Panics
/// When it cannot be built.
pub fn runtime() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let bin = ["--workspace", "--bin", "outrigger-runtime"];
        let built = cargo().args(["build", "--quiet", "--locked"]).args(bin).status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "outrigger-runtime is not built"
        );
        beside("outrigger-runtime")
    };
    BUILT.get_or_init(build).clone()
}

/// A program of the project by its name, where Cargo has put it when it built what runs here: a test or an example.
///
/// # Panics
/// When this program is not where Cargo builds.
pub fn beside(name: &str) -> PathBuf {
    let binary = std::env::current_exe().expect("a test is a program");
    let profile = binary.ancestors().nth(2).expect("it lies in a profile's directory");
    profile.join(name)
}

#[test]
fn cargo_is_not_told_what_it_has_told_this_test() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let cargo = cargo();
    let removed: Vec<_> = cargo.get_envs().filter(|(_, value)| value.is_none()).collect();
    assert!(
        removed.iter().any(|(name, _)| *name == "CARGO_MANIFEST_DIR"),
        "{removed:?}"
    );
    assert!(removed.iter().any(|(name, _)| *name == "CARGO_PKG_NAME"), "{removed:?}");
}
