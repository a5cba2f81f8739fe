//! The images themselves, as far as they begin with nothing: buildah builds them from the Dockerfile, and their programs are run in
//! their file systems, as their users.
//!
//! There is no registry, so the stage that compiles is replaced by programs that Cargo links statically here, and the image that
//! begins with Debian is left to [`image`](crate::image). That takes minutes the first time; so it is done on demand only.
use crate::image::Dockerfile;
use crate::machine::{eventually, free_ports, is_root, program};
use outrigger_harness::cargo::{cargo, untold};
use outrigger_harness::demand::{everything_is_demanded, say};
use outrigger_harness::keeper::{Kept, Program};
use outrigger_harness::rundir::{target, workspace};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// By its path: what it starts gets no PATH.
const CHROOT: &str = "/usr/sbin/chroot";

/// buildah, with images of its own.
pub struct Builder {
    program: PathBuf,
    storage: TempDir,
    /// What the stage `build` would leave: `/out` with the programs.
    built: PathBuf,
}

/// An image, with its file system unpacked.
struct Image {
    config: Value,
    root: PathBuf,
}

/// `None` when the test shall be left out, which has been said.
pub fn builder() -> Option<Builder> {
    if !everything_is_demanded() || !is_root() {
        say("left out: the images are built as root with OUTRIGGER_TEST_DEMAND=all only");
        return None;
    }
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    Some(Builder {
        program: program("buildah", "buildah")?,
        storage: TempDir::new().unwrap(),
        built: BUILT.get_or_init(link_statically).clone(),
    })
}

/// The programs that the Dockerfile's first stage builds, by its commands, for the machine that this is; without optimisation.
fn link_statically() -> PathBuf {
    let host = &host();
    let directory = target().join("image");
    let out = directory.join("context/out");
    fs::create_dir_all(&out).unwrap();
    say("the programs of the images are linked: minutes the first time; kept under target/");
    for build in Dockerfile::read().stage("build").builds() {
        let words = build
            .words
            .iter()
            .map(|word| if *word == "dist" { "dev" } else { word });
        let mut command = Command::new("env");
        untold(command.args(words).arg("--quiet").current_dir(workspace()));
        let path = [busybox(&directory).unwrap(), target().join("tools/bin")];
        command
            .env("PATH", before_others(path))
            .env("CARGO_TARGET_DIR", &directory);
        command
            .env("CARGO_BUILD_TARGET", host)
            .env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
        command
            .env("CARGO_PROFILE_DEV_DEBUG", "false")
            .env("CARGO_INCREMENTAL", "0");
        assert!(command.status().unwrap().success(), "{:?}", build.words);
        fs::copy(
            directory.join(host).join("debug").join(build.package),
            out.join(build.package),
        )
        .unwrap();
    }
    directory.join("context")
}

/// This machine, in Rust's words.
fn host() -> String {
    let version = Command::new("rustc").arg("-vV").output().unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap().to_owned()
}

/// Where programs are looked for, in these folders first.
fn before_others(folders: [PathBuf; 2]) -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(folders.into_iter().chain(env::split_paths(&path))).unwrap()
}

/// A folder with what a script calls as it is in Alpine, where busybox is all of it.
pub fn busybox(directory: &Path) -> Option<PathBuf> {
    let busybox = program("busybox", "busybox-static")?;
    let folder = directory.join("busybox");
    fs::create_dir_all(&folder).unwrap();
    for applet in "cat dirname env find grep head mkdir mktemp rm sed sh sleep tr".split(' ') {
        let _ = fs::remove_file(folder.join(applet));
        symlink(&busybox, folder.join(applet)).unwrap();
    }
    Some(folder)
}

