//! The Go module of another version of Kubernetes, for who sets `OUTRIGGER_TEST_KUBERNETES`.
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that is asked for, such as `v1.36.3`, unless it is that of `tests/kubernetes`.
pub fn wanted() -> Option<String> {
    let version = std::env::var("OUTRIGGER_TEST_KUBERNETES").ok()?;
    let version = format!("v{}", version.trim().trim_start_matches('v'));
    (version != "v").then_some(version)
}

/// Builds resolve what the module requires, and leave that in this file and its `.sum`.
const RESOLVED: &str = "resolved.mod";

/// A module in `directory` that requires this version and all that the version itself does, with these `sources` of
/// `tests/kubernetes`. To be built with [`flags`].
///
/// # Errors
/// When there is no such version, or no module proxy to ask.
pub fn module(version: &str, directory: &Path, sources: &Path) -> Result<PathBuf> {
    let release = fs::read_to_string(release(version, sources)?)?;
    let module = of_release(&release, version)?;
    fs::create_dir_all(directory.join("jsonpatch"))?;
    // Other test binaries wait here for the one that writes.
    let turn = File::create(directory.join("lock"))?;
    turn.lock()?;
    let path = directory.join("go.mod");
    if fs::read_to_string(&path).is_ok_and(|there| there == module) {
        return Ok(directory.to_owned());
    }
    fs::copy(sources.join("jsonpatch/main.go"), directory.join("jsonpatch/main.go"))?;
    fs::write(directory.join(RESOLVED), &module)?;
    fs::write(path, module)?;
    Ok(directory.to_owned())
}

/// What `go build` needs to be told in such a module; nothing in any other.
pub fn flags(module: &Path) -> Vec<String> {
    if module.join(RESOLVED).is_file() {
        vec!["-mod=mod".to_owned(), format!("-modfile={RESOLVED}")]
    } else {
        Vec::new()
    }
}

/// Where Go keeps the `go.mod` of the release.
fn release(version: &str, anywhere: &Path) -> Result<PathBuf> {
    let asked = format!("k8s.io/kubernetes@{version}");
    let mut command = Command::new("go");
    command.args(["list", "-mod=mod", "-m", "-f", "{{.GoMod}}", &asked]);
    let output = command.current_dir(anywhere).output().context("failed to start go")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("go knows no Kubernetes {version}: {}", said.trim());
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().into())
}

/// Kubernetes is built from one repository, of which parts are published as modules of their own: its `go.mod` has them as v0.0.0
/// and replaces them by directories, and here it is by what was published with it, `v0.X.Y` with `v1.X.Y`.
fn of_release(release: &str, version: &str) -> Result<String> {
    let published = version
        .strip_prefix("v1.")
        .map(|numbers| format!("v0.{numbers}"))
        .with_context(|| format!("{version} is not a version of Kubernetes, such as v1.36.3"))?;
    let lines = release.lines().map(|line| match line.split_once("=> ./staging/src/") {
        Some((before, name)) => format!("{before}=> {name} {published}"),
        None if line.starts_with("module ") => "module outrigger.dev/tests/kubernetes".to_owned(),
        None => match line.trim_end_matches(" // indirect").strip_suffix(" v0.0.0") {
            Some(part) => format!("{part} {published}"),
            None => line.to_owned(),
        },
    });
    let lines: Vec<String> = lines.collect();
    Ok(format!("{}\n\nrequire k8s.io/kubernetes {version}\n", lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_of_a_release_takes_what_was_published_with_it() {
        let release = "// Generated.\n\nmodule k8s.io/kubernetes\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/x/y v0.0.0-20200101\n\
            \tk8s.io/api v0.0.0\n\tk8s.io/utils v0.0.1\n)\n\nreplace (\n\tk8s.io/api => ./staging/src/k8s.io/api\n)\n";
        let module = "// Generated.\n\nmodule outrigger.dev/tests/kubernetes\n\ngo 1.26.0\n\nrequire (\n\tgithub.com/x/y v0.0.0-20200101\n\
            \tk8s.io/api v0.36.3\n\tk8s.io/utils v0.0.1\n)\n\nreplace (\n\tk8s.io/api => k8s.io/api v0.36.3\n)\n\nrequire k8s.io/kubernetes v1.36.3\n";
        assert_eq!(of_release(release, "v1.36.3").unwrap(), module);
        assert!(of_release(release, "1.36").is_err());
    }
}
