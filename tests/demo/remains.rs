//! What a node is seen by from outside: processes, networks, mounts, cgroups, firewall, settings, files.
use outrigger_harness::rundir::target;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Where containerd, CNI and kubelet leave something outside of the node's own directory.
const PLACES: [&str; 8] = [
    "/run/containerd",
    "/run/netns",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/etc/cni/net.d",
];
const SETTINGS: [&str; 6] = [
    "vm.overcommit_memory",
    "vm.panic_on_oom",
    "kernel.panic",
    "kernel.panic_on_oops",
    "kernel.keys.root_maxkeys",
    "kernel.keys.root_maxbytes",
];

/// All of it, a line each.
#[derive(Debug)]
pub struct Remains(BTreeSet<String>);

impl Remains {
    pub fn look() -> Remains {
        let mut seen = BTreeSet::new();
        let node = target().join("node");
        let here = node.display().to_string();
        seen.extend(processes(&here));
        seen.extend(
            text("/proc/self/mountinfo")
                .lines()
                .filter(|line| line.contains(&here) || line.contains("/netns"))
                .map(str::to_owned),
        );
        seen.extend(files(&node.join("run"), 1));
        for place in PLACES {
            seen.extend(files(Path::new(place), 2));
        }
        seen.extend(
            files(Path::new("/run"), 1)
                .into_iter()
                .filter(|path| path.contains("outrigger")),
        );
        seen.extend(kubepods());
        seen.extend(
            printed("ip", &["-oneline", "link"])
                .map(|line| line.split_whitespace().nth(1).unwrap_or_default().to_owned()),
        );
        seen.extend(printed("ip", &["route"]));
        seen.extend(printed("iptables-save", &[]).filter(|line| !line.starts_with(['#', ':'])));
        seen.extend(printed("sysctl", &SETTINGS));
        Remains(seen)
    }

    /// Nothing has come, or become another, since.
    #[track_caller]
    pub fn are_all(&self) {
        let now = Remains::look();
        let new: Vec<&String> = now.0.difference(&self.0).collect();
        assert!(new.is_empty(), "{new:#?}");
    }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}

/// Those of the node are started by paths in its directory, containers by shims that know its socket.
fn processes(here: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.map(|entry| text(entry.path().join("cmdline")).replace('\0', " "));
    lines.filter(|line| line.contains(here)).collect()
}

fn files(directory: &Path, depth: u32) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        found.push(entry.path().display().to_string());
        if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path(), depth - 1));
        }
    }
    found
}

fn kubepods() -> Vec<String> {
    let all = files(Path::new("/sys/fs/cgroup"), 2);
    all.into_iter().filter(|path| path.ends_with("/kubepods")).collect()
}

fn printed(program: &str, arguments: &[&str]) -> impl Iterator<Item = String> {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect::<Vec<_>>().into_iter()
}
