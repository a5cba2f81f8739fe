//! Runs helm, to see what who installs the chart sees.
use crate::assets::{Program, program};
use crate::demand::available;
use crate::kubectl::Output;
use crate::rundir::{target, workspace};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// helm, with directories of its own below Cargo's target directory.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// Finds or builds it; `None` where Go is missing, after saying so.
    ///
    /// # Panics
    /// When it cannot be built, or Go is missing although everything is demanded.
    pub fn find() -> Option<Helm> {
        let program = available(program(Program::Helm))?;
        Some(Helm {
            program,
            kubeconfig: None,
        })
    }

    /// The program's file.
    pub fn path(&self) -> &Path {
        &self.program
    }

    /// The same, for this cluster.
    pub fn with(self, kubeconfig: &Path) -> Helm {
        Helm {
            kubeconfig: Some(kubeconfig.to_owned()),
            ..self
        }
    }

    /// Runs it from the root of the sources, with `values` for `--values -`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn run(&self, arguments: &[&str], values: &Value) -> Output {
        let mut command = Command::new(&self.program);
        command.args(arguments).current_dir(workspace());
        if let Some(kubeconfig) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(kubeconfig);
        }
        // Nothing of the person who runs the tests: neither plugins nor repositories.
        let home = target().join("helm/home");
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        crate::kubectl::finish(command, values.to_string()).await
    }
}
