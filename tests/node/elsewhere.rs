//! Where there can be no node.
use outrigger_harness::Node;
use outrigger_harness::demand::available;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// As `nobody` is called by its number.
const NOBODY: &str = "65534";

#[test]
fn who_is_not_root_is_told_in_one_line_that_these_tests_are_left_out() {
    if available(Node::possible()).is_none() {
        return;
    }
    // Where anybody may read.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let tests = place.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    let (user, group) = (format!("--reuid={NOBODY}"), format!("--regid={NOBODY}"));
    let output = Command::new("setpriv")
        .args([&user, &group, "--clear-groups"])
        .arg(&tests)
        .args(["works", "mounts", "outage"])
        .env("OUTRIGGER_TEST_DEMAND", "all")
        .current_dir(Path::new("/"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said,
        "left out: the tests on a whole node, which needs root on Linux; run them as root\n"
    );
}
