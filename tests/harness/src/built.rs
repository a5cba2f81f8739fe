//! The project's own program for helper containers, for tests of other packages, which Cargo does not build it for.
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// `outrigger-runtime`, built beside the tests, once.
///
/// # Panics
/// When it cannot be built.
pub fn runtime() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bin",
            "outrigger-runtime",
        ]);
        // What Cargo tells this test of its own package would be taken for a change, and half of all dependencies built again.
        for (name, _) in std::env::vars_os() {
            let of_package = name.to_str().is_some_and(|name| {
                name == "OUT_DIR"
                    || ["CARGO_PKG_", "CARGO_MANIFEST_"]
                        .iter()
                        .any(|start| name.starts_with(start))
            });
            if of_package {
                cargo.env_remove(name);
            }
        }
        let built = cargo.status().expect("failed to start cargo");
        assert!(built.success(), "failed to build outrigger-runtime");
    });
    let tests = std::env::current_exe().expect("a path of the tests");
    let profile = tests
        .ancestors()
        .nth(2)
        .expect("the tests are in Cargo's target directory");
    profile.join("outrigger-runtime")
}
