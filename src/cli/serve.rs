//! `outrigger serve`: puts the parts together, and takes them apart in the right order when told to stop.
use super::{
    controller::{ControllerArgs, Parts},
    images::ImageArgs,
    settings::{SettingsArgs, seconds},
};
use crate::{
    controller::Running,
    observe::{
        events::{Event, Recorder},
        health::{self, Health},
        logs,
        metrics::Metrics,
    },
    store::{
        Current,
        cluster::{ClusterStore, Connection, NamespaceReader},
        files::{FileStore, Files, Told},
    },
    tls::{
        callers::Callers,
        clients::Clients,
        reload::{Certificate, Origin},
        served::Served,
    },
    webhook::{self, Webhook, limits::Limits, listener},
};
use anyhow::{Context, Result, anyhow, ensure};
use axum_server::{Handle, tls_rustls::RustlsConfig};
use clap::Args;
use outrigger_engine::Settings;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Sender},
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::Receiver,
    time::timeout,
};

/// Most connections to the admin port at once: kubelet, a scraper, a person.
const ADMIN_CONNECTIONS: usize = 32;
/// How long the lease may take to be released, if that was not done while calls were finished.
const CONTROLLER_GRACE: Duration = Duration::from_secs(2);
/// How much longer than the grace the process waits for its workers to end.
const GRACE_AFTER_GRACE: Duration = Duration::from_millis(500);

/// Serve the admission webhook over HTTPS
///
/// Policies and namespaces come from the cluster, or with --policies from files. They and certificates are taken up again
/// whenever they change. Without --tls-cert, a certificate authority and a certificate are made in --certs, and used again
/// the next time. With --service, replicas share a certificate that is kept in a Secret, and one of them registers the
/// webhooks.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger serve --policies policies
  outrigger serve --kubeconfig ~/.kube/config
  outrigger serve --service outrigger-system/outrigger --owner outrigger
  outrigger serve --policies policies --namespaces namespaces.yaml --listen 127.0.0.1:8443
  outrigger serve --policies policies --tls-cert tls.crt --tls-key tls.key --log-format json

The webhook is at https://ADDRESS/mutate; /livez, /readyz and /metrics are at the --admin address.
Exit codes: 0 stopped as asked, 2 wrong usage or unreadable input.")]
pub struct ServeArgs {
    /// Directory of policies (*.yaml, *.yml, *.json, also in directories below); without it, they come from the cluster
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// File of Namespace manifests: the labels and annotations that policies go by
    #[arg(long, value_name = "FILE", requires = "policies")]
    namespaces: Option<PathBuf>,
    /// How to reach the cluster [default: KUBECONFIG, ~/.kube/config, or the service account of the Pod]
    #[arg(long, value_name = "FILE", conflicts_with = "policies")]
    kubeconfig: Option<PathBuf>,
    /// Certificate chain (PEM), leaf first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Certificate authorities (PEM) that the API server has to trust, with --service and --tls-cert
    #[arg(long, value_name = "FILE", requires = "tls_cert", requires = "service")]
    tls_ca: Option<PathBuf>,
    /// Directory for our own certificate authority, when no certificate is given
    #[arg(long, value_name = "DIR", default_value = "certs", conflicts_with = "tls_cert")]
    certs: PathBuf,
    /// Further name (DNS or IP address) for our own certificate; may be given several times
    #[arg(long, value_name = "NAME", conflicts_with = "tls_cert")]
    dns: Vec<String>,
    /// Answer only clients with a certificate of these authorities (PEM), which the API server must be told to show
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// And only if its common name or an alternative name is this one; may be given several times
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    client_name: Vec<String>,
    /// Address of the webhook (HTTPS); port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Address of health and metrics (plain HTTP)
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    admin: SocketAddr,
    #[command(flatten)]
    controller: ControllerArgs,
    #[command(flatten)]
    images: ImageArgs,
    #[command(flatten)]
    settings: SettingsArgs,
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

impl ServeArgs {
    fn files(&self, policies: &Path) -> Files {
        Files {
            policies: policies.to_owned(),
            namespaces: self.namespaces.clone(),
            images: self.images.images(),
            settings: self.settings(),
        }
    }

