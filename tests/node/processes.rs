//! The processes of a container, as the machine sees them: what strikes them here is not kubelet's doing.
use std::fs;
use std::process::Command;

/// Sends a signal to all processes of the container with this id, at least one.
pub fn signal(container: &str, signal: &str) {
    let processes = of(container);
    assert!(!processes.is_empty(), "no process of {container}");
    // One of them may just have ended, such as a probe.
    let _ = Command::new("kill")
        .args(["-s", signal])
        .args(processes)
        .output()
        .unwrap();
}

/// They are in the container's cgroup, which is called by its id.
fn of(container: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let is_its = |entry: &fs::DirEntry| {
        let cgroups = fs::read_to_string(entry.path().join("cgroup"));
        cgroups.is_ok_and(|cgroups| cgroups.contains(container))
    };
    all.filter(is_its)
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .collect()
}
