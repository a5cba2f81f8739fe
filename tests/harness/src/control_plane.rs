//! etcd and a kube-apiserver on free ports of this machine. There is no controller manager, no scheduler and no node:
//! what is created stays as it was admitted.
use crate::assets::{Program as Tool, program};
use crate::audit;
use crate::demand::Absent;
use crate::keeper::{Kept, Program};
use crate::pki::{Authority, Pair};
use crate::port;
use anyhow::{Context, Result, bail};
use rcgen::KeyPair;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often to start anew when somebody else took the port between its choice and its use.
const ATTEMPTS: u32 = 5;
const READY_WITHIN: Duration = Duration::from_secs(90);

/// The programs that a control plane consists of.
pub struct Programs {
    etcd: PathBuf,
    api_server: PathBuf,
}

impl Programs {
    /// Finds or builds them.
    ///
    /// # Errors
    /// When one is neither there nor can be built.
    pub fn find() -> Result<Programs, Absent> {
        Ok(Programs {
            etcd: program(Tool::Etcd)?,
            api_server: program(Tool::ApiServer)?,
        })
    }
}

/// A running control plane; it ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct ControlPlane {
    /// The kubeconfig of a member of `system:masters`.
    pub kubeconfig: PathBuf,
    /// The log of audit events, one JSON object a line.
    pub audit_log: PathBuf,
    kept: Mutex<[Kept; 2]>,
    start: Mutex<Start>,
}

/// How its programs are started.
#[derive(Debug)]
struct Start {
    dir: PathBuf,
    etcd: (PathBuf, Vec<String>),
    api_server: (PathBuf, Vec<String>),
    /// Of the API server, besides its own.
    more: Vec<String>,
}

impl Start {
    fn go(&self) -> Result<[Kept; 2]> {
        let (etcd, api_server) = (&self.etcd, &self.api_server);
        let data = self.dir.join("etcd");
        let arguments = [&api_server.1[..], &self.more].concat();
        Ok([
            start(&etcd.0, &self.dir, Some(&data), etcd.1.clone())?,
            start(&api_server.0, &self.dir, None, arguments)?,
        ])
    }
}

impl ControlPlane {
    /// Starts it with its files in `dir`, the API server with these arguments besides its own, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready; the message has the end of its log.
    pub fn start(programs: &Programs, dir: &Path, more: &[String]) -> Result<ControlPlane> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            match attempt(programs, dir, more) {
                Ok(control_plane) => return Ok(control_plane),
                Err(error) if format!("{error:#}").contains("address already in use") => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(failure.context("no attempt was made")?)
    }

    /// The process groups of etcd and the API server.
    pub fn groups(&self) -> [u32; 2] {
        let kept = self.kept();
        [kept[0].group(), kept[1].group()]
    }

    /// Kills both programs and starts them anew, on the same ports and with the same data.
    ///
    /// # Errors
    /// When they do not become ready again.
    pub(crate) fn restart(&self) -> Result<()> {
        let mut kept = self.kept();
        for program in kept.iter_mut() {
            // The whole group: who would remove the data ends too.
            program.kill();
        }
        let start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 1..ATTEMPTS {
            *kept = start.go()?;
            match wait_until_ready(&mut kept, &self.kubeconfig, &start.dir) {
                // A client that tries to connect meanwhile may get the port for its own end.
                Err(error) if format!("{error:#}").contains("address already in use") => {
                    kept.iter_mut().for_each(Kept::kill);
                    std::thread::sleep(Duration::from_secs(1));
                }
                outcome => return outcome,
            }
        }
        *kept = start.go()?;
        wait_until_ready(&mut kept, &self.kubeconfig, &start.dir)
    }

    /// From the next start on, the API server has these arguments besides its own.
    pub(crate) fn change(&self, more: &[String]) {
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        start.more = more.to_vec();
    }

    fn kept(&self) -> MutexGuard<'_, [Kept; 2]> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn attempt(programs: &Programs, dir: &Path, more: &[String]) -> Result<ControlPlane> {
    let database = format!("http://127.0.0.1:{}", port::free()?);
    let port = port::free()?;
    let authority = Authority::new("outrigger tests")?;
    let admin = authority.user("admin", "system:masters")?;
    let kubeconfig = dir.join("kubeconfig");
    fs::write(&kubeconfig, kubeconfig_text(port, &authority, &admin))?;
    write_server_files(dir, &authority)?;

