//! That the lints which keep a request from ending the process are on, everywhere.
use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            sources(&entry, found);
        } else if entry.extension().is_some_and(|suffix| suffix == "rs") {
            found.push(entry);
        }
    }
}

#[test]
fn row_57_no_path_of_a_request_may_unwrap_or_be_unsafe_by_lint_without_exception() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let workspace = read("Cargo.toml");
    for lint in [
        "unsafe_code = \"forbid\"",
        "unwrap_used = \"warn\"",
        "expect_used = \"warn\"",
        "panic = \"warn\"",
    ] {
        assert!(workspace.contains(&format!("\n{lint}\n")), "{lint}");
    }
    for member in ["Cargo.toml", "engine/Cargo.toml", "runtime/Cargo.toml"] {
        assert!(read(member).contains("[lints]\nworkspace = true"), "{member}");
    }
    let gate = read(".ci/run");
    for check in ["clippy --workspace --all-targets --locked -- -D warnings", "cargo deny"] {
        assert!(gate.contains(check), "{check}");
    }
    // An exception must be within tests, which a request never meets.
    let mut files = Vec::new();
    for folder in ["src", "engine/src", "runtime/src"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 100);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let excused = ["unwrap_used", "expect_used", "clippy::panic", "unsafe_code"].map(|lint| product.contains(lint));
        assert!(is_test || !excused.contains(&true), "{}", file.display());
    }
}
