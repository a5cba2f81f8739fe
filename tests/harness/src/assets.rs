//! Finds the programs that are not packaged: those of `tests/kubernetes`, and a few more that Go builds.
//!
//! `KUBEBUILDER_ASSETS` names a directory that has etcd, kube-apiserver and kubectl, as for controller-runtime's envtest; otherwise
//! they are built with Go.
use crate::demand::Absent;
use crate::golang::{self, Tool};
use std::path::{Path, PathBuf};

/// One of these programs.
///
/// # Errors
/// When it is neither there nor can be built.
pub fn program(tool: Tool) -> Result<PathBuf, Absent> {
    match std::env::var_os("KUBEBUILDER_ASSETS") {
        Some(dir) if matches!(tool, Tool::Etcd | Tool::ApiServer | Tool::Kubectl) => given(Path::new(&dir), tool),
        // Nobody else's directory has the rest, but ours may.
        Some(dir) if tool != Tool::JsonPatch && Path::new(&dir).join(tool.name()).is_file() => {
            Ok(Path::new(&dir).join(tool.name()))
        }
        _ => golang::build(tool),
    }
}

pub use golang::{Tool as Program, sources};

fn given(dir: &Path, tool: Tool) -> Result<PathBuf, Absent> {
    let path = dir.join(tool.name());
    if path.is_file() {
        return Ok(path);
    }
    let (name, dir) = (tool.name(), dir.display());
    Err(Absent::Broken(format!(
        "KUBEBUILDER_ASSETS is {dir}, and there is no {name} in it; unset it to have it built with Go"
    )))
}
