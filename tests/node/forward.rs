//! A port of a Pod on this machine's loopback, by `kubectl port-forward`.
use crate::room::Room;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

/// It ends when this is dropped.
pub struct Forward {
    process: Child,
    /// Kept open: it goes on writing there.
    _said: BufReader<ChildStdout>,
    pub port: u16,
}

impl Forward {
    /// Waits until it is there.
    pub fn start(room: &Room, pod: &str, port: u16) -> Forward {
        let mut process = Command::new(room.node.programs().join("kubectl"))
            .arg("--kubeconfig")
            .arg(room.node.kubeconfig())
            .args(["--namespace", &room.namespace, "port-forward", pod, &format!(":{port}")])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        // Forwarding from 127.0.0.1:43567 -> 4222
        let port = line.split(" -> ").next().and_then(|line| line.rsplit(':').next());
        let port = port.and_then(|port| port.parse().ok());
        Forward {
            process,
            _said: said,
            port: port.unwrap_or_else(|| panic!("kubectl port-forward says {line:?}")),
        }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
