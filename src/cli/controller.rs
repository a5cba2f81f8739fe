//! Flags for what replicas do together in a cluster, and the controller that is made of them.
use crate::{
    controller::{
        Always, Controller, Running,
        certificate::{InSecret, Lives, Shared},
        duty::Duty,
        events,
        guard::GuardDuty,
        lease::Times,
        registration::{Registration, Trust},
        service::Service,
        status::{
            PolicyStatuses,
            replicas::{self, Place},
        },
    },
    observe::{
        events::{Event, Recorder},
        health::Health,
        metrics::Metrics,
    },
    store::{
        Current,
        cluster::{Connection, Observed},
    },
    tls::served::Served,
};
use anyhow::{Context, Result};
use clap::Args;
use kube::Client;
use outrigger_engine::Settings;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::mpsc::Receiver;

/// Names by which a person may reach a replica besides the Service's.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How replicas work together.
#[derive(Debug, Clone, Args)]
pub(super) struct ControllerArgs {
    /// Service by which the API server reaches the replicas: they share a certificate, and register themselves
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", conflicts_with = "policies")]
    pub(super) service: Option<Service>,
    /// Secret with certificate authority and certificate, in the Service's namespace [default: NAME-certificate]
    #[arg(long, value_name = "NAME", requires = "service", conflicts_with = "tls_cert")]
    secret: Option<String>,
    /// Lease that one replica holds, in the Service's namespace [default: NAME-controller]
    #[arg(long, value_name = "NAME", requires = "service")]
    lease: Option<String>,
    /// ClusterRole that owns the webhook configurations: they are removed with it
    #[arg(long, value_name = "NAME", requires = "service")]
    owner: Option<String>,
    /// Name of this replica in the lease [default: HOSTNAME and a random part]
    #[arg(long, value_name = "NAME", requires = "service")]
    identity: Option<String>,
    /// Count the Pods that carry each policy, which needs the permission to list and watch Pods
    #[arg(long, requires = "service")]
    count_pods: bool,
    /// Whether the API server itself refuses Pods without helpers that they ask for or must have; false takes that away
    #[arg(long, value_name = "BOOL", requires = "service", default_value = "true", action = clap::ArgAction::Set)]
    guard: bool,
    /// For tests: how long the lease holds
    #[arg(long, hide = true, default_value = "15s", value_parser = super::settings::seconds)]
    lease_duration: Duration,
    /// For tests: how long a certificate lives
    #[arg(long, hide = true, value_parser = super::settings::seconds)]
    certificate_life: Option<Duration>,
    /// For tests: how long a certificate authority lives
    #[arg(long, hide = true, value_parser = super::settings::seconds)]
    authority_life: Option<Duration>,
    /// For tests: how long API servers are given to take up a new certificate authority
    #[arg(long, hide = true, default_value = "60s", value_parser = super::settings::seconds)]
    settling: Duration,
}

/// What the rest of the process is to the controller.
pub(super) struct Parts<'a> {
    pub(super) connection: &'a Connection,
    pub(super) settings: &'a Settings,
    pub(super) current: Current,
    pub(super) observed: Arc<Observed>,
    /// Where to report what is worth an Event, and what is reported.
    pub(super) recorder: Recorder,
    pub(super) recorded: Receiver<Event>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
    /// The port whose certificate is in the Secret, if it is.
    pub(super) served: Option<Served>,
    /// Further names for that certificate.
    pub(super) names: &'a [String],
    /// What callers have to trust, when the certificate is given.
    pub(super) authorities: Option<PathBuf>,
}

impl ControllerArgs {
    /// How long a file may come later to one replica than to another, and what it says later to the API server.
    pub(super) fn patience_with_files(&self) -> Duration {
        self.settling * 2
    }

    /// Starts to take part in what replicas do together; `None` without a Service.
    pub(super) fn start(&self, parts: Parts<'_>) -> Result<Option<Running>> {
        let Some(service) = &self.service else {
            return Ok(None);
        };
        let secret = self.certificate(service, parts.names)?;
        let (mut always, mut trust) = (Vec::new(), Trust::Secret(secret.clone()));
        match (parts.authorities, parts.served) {
            (Some(authorities), _) => {
                trust = Trust::File {
                    path: authorities,
                    overlap: self.settling * 10,
                }
            }
            (None, Some(served)) => {
                always.push(always_doing(
                    |client| async move { secret.follow(client, served).await },
                ));
            }
            (None, None) => {}
        }
        let mut protected = parts.settings.protected_namespaces.clone();
        protected.sort();
        protected.dedup();
        let registration = Registration {
            service: service.clone(),
            protected,
            trust,
            health: Arc::clone(&parts.health),
        };
        let identity = self.identity.clone().unwrap_or_else(identity);
        let place = Place {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
        };
        let status = PolicyStatuses {
            observed: Arc::clone(&parts.observed),
            place: place.clone(),
            count_pods: self.count_pods,
            recorder: parts.recorder,
        };
        let (name, owner, observed) = (identity.clone(), self.owner.clone(), parts.observed);
        always.push(Box::new(|client, stopped| {
            let told = replicas::tell(client, place, name, owner, observed, stopped);
            Box::pin(async {
                told.await;
                Ok(())
            })
        }));
        let (name, recorded, metrics) = (identity.clone(), parts.recorded, Arc::clone(&parts.metrics));
        always.push(always_doing(|client| events::run(client, name, recorded, metrics)));
        let guard = GuardDuty {
            wanted: self.guard,
            namespace: service.namespace.clone(),
            health: Arc::clone(&parts.health),
        };
        let duties: Vec<Arc<dyn Duty>> = vec![Arc::new(registration), Arc::new(status), Arc::new(guard)];
        let connection = parts.connection.clone();
        let controller = Controller {
            client: Box::new(move || connection.plain_client()),
            namespace: service.namespace.clone(),
            lease: self
                .lease
                .clone()
                .unwrap_or_else(|| format!("{}-controller", service.name)),
            identity,
            times: Times::lasting(self.lease_duration),
            owner: self.owner.clone(),
            current: parts.current,
            metrics: parts.metrics,
            duties,
            always,
        };
        controller.start().map(Some)
    }

    fn certificate(&self, service: &Service, more: &[String]) -> Result<InSecret> {
        let local = LOCAL_NAMES.map(String::from);
        let names = service
            .host_names()
            .into_iter()
            .chain(local)
            .chain(more.iter().cloned());
        let life = |given: Option<Duration>, usual| {
            given
                .map_or(Ok(usual), time::Duration::try_from)
                .context("failed to use a certificate's life")
        };
        let usual = Lives::default();
        let lives = Lives {
            authority: life(self.authority_life, usual.authority)?,
            leaf: life(self.certificate_life, usual.leaf)?,
        };
        Ok(InSecret {
            namespace: service.namespace.clone(),
            name: self
                .secret
                .clone()
                .unwrap_or_else(|| format!("{}-certificate", service.name)),
            shared: Arc::new(Shared::new(names.collect(), lives, self.settling)),
        })
    }
}

/// What every replica does until it is told to stop, and no error ends.
fn always_doing<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(Client) -> F + Send + 'static) -> Always {
    Box::new(|client, mut stopped| {
        Box::pin(async move {
            tokio::select! {
                () = work(client) => {}
                () = stopped.stopped() => {}
            }
            Ok(())
        })
    })
}

/// The Pod's name says whom to look at; the random part tells a process from its predecessor.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "outrigger".into());
    format!("{host}_{:016x}", fastrand::u64(..))
}
