//! What the policy's page shows, as far as it is about the program; `tests/programs/` runs the whole application of that page.
use outrigger_harness::rundir::workspace;
use serde_json::Value;

/// The Role and RoleBinding.
pub fn role_manifests() -> Vec<Value> {
    let page = std::fs::read_to_string(workspace().join("policies/scatter-gather/README.md")).unwrap();
    let mut blocks = page
        .split("\n```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next());
    let block = blocks.find(|block| block.contains("kind: RoleBinding")).unwrap();
    serde_saphyr::from_multiple(block).unwrap()
}