    /// The replicas' own namespace is left alone too.
    fn settings(&self) -> Settings {
        let mut settings = self.settings.settings();
        let own = self.controller.service.iter().map(|service| service.namespace.clone());
        settings.protected_namespaces.extend(own);
        settings
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

impl ServeArgs {
    fn callers(&self) -> Option<Callers> {
        let file = self.tls_ca.clone()?;
        Some(Callers::new(file, self.controller.patience_with_files()))
    }

    fn clients(&self, metrics: &Arc<Metrics>) -> Result<Option<Arc<Clients>>> {
        let open =
            |authority: &PathBuf| Clients::open(authority.clone(), self.client_name.clone(), Arc::clone(metrics));
        Ok(self.client_ca.as_ref().map(open).transpose()?.map(Arc::new))
    }
}

pub(super) fn run(args: ServeArgs) -> Result<()> {
    let names_authorities = args.tls_ca.is_some() || args.tls_cert.is_none() || args.controller.service.is_none();
    ensure!(
        names_authorities,
        "--service and --tls-cert need --tls-ca, with the authorities that the API server has to trust"
    );
    ensure!(
        args.policies.is_some() || !args.images.are_given(),
        "--image-registry, --image-tag and --image go with --policies; policies in a cluster have their images already, bundled ones \
         by the chart's values image.registry, image.tag and policies.images"
    );
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
    let store = Store::open(&args, &health, &metrics).await?;
    let clients = args.clients(&metrics)?;
    let certificate = Shown::open(&args, clients.clone(), &health, &metrics)?;
    let (webhook_socket, listen) = listener::bind(args.listen)?;
    let (admin_socket, admin) = listener::bind(args.admin)?;
    let (webhook_handle, admin_handle) = (Handle::new(), Handle::new());

    let webhook = Webhook::new(store.current(), Arc::clone(&metrics), Limits::default());
    let webhook = match store.namespaces(workers)? {
        Some(namespaces) => webhook.asking(Arc::new(namespaces)),
        None => webhook,
    };
    let (recorder, recorded) = Recorder::new(Arc::clone(&metrics));
    let webhook = match args.controller.service {
        Some(_) => webhook.reporting_to(recorder.clone()),
        None => webhook,
    };
    let serving = workers.spawn(listener::serve(
        webhook_socket,
        certificate.config(),
        listener::Timers::default(),
        listener::Cap::new(Arc::clone(&metrics)),
        webhook::router(webhook.living_with(Arc::clone(&health))),
        webhook_handle.clone(),
    ));
    let admin_cap = listener::Cap::at(ADMIN_CONNECTIONS, Arc::clone(&metrics));
    let admin_router = health::router(Arc::clone(&health), Arc::clone(&metrics));
    let observing = health::start(admin_socket, admin_cap, admin_router, admin_handle.clone())?;
    let controller = start_controller(&args, &store, certificate, (recorder, recorded), &health, &metrics)?;
    let told = store.start()?;
    clients.map_or(Ok(()), Clients::keep_fresh)?;
    tracing::info!(%listen, %admin, "serving");

    let stop = signals.until_stop(&told).await;
    health.stopping();
    tracing::info!("stopping");
    if let Some(controller) = &controller {
        controller.stop();
    }
    if stop == Stop::Drained {
        // Endpoints are not gone everywhere at once: who still calls is still answered.
        let _ = timeout(args.drain, signals.until_stop(&told)).await;
    }
    webhook_handle.graceful_shutdown(Some(args.shutdown_grace));
    // A worker that is still deciding would not see that its time is up.
    if let Ok(ended) = timeout(args.shutdown_grace + GRACE_AFTER_GRACE, serving).await {
        ended.context("failed to stop")??;
    }
    if let Some(controller) = controller {
        controller.ended(CONTROLLER_GRACE).await;
    }
    admin_handle.graceful_shutdown(Some(Duration::ZERO));
    observing
        .join()
        .map_err(|_| anyhow!("failed to stop: an error in outrigger"))?
}

/// The certificate of the HTTPS port.
enum Shown {
    FromFiles(Box<Certificate>),
    FromSecret(Served),
}

impl Shown {
    fn open(
        args: &ServeArgs,
        clients: Option<Arc<Clients>>,
        health: &Arc<Health>,
        metrics: &Arc<Metrics>,
    ) -> Result<Shown> {
        let (health, metrics) = (Arc::clone(health), Arc::clone(metrics));
        if args.controller.service.is_some() && args.tls_cert.is_none() {
            return Served::nothing(clients, health, metrics).map(Shown::FromSecret);
        }
        let certificate = Certificate::open(args.origin(), clients, health, metrics)?;
        let certificate = certificate.trusted_by(args.callers());
        Ok(Shown::FromFiles(Box::new(certificate)))
    }

    fn config(&self) -> RustlsConfig {
        match self {
            Shown::FromFiles(certificate) => certificate.config(),
            Shown::FromSecret(served) => served.config(),
        }
    }
}

/// Keeps the certificate fresh, and starts what replicas do together, if they do.
fn start_controller(
    args: &ServeArgs,
    store: &Store,
    certificate: Shown,
    (recorder, recorded): (Recorder, Receiver<Event>),
    health: &Arc<Health>,
    metrics: &Arc<Metrics>,
) -> Result<Option<Running>> {
    let served = match certificate {
        Shown::FromFiles(certificate) => {
            certificate.keep_fresh()?;
            None
        }
        Shown::FromSecret(served) => Some(served),
    };
    let Store::Cluster(cluster) = store else {
        return Ok(None);
    };
    args.controller.start(Parts {
        connection: cluster.connection(),
        settings: &args.settings(),
        current: cluster.current(),
        observed: cluster.observed(),
        recorder,
        recorded,
        health: Arc::clone(health),
        metrics: Arc::clone(metrics),
        served,
        names: &args.dns,
        authorities: args.tls_ca.clone(),
    })
}

/// Where policies and namespaces come from.
enum Store {
    Files(Box<FileStore>),
    Cluster(Box<ClusterStore>),
}

impl Store {
    async fn open(args: &ServeArgs, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Result<Store> {
        if let Some(policies) = &args.policies {
            let store = FileStore::open(args.files(policies), Arc::clone(metrics))?;
            health.loaded();
            return Ok(Store::Files(Box::new(store)));
        }
        let connection = Connection::find(args.kubeconfig.as_deref()).await?;
        let store = ClusterStore::new(
            connection,
            args.settings(),
            args.settings.names_a_version(),
            Arc::clone(health),
            Arc::clone(metrics),
        );
        Ok(Store::Cluster(Box::new(store)))
    }

    fn current(&self) -> Current {
        match self {
            Store::Files(store) => store.current(),
            Store::Cluster(store) => store.current(),
        }
    }

    /// Who can be asked about a namespace that is not known; files say all there is to say.
    fn namespaces(&self, workers: &tokio::runtime::Handle) -> Result<Option<NamespaceReader>> {
        let Store::Cluster(store) = self else {
            return Ok(None);
        };
        let _workers = workers.enter();
        store.reader().map(Some)
    }

    /// Keeps the snapshot up to date from now on. To what is returned, wishes to look at files at once can be sent.
    fn start(self) -> Result<Option<Sender<Told>>> {
        match self {
            Store::Files(store) => store.watch().map(Some),
            Store::Cluster(store) => store.start().map(|()| None),
        }
    }
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
    async fn until_stop(&mut self, told: &Option<Sender<Told>>) -> Stop {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return Stop::Drained,
                _ = self.interrupt.recv() => return Stop::AtOnce,
                _ = self.hangup.recv() => match told {
                    Some(told) => {
                        tracing::info!("told to look at all files again");
                        let _ = told.send(Told::Asked);
                    }
                    None => tracing::info!("told to look at all files again; policies come from the cluster"),
                },
            }
        }
    }
}