impl Builder {
    /// The command, up to what it is to do.
    pub fn command(&self) -> Vec<String> {
        let path = |name: &str| self.storage.path().join(name).display().to_string();
        let (program, images, run) = (self.program.display().to_string(), path("images"), path("run"));
        let flags = ["--root", &images, "--runroot", &run, "--storage-driver", "vfs"];
        [&[program.as_str()], &flags[..]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// What `bud` needs besides a stage: the stage that compiles is replaced.
    pub fn build_flags(&self) -> [String; 4] {
        let context = format!("build={}", self.built.display());
        ["--isolation", "chroot", "--build-context", &context].map(str::to_owned)
    }

    /// What it prints; it must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let [program, flags @ ..] = &self.command()[..] else {
            panic!("no command")
        };
        let output = Command::new(program)
            .args(flags)
            .args(arguments)
            .current_dir(workspace())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "buildah {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Builds the stage as the head of the Dockerfile says.
    fn image(&self, stage: &str) -> Image {
        let tag = format!("outrigger/{stage}:{}", env!("CARGO_PKG_VERSION"));
        let flags = self.build_flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.run(&[&["bud"], &flags[..], &["--target", stage, "--tag", &tag, "."]].concat());
        let name = format!("localhost/{tag}");
        let inspected: Value = serde_json::from_str(&self.run(&["inspect", "--type", "image", &name])).unwrap();
        let container = self.run(&["from", &name]);
        Image {
            config: inspected["OCIv1"]["config"].clone(),
            root: self.run(&["mount", &container]).into(),
        }
    }
}

impl Image {
    fn text<'a>(&'a self, pointer: &str) -> &'a str {
        self.config
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{pointer} in {}", self.config))
    }

    /// The arguments of `chroot` that start its program as its user, in its file system.
    fn entered(&self, arguments: &[&str]) -> Vec<String> {
        let user = format!("--userspec={}", self.text("/User"));
        let root = self.root.display().to_string();
        let own = [user, root, self.text("/Entrypoint/0").to_owned()];
        own.into_iter()
            .chain(arguments.iter().map(|argument| (*argument).to_owned()))
            .collect()
    }

    /// What the program prints; it must end well.
    fn run(&self, arguments: &[&str], input: &str) -> String {
        let mut command = Command::new(CHROOT);
        command
            .args(self.entered(arguments))
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self, arguments: &[&str], log: &Path) -> Kept {
        let log = fs::File::create(log).unwrap();
        let program = Program {
            path: Path::new(CHROOT),
            arguments: self.entered(arguments),
            stdout: Stdio::null(),
            stderr: log.into(),
            scratch: None,
        };
        program.start().unwrap()
    }

    /// Nothing in it can be changed by the user that it runs as.
    fn assert_immutable(&self) {
        let (user, _) = self.text("/User").split_once(':').unwrap();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                let facts = fs::symlink_metadata(&entry).unwrap();
                let own = facts.uid().to_string() == user;
                assert!(!own && facts.mode() & 0o002 == 0, "{}", entry.display());
                if facts.is_dir() {
                    folders.push(entry);
                }
            }
        }
    }

    fn top_level(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn is_ready(port: u16) -> Option<()> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    write!(connection, "GET /readyz HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1).filter(|status| *status == "200").map(drop)
}

#[test]
fn the_images_hold_programs_that_need_nothing_else_and_run_as_their_user() {
    let Some(builder) = builder() else { return };
    let (webhook, runtime) = (builder.image("outrigger"), builder.image("runtime"));
    assert_eq!(webhook.top_level(), ["outrigger", "policies"]);
    assert_eq!(runtime.top_level(), ["usr"]);
    for image in [&webhook, &runtime] {
        image.assert_immutable();
        assert_eq!(image.text("/Labels/org.opencontainers.image.licenses"), "Apache-2.0");
        assert!(image.run(&["--version"], "").contains(env!("CARGO_PKG_VERSION")));
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": "log-saver"}},
        "spec": {"containers": [{"name": "web", "image": "nginx"}]}});
    let injected = webhook.run(&["inject", "--policies", "/policies", "-f", "-"], &pod.to_string());
    assert!(injected.contains(r#""name":"log-saver""#), "{injected}");

    // What a cluster mounts.
    let directory = TempDir::new().unwrap();
    let certificate = Command::new(crate::machine::OUTRIGGER)
        .arg("certs")
        .arg("--dir")
        .arg(directory.path())
        .status();
    assert!(certificate.unwrap().success());
    fs::create_dir(webhook.root.join("tls")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        let mounted = webhook.root.join("tls").join(name);
        fs::copy(directory.path().join(name), &mounted).unwrap();
        chown(&mounted, Some(65532), Some(65532)).unwrap();
    }
    let [listen, admin] = free_ports();
    let (listen, at) = (format!("127.0.0.1:{listen}"), format!("127.0.0.1:{admin}"));
    let serve = [
        "serve",
        "--policies",
        "/policies",
        "--tls-cert",
        "/tls/tls.crt",
        "--tls-key",
        "/tls/tls.key",
    ];
    let log = directory.path().join("log");
    let _serving = webhook.start(&[&serve[..], &["--listen", &listen, "--admin", &at]].concat(), &log);
    eventually("the webhook of the image is ready", || is_ready(admin));
    runtime.run(&["probe", &format!("http://{at}/readyz")], "");
}

/// Crates and their versions.
type Crates = BTreeSet<(String, String)>;

/// What this package is built of, by the lock file, but for what only builds or tests others.
fn crates(package: &str) -> Crates {
    let tree = ["tree", "--locked", "--package", package, "--target", &host()];
    let lines = ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"];
    let output = cargo().args(tree).args(lines).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let mut words = line.split(' ');
        Some((
            words.next()?.to_owned(),
            words.next()?.trim_start_matches('v').to_owned(),
        ))
    };
    text.lines().filter_map(pair).collect()
}

#[test]
fn row_57_the_programs_of_the_images_hold_the_list_of_what_they_are_built_of() {
    let Some(builder) = builder() else { return };
    for build in Dockerfile::read().stage("build").builds() {
        assert_holds_its_list(&builder.built.join("out").join(build.package), build.package);
    }
}

/// The program of a package says what it was built of.
pub fn assert_holds_its_list(program: &Path, package: &str) {
    let held = auditable_info::json_from_file(program, auditable_info::Limits::default()).unwrap();
    let held: Value = serde_json::from_str(&held).unwrap();
    let packages = held["packages"].as_array().unwrap().iter();
    let text = |package: &Value, key: &str| package[key].as_str().unwrap().to_owned();
    // What only builds others has a kind.
    let held: Crates = packages
        .filter(|package| package["kind"].is_null())
        .map(|package| (text(package, "name"), text(package, "version")))
        .collect();
    // Besides, it counts macros, and what only another package of the workspace asks for.
    let built_of = crates(package);
    let missing: Vec<_> = built_of.difference(&held).collect();
    assert!(built_of.len() > 100 && missing.is_empty(), "{package}: {missing:?}");
    assert!(
        held.iter().all(|(name, _)| name != "proptest"),
        "what tests need counts"
    );
}

/// Its rules, which the words `hadolint ignore` in the file are for, are for Dockerfiles in general.
#[test]
fn hadolint_finds_nothing_wrong_with_the_dockerfile() {
    let own = target().join("tools/bin/hadolint");
    let hadolint = if own.is_file() {
        own
    } else {
        let Some(found) = program("hadolint", "none; make tools installs it from PyPI") else {
            return;
        };
        found
    };
    let output = Command::new(hadolint)
        .arg("Dockerfile")
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(output.stdout.is_empty());
}
