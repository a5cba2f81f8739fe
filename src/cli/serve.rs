//! `outrigger serve`: puts the parts together, and takes them apart in the right order when told to stop.
use crate::{
    observe::{
        health::{self, Health},
        logs,
        metrics::Metrics,
    },
    store::files::{FileStore, Files, Told},
    tls::reload::{Certificate, Origin},
    webhook::{self, Webhook, limits::Limits, listener},
};
use anyhow::{Context, Result, anyhow};
use axum_server::Handle;
use clap::Args;
use outrigger_engine::Settings;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// Most connections to the admin port at once: kubelet, a scraper, a person.
const ADMIN_CONNECTIONS: usize = 32;
/// How much longer than the grace the process waits for its workers to end.
const GRACE_AFTER_GRACE: Duration = Duration::from_millis(500);

/// Serve the admission webhook over HTTPS
///
/// Policies, namespaces and certificates are taken up again whenever they change. Without --tls-cert, a certificate
/// authority and a certificate are made in --certs, and used again the next time.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger serve --policies policies
  outrigger serve --policies policies --namespaces namespaces.yaml --listen 127.0.0.1:8443
  outrigger serve --policies policies --tls-cert tls.crt --tls-key tls.key --log-format json

The webhook is at https://ADDRESS/mutate; /livez, /readyz and /metrics are at the --admin address.
Exit codes: 0 stopped as asked, 2 wrong usage or unreadable input.")]
pub struct ServeArgs {
    /// Directory of policies (*.yaml, *.yml, *.json, also in directories below)
    #[arg(long, value_name = "DIR")]
    policies: PathBuf,
    /// File of Namespace manifests: the labels and annotations that policies go by
    #[arg(long, value_name = "FILE")]
    namespaces: Option<PathBuf>,
    /// Certificate chain (PEM), leaf first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Directory for our own certificate authority, when no certificate is given
    #[arg(long, value_name = "DIR", default_value = "certs", conflicts_with = "tls_cert")]
    certs: PathBuf,
    /// Further name (DNS or IP address) for our own certificate; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert")]
    dns: Vec<String>,
    /// Address of the webhook (HTTPS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of health and metrics (plain HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    admin: SocketAddr,
    /// Kubernetes version of the cluster, which decides how sidecars are made
    #[arg(long, value_name = "1.N", default_value = "1.37", value_parser = kubernetes_minor)]
    kubernetes_version: u32,
    /// Further namespace whose Pods are never touched; may be given several times
    #[arg(long, value_name = "NAME")]
    protected_namespace: Vec<String>,
    /// Further container that a service mesh adds, and that is not the application's; may be given several times
    #[arg(long, value_name = "NAME")]
    mesh_container: Vec<String>,
    /// Fields of a container that others may change in helpers of Required policies, e.g. image
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    foreign_changes: Vec<String>,
    /// How long to go on answering after SIGTERM, until nobody calls this replica any more, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "3s", value_parser = seconds)]
    drain: Duration,
    /// How long calls in progress may take once the process is told to stop, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    shutdown_grace: Duration,
    /// How log lines are written
    #[arg(long, value_enum, default_value = "text")]
    log_format: logs::Format,
    /// error, warn, info, debug, trace, or a filter like outrigger=debug,info [default: RUST_LOG, else info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

fn kubernetes_minor(text: &str) -> Result<u32, String> {
    let mut parts = text.trim_start_matches('v').split('.');
    match (parts.next(), parts.next().and_then(|minor| minor.parse().ok())) {
        (Some("1"), Some(minor)) => Ok(minor),
        _ => Err("write it as 1.37".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number
        .parse()
        .map(Duration::from_secs)
        .map_err(|_| "write whole seconds, as 10s".into())
}

impl ServeArgs {
    fn settings(&self) -> Settings {
        let mut settings = Settings {
            kubernetes_minor: self.kubernetes_version,
            ..Settings::default()
        };
        settings
            .protected_namespaces
            .extend(self.protected_namespace.iter().cloned());
        settings.mesh_containers.extend(self.mesh_container.iter().cloned());
        settings.foreign_changes.extend(self.foreign_changes.iter().cloned());
        settings
    }

    fn files(&self) -> Files {
        Files {
            policies: self.policies.clone(),
            namespaces: self.namespaces.clone(),
            settings: self.settings(),
        }
    }

    fn origin(&self) -> Origin {
        match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Origin::Given {
                certificate: certificate.clone(),
                key: key.clone(),
            },
            _ => Origin::Own {
                directory: self.certs.clone(),
                names: self.dns.clone(),
            },
        }
    }
}

pub(super) fn run(args: ServeArgs) -> Result<()> {
    let _logging = logs::start(args.log_format, args.log_level.as_deref())?;
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    // Signals and deadlines must be seen while every worker is busy deciding.
    let control = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    let outcome = control.block_on(serve(args, workers.handle()));
    workers.shutdown_background();
    outcome
}

async fn serve(args: ServeArgs, workers: &tokio::runtime::Handle) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (health, metrics) = (Arc::<Health>::default(), Arc::<Metrics>::default());
    let store = FileStore::open(args.files(), Arc::clone(&metrics))?;
    let certificate = Certificate::open(args.origin(), Arc::clone(&health), Arc::clone(&metrics))?;
    let (webhook_socket, listen) = listener::bind(args.listen)?;
    let (admin_socket, admin) = listener::bind(args.admin)?;
    let (webhook_handle, admin_handle) = (Handle::new(), Handle::new());

    let webhook = Webhook::new(store.current(), Arc::clone(&metrics), Limits::default());
    let serving = workers.spawn(listener::serve(
        webhook_socket,
        certificate.config(),
        listener::Timers::default(),
        listener::Cap::new(Arc::clone(&metrics)),
        webhook::router(webhook.leaving_with(Arc::clone(&health))),
        webhook_handle.clone(),
    ));
    let admin_cap = listener::Cap::at(ADMIN_CONNECTIONS, Arc::clone(&metrics));
    let admin_router = health::router(Arc::clone(&health), metrics);
    let observing = health::start(admin_socket, admin_cap, admin_router, admin_handle.clone())?;
    let told = store.watch()?;
    certificate.keep_fresh()?;
    health.loaded();
    tracing::info!(%listen, %admin, "serving");

    let stop = signals.until_stop(&told).await;
    health.stopping();
    tracing::info!("stopping");
    if stop == Stop::Drained {
        // Endpoints are not gone everywhere at once: who still calls is still answered.
        let _ = timeout(args.drain, signals.until_stop(&told)).await;
    }
    webhook_handle.graceful_shutdown(Some(args.shutdown_grace));
    // A worker that is still deciding would not see that its time is up.
    if let Ok(ended) = timeout(args.shutdown_grace + GRACE_AFTER_GRACE, serving).await {
        ended.context("failed to stop")??;
    }
    admin_handle.graceful_shutdown(Some(Duration::ZERO));
    observing
        .join()
        .map_err(|_| anyhow!("failed to stop: an error in outrigger"))?
}

/// How the process is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// SIGTERM, from kubelet: others may not know yet.
    Drained,
    /// SIGINT, from a terminal: someone is waiting.
    AtOnce,
}

/// What others ask of the process while it serves.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Signals> {
        let on = |kind| signal(kind).context("failed to listen for signals");
        Ok(Signals {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal to stop. SIGHUP meanwhile has the files looked at; certificates are looked at each second anyway.
    async fn until_stop(&mut self, told: &Sender<Told>) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Drained,
                _ = self.interrupt.recv() => return Stop::AtOnce,
                _ = self.hangup.recv() => {
                    tracing::info!("told to look at all files again");
                    let _ = told.send(Told::Asked);
                }
            }
        }
    }
}
