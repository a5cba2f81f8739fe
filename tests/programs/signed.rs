//! Images are signed and verified by the commands of the documents, with the real cosign and a registry. What stands for something else:
//! `docker` is buildah, and registry.example.com this machine.
use crate::built::{Builder, assert_holds_its_list, builder};
use crate::machine::{eventually, free_ports};
use outrigger_harness::assets::{self, Program};
use outrigger_harness::demand::available;
use outrigger_harness::keeper;
use outrigger_harness::rundir::workspace;
use std::env;
use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Who releases images, and who installs them.
struct Desk {
    directory: TempDir,
    builder: Builder,
    registry: String,
    _registry: keeper::Kept,
}

/// The blocks of commands below a heading of security.md, in their order.
fn documented(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace().join("docs/security.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

impl Desk {
    /// `None` when the test shall be left out, which has been said.
    fn new() -> Option<Desk> {
        let builder = builder()?;
        let cosign = available(assets::program(Program::Cosign))?;
        let registry = available(assets::program(Program::Registry))?;
        let [port] = free_ports();
        let program = keeper::Program {
            path: &registry,
            arguments: vec!["-port".to_owned(), port.to_string()],
            stdout: Stdio::null(),
            stderr: Stdio::null(),
            scratch: None,
        };
        let registry = program.start().unwrap();
        eventually("the registry listens", || TcpStream::connect(("127.0.0.1", port)).ok());
        let desk = Desk {
            directory: TempDir::new().unwrap(),
            builder,
            registry: format!("127.0.0.1:{port}"),
            _registry: registry,
        };
        fs::create_dir(desk.directory.path().join("tools")).unwrap();
        symlink(cosign, desk.directory.path().join("tools/cosign")).unwrap();
        desk.tool("docker", &desk.docker());
        Some(desk)
    }

    /// `docker build` and `docker push`, by buildah.
    fn docker(&self) -> String {
        let quoted = |words: &[String]| words.iter().map(|word| format!("'{word}' ")).collect::<String>();
        let buildah = quoted(&self.builder.command());
        format!(
            "case $1 in
            build) shift; cd '{}'; exec {buildah} bud {} \"$@\" ;;
            push) exec {buildah} push --tls-verify=false --digestfile '{}' \"$2\" \"docker://$2\" ;;
            *) exit 2 ;;
            esac",
            workspace().display(),
            quoted(&self.builder.build_flags()),
            self.directory.path().join("digest").display()
        )
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.directory.path().join("tools").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What was pushed last.
    fn digest(&self) -> String {
        fs::read_to_string(self.directory.path().join("digest")).unwrap_or_default()
    }

    fn attempt(&self, commands: &str) -> Output {
        let path = env::var("PATH").unwrap_or_default();
        let commands = commands
            .replace("registry.example.com", &self.registry)
            .replace("sha256:…", self.digest().trim());
        Command::new("bash")
            .args(["-euo", "pipefail", "-c", &commands])
            .current_dir(&self.directory)
            .env("PATH", format!("{}/tools:{path}", self.directory.path().display()))
            .env("HOME", self.directory.path())
            .env("COSIGN_PASSWORD", "for the test")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn run(&self, commands: &str) {
        let output = self.attempt(commands);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{commands}\n{said}");
    }

    /// Verification finds nothing that it wants.
    #[track_caller]
    fn refuses(&self, commands: &str) {
        let output = self.attempt(commands);
        let said = String::from_utf8_lossy(&output.stderr);
        let why = [
            "no signatures found",
            "no matching signatures",
            "failed to verify signature",
        ];
        assert!(!output.status.success(), "{commands}\n{said}");
        assert!(why.iter().any(|why| said.contains(why)), "{commands}\n{said}");
    }

    /// The program in an image of the registry.
    fn with_program(&self, image: &str, path: &str, look: impl FnOnce(&Path)) {
        let image = format!("docker://{}/{image}", self.registry);
        let container = self.builder.run(&["from", "--tls-verify=false", &image]);
        let root = self.builder.run(&["mount", &container]);
        look(&Path::new(&root).join(path));
    }
}

#[test]
fn row_57_a_signed_image_is_verified_and_no_other_is() {
    let Some(desk) = Desk::new() else { return };
    let blocks = documented("## Signatures of images");
    let [keys, release, verify] = &blocks[..] else {
        panic!("{} blocks", blocks.len())
    };
    desk.run(keys);
    // The digest in the last command of a release is what its push says.
    let (push, sign) = release.split_at(release.find("cosign sign").unwrap());
    desk.run(push);
    desk.refuses(verify);
    desk.run(sign);
    desk.run(verify);
    let signed = desk.digest();
    assert!(verify.contains("outrigger/outrigger@sha256:…"), "{verify}");
    let image = format!("outrigger/outrigger@{signed}");
    desk.with_program(&image, "outrigger", |program| {
        assert_holds_its_list(program, "outrigger")
    });

    // Another image in its place is not what was signed, also where somebody else has signed it.
    let other = push.replace("--target outrigger", "--target runtime");
    desk.run(&other);
    assert_ne!(desk.digest(), signed);
    desk.refuses(verify);
    desk.run("mkdir other && cd other && cosign generate-key-pair");
    desk.run(&sign.replace("--key cosign.key", "--key other/cosign.key"));
    desk.run(&verify.replace("--key cosign.pub", "--key other/cosign.pub"));
    desk.refuses(verify);
    assert!(push.contains(&format!("outrigger/outrigger:{VERSION}")), "{push}");
}
