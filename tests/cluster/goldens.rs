//! Every golden case of the engine, its patch applied by the library that the API server uses.
use outrigger_engine::Verdict;
use outrigger_harness::JsonPatch;

#[path = "../../engine/tests/support/mod.rs"]
mod support;
#[path = "../../engine/tests/support/tables.rs"]
mod tables;

#[test]
fn row_4_the_api_servers_library_and_the_rust_one_make_the_same_of_every_patch() {
    let Some(mut library) = JsonPatch::start() else { return };
    let mut applied = 0;
    for table in tables::tables() {
        let snapshot = support::snapshot(&table.policies, &table.namespaces, table.settings());
        for case in &table.cases {
            let admission = support::decide(&snapshot, &case.namespace, &case.pod);
            let Verdict::Patched(patch) = &admission.verdict else {
                continue;
            };
            let patch = std::str::from_utf8(patch).unwrap();
            let there = library.apply(&case.pod.to_string(), patch);
            let here = support::apply(&case.pod, &support::patch_of(&admission));
            assert_eq!(there.as_ref(), Ok(&here), "{}: {}", table.name, case.name);
            applied += 1;
        }
    }
    assert!(applied > 100, "only {applied} cases have a patch");
}
