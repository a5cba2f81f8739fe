//! One process of `outrigger serve`: its log, its admin port, and signals.
use crate::answer::Answer;
use crate::keeper::{Kept, Program};
use crate::log::Log;
use kube::{Client, Config};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// A running replica; it ends when this is dropped.
pub struct Replica {
    address: SocketAddr,
    log: Arc<Log>,
    admin: Client,
    kept: Kept,
}

impl Replica {
    /// Starts `binary serve` with these arguments, on free ports, and waits until it serves.
    ///
    /// # Panics
    /// When it does not; the message has its log.
    pub fn start(binary: &Path, arguments: &[String]) -> Replica {
        let (kept, log) = spawn(binary, arguments);
        let addresses = log.wait_for("serving");
        let address = |field: &str| {
            let address = addresses[field].as_str().and_then(|address| address.parse().ok());
            address.unwrap_or_else(|| panic!("no {field} in {addresses}"))
        };
        let (address, admin): (SocketAddr, SocketAddr) = (address("listen"), address("admin"));
        Replica {
            address,
            admin: client(&format!("http://{admin}"), None),
            log,
            kept,
        }
    }

    /// Where it serves the webhook.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client of its HTTPS port that trusts this authority alone, as an API server does.
    pub fn https(&self, authority: &str) -> Client {
        client(&format!("https://{}", self.address), Some(authority))
    }

    /// Whether who trusts this authority alone would call it.
    pub async fn is_trusted_with(&self, authority: &str) -> bool {
        Answer::to(&self.https(authority), "GET", "/", None).await.is_ok()
    }

    /// Sends a signal, such as `KILL`, `TERM`, `STOP` or `CONT`, to it.
    ///
    /// # Panics
    /// When there is no `kill`.
    pub fn signal(&self, signal: &str) {
        self.kept.signal(signal);
    }

    /// Whether the process has come to its end.
    pub fn has_ended(&self) -> bool {
        self.log.has_ended()
    }

    /// Whether `/readyz` says so.
    pub async fn is_ready(&self) -> bool {
        let answer = Answer::to(&self.admin, "GET", "/readyz", None).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Waits for that.
    ///
    /// # Panics
    /// When it takes more than a minute; the message has the log.
    pub async fn wait_until_ready(&self) {
        for _ in 0..1200 {
            if self.is_ready().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the webhook is not ready; its log:\n{}", self.log.text());
    }

    /// The lines of its log.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The fields of the first line with this message, when it comes.
    ///
    /// # Panics
    /// When it does not come.
    pub fn logs(&self, message: &str) -> Value {
        self.log.wait_for(message)
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// When the admin port does not answer.
    pub async fn metrics(&self) -> String {
        let answer = Answer::to(&self.admin, "GET", "/metrics", None)
            .await
            .expect("the admin port does not answer");
        answer.body.as_str().unwrap_or_default().to_owned()
    }

    /// The sum over all series of one metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        let values = metrics.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' '])
                .then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        values.sum()
    }

    /// The value of one series, such as `name{label="value"}`, if there is such a series yet.
    pub async fn series(&self, series: &str) -> Option<f64> {
        let value = |line: &str| line.strip_prefix(series)?.trim().parse().ok();
        self.metrics().await.lines().find_map(value)
    }
}

fn spawn(binary: &Path, from: &[String]) -> (Kept, Arc<Log>) {
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--log-format",
        "json",
    ];
    let program = Program {
        path: binary,
        arguments: arguments
            .map(String::from)
            .into_iter()
            .chain(from.iter().cloned())
            .collect(),
        stdout: Stdio::null(),
        stderr: Stdio::piped(),
        scratch: None,
    };
    let mut kept = program.start().expect("failed to start the webhook");
    let log = Log::of(kept.take_stderr().expect("stderr is a pipe"));
    (kept, log)
}

/// HTTP/1.1 over TLS that trusts this authority alone, which is what an API server does.
pub(crate) fn client(url: &str, authority: Option<&str>) -> Client {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut config = Config::new(url.parse().expect("an address from the log"));
    let der = |pem: &str| {
        CertificateDer::from_pem_slice(pem.as_bytes())
            .expect("ca.crt is PEM")
            .to_vec()
    };
    config.root_cert = authority.map(|pem| vec![der(pem)]);
    Client::try_from(config).expect("failed to make a client")
}
