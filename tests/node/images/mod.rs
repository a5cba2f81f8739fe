//! Images without a registry: root directories of programs that are on this machine, with the libraries that they need.
pub mod own;

use outrigger_harness::Node;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The names of those that the node has.
static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What an image is made of.
pub struct Image<'a> {
    /// Under this name Pods ask for it.
    pub name: &'a str,
    /// Programs of this machine, and where they are in the image.
    pub programs: &'a [(&'a Path, &'a str)],
    /// Further files and directories of this machine, and where they are in the image.
    pub copies: &'a [(&'a Path, &'a str)],
    /// busybox, with its shell and all its applets, for a stand-in or an application.
    pub shell: bool,
    pub entrypoint: &'a [&'a str],
    pub user: &'a str,
}

impl Image<'_> {
    /// Makes the image, and has the node's containerd import it, once.
    pub fn import(&self, node: &Node) {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.contains(self.name) {
            self.make(node);
            made.insert(self.name.to_owned());
        }
    }

    fn make(&self, node: &Node) {
        let root = tempfile::tempdir().unwrap();
        for directory in ["etc", "tmp", "bin"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        run(Command::new("chmod").arg("1777").arg(root.path().join("tmp")));
        fs::write(
            root.path().join("etc/passwd"),
            "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
        )
        .unwrap();
        fs::write(root.path().join("etc/group"), "root:x:0:\nnogroup:x:65534:\n").unwrap();
        fs::write(root.path().join("etc/nsswitch.conf"), "hosts: files dns\n").unwrap();
        for (path, place) in self.programs.iter().chain(self.copies) {
            copy(path, &root.path().join(place.trim_start_matches('/')));
        }
        let libraries: BTreeSet<PathBuf> = self
            .programs
            .iter()
            .flat_map(|(program, _)| libraries(program))
            .collect();
        for path in libraries {
            copy(&path, &root.path().join(path.strip_prefix("/").unwrap()));
        }
        if self.shell {
            add_busybox(root.path());
        }
        let root = root.path().display().to_string();
        let mut arguments = vec!["-n", self.name, "-r", &root];
        self.entrypoint.iter().for_each(|word| arguments.extend(["-e", word]));
        if !self.user.is_empty() {
            arguments.extend(["-u", self.user]);
        }
        node.script("image.sh", &arguments).unwrap();
    }
}

/// The shared libraries of a program, and those that names are resolved with, which no program says that it needs.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    // A static program has none.
    let text = String::from_utf8_lossy(&output.stdout);
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    run(Command::new("cp").args(["-rL", "--preserve=mode"]).arg(from).arg(to));
}

fn add_busybox(root: &Path) {
    let busybox = root.join("bin/busybox");
    let found = ["/bin/busybox", "/usr/bin/busybox"]
        .into_iter()
        .map(Path::new)
        .find(|path| path.exists());
    copy(found.expect("busybox is installed"), &busybox);
    let applets = Command::new(&busybox).arg("--list").output().unwrap();
    for applet in String::from_utf8_lossy(&applets.stdout)
        .lines()
        .filter(|applet| *applet != "busybox")
    {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(applet));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
