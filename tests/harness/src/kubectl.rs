//! Runs kubectl, to see what a user sees.
use std::path::Path;
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What kubectl printed.
#[derive(Debug)]
pub struct Output {
    /// It ended with 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error: refusals and warnings.
    pub stderr: String,
}

impl Output {
    /// What it printed; it must have succeeded.
    ///
    /// # Panics
    /// When it did not, with what it said.
    #[track_caller]
    pub fn ok(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

pub(crate) struct Run<'a> {
    pub(crate) program: &'a Path,
    pub(crate) kubeconfig: &'a Path,
}

impl Run<'_> {
    /// Waits without blocking the runtime: a webhook of the same test may have to answer meanwhile.
    pub(crate) async fn go(&self, arguments: &[&str], input: Option<String>) -> Output {
        let mut command = Command::new(self.program);
        command.arg("--kubeconfig").arg(self.kubeconfig).args(arguments);
        // Discovery is cached beside the kubeconfig, not in the home directory of the person who runs the tests.
        command.env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        finish(command, input.unwrap_or_default()).await
    }
}

/// Starts it, gives it its input, and waits for its end. A program that does not read its input is fine.
pub(crate) async fn finish(mut command: Command, input: String) -> Output {
    let mut child = command.spawn().expect("failed to start a program");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("failed to wait for a program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output {
        success: output.status.success(),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}
