//! The examples of docs/security.md.
use std::{fs, path::Path, process::Command};

pub fn text() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    fs::read_to_string(page).unwrap()
}

/// The one block in this language that holds `part`.
pub fn block(language: &str, part: &str) -> String {
    let page = text();
    let start = format!("\n```{language}\n");
    let mut blocks = page.split(&start).skip(1);
    let block = blocks.find_map(|rest| rest.split("\n```").next().filter(|block| block.contains(part)));
    block.unwrap_or_else(|| panic!("no block with {part}")).to_owned()
}

/// Makes an authority and a certificate for the API server in this directory, with the commands of the page.
pub fn make_certificates(directory: &Path) {
    sh(directory, &block("sh", "openssl req -x509"));
}

pub fn sh(directory: &Path, commands: &str) {
    let output = Command::new("bash")
        .args(["-e", "-c", commands])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{commands}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
