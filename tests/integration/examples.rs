//! The examples beside `make demo`: whole manifests, one for each bundled policy. `tests/demo/` runs them.
use crate::documents::{bundled, decode};
use crate::program::OUTRIGGER;
use outrigger_harness::Page;
use serde_json::Value;
use std::process::Command;

/// What becomes of a file of examples with the bundled policies.
fn injected(file: &str) -> Vec<Value> {
    let output = Command::new(OUTRIGGER)
        .args([
            "inject",
            "--filename",
            file,
            "--policies",
            "policies",
            "--output",
            "json",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{file}: {said}");
    let manifests = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    manifests.collect::<Result<_, _>>().unwrap()
}

#[test]
fn there_is_an_example_of_each_bundled_policy_that_gets_it() {
    for name in bundled() {
        let file = format!("examples/{name}.yaml");
        let mut records = Vec::new();
        for manifest in injected(&file) {
            decode(&manifest).unwrap_or_else(|error| panic!("{file}: {error}"));
            let record = manifest.pointer("/spec/template/metadata/annotations/outrigger.dev~1injected");
            records.extend(record.and_then(Value::as_str).map(str::to_owned));
        }
        assert!(
            records.len() == 1 && records[0].starts_with(&format!("{name}@")),
            "{file}: {records:?}"
        );
    }
}

#[test]
fn the_page_on_the_examples_lists_all_of_them() {
    let rows = Page::read("examples/README.md").table("| example | pattern | what is in it |");
    let mut listed: Vec<String> = rows
        .iter()
        .map(|cells| cells[0].split(['[', ']']).nth(1).unwrap().to_owned())
        .collect();
    listed.retain(|name| name != "client");
    listed.sort();
    assert_eq!(listed, bundled());
}