    let data = dir.join("etcd");
    let start = Start {
        dir: dir.to_owned(),
        etcd: (programs.etcd.clone(), etcd_arguments(&database, &data)),
        api_server: (programs.api_server.clone(), api_server_arguments(dir, &database, port)),
        more: more.to_vec(),
    };
    let mut kept = start.go()?;
    wait_until_ready(&mut kept, &kubeconfig, dir)?;
    Ok(ControlPlane {
        kubeconfig,
        audit_log: dir.join("audit.log"),
        kept: Mutex::new(kept),
        start: Mutex::new(start),
    })
}

fn write_server_files(dir: &Path, authority: &Authority) -> Result<()> {
    let server = authority.server()?;
    let tokens = KeyPair::generate()?;
    let files = [
        ("ca.crt", authority.certificate()),
        ("server.crt", server.certificate),
        ("server.key", server.key),
        ("tokens.key", tokens.serialize_pem()),
        ("tokens.pub", tokens.public_key_pem()),
        ("audit.yaml", audit::POLICY.into()),
    ];
    for (name, text) in files {
        fs::write(dir.join(name), text)?;
    }
    Ok(())
}

fn etcd_arguments(url: &str, data: &Path) -> Vec<String> {
    let any = "http://127.0.0.1:0";
    vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={any}"),
        "--unsafe-no-fsync".into(),
        "--log-level=warn".into(),
    ]
}

fn api_server_arguments(dir: &Path, database: &str, port: u16) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", dir.join(name).display());
    vec![
        format!("--etcd-servers={database}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        format!("--secure-port={port}"),
        file("cert-dir", ""),
        file("tls-cert-file", "server.crt"),
        file("tls-private-key-file", "server.key"),
        file("client-ca-file", "ca.crt"),
        "--authorization-mode=RBAC".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        file("service-account-signing-key-file", "tokens.key"),
        file("service-account-key-file", "tokens.pub"),
        "--service-cluster-ip-range=10.0.0.0/24".into(),
        file("audit-policy-file", "audit.yaml"),
        file("audit-log-path", "audit.log"),
    ]
}

fn start(program: &Path, dir: &Path, scratch: Option<&Path>, arguments: Vec<String>) -> Result<Kept> {
    let log = File::create(log_of(program, dir))?;
    let (stdout, stderr) = (Stdio::from(log.try_clone()?), Stdio::from(log));
    Program {
        path: program,
        arguments,
        stdout,
        stderr,
        scratch,
    }
    .start()
}

fn log_of(program: &Path, dir: &Path) -> PathBuf {
    dir.join(program.file_name().unwrap_or_default()).with_extension("log")
}

fn kubeconfig_text(port: u16, authority: &Authority, admin: &Pair) -> String {
    let base64 = |text: &str| k8s_openapi::ByteString(text.as_bytes().to_vec());
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "admin"}}],
        "clusters": [{"name": "tests", "cluster": {
            "server": format!("https://127.0.0.1:{port}"),
            "certificate-authority-data": base64(&authority.certificate()),
        }}],
        "users": [{"name": "admin", "user": {
            "client-certificate-data": base64(&admin.certificate),
            "client-key-data": base64(&admin.key),
        }}],
    })
    .to_string()
}

fn wait_until_ready(programs: &mut [Kept; 2], kubeconfig: &Path, dir: &Path) -> Result<()> {
    let start = Instant::now();
    while !crate::block_on(is_ready(kubeconfig)) {
        for (kept, name) in programs.iter_mut().zip(["etcd", "kube-apiserver"]) {
            if let Some(status) = kept.ended() {
                bail!("{name} ended with {status}:\n{}", end_of_log(dir, name));
            }
        }
        if start.elapsed() > READY_WITHIN {
            bail!(
                "the API server was not ready in time:\n{}",
                end_of_log(dir, "kube-apiserver")
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

async fn is_ready(kubeconfig: &Path) -> bool {
    let Ok(client) = crate::cluster::connect(kubeconfig).await else {
        return false;
    };
    let request = axum::http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

fn end_of_log(dir: &Path, name: &str) -> String {
    let text = fs::read_to_string(dir.join(name).with_extension("log")).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
