//! `outrigger-runtime elect`: takes part in leader elections over Leases, and answers on localhost who leads.
//!
//! For each election a [`follower`] reads the Lease and a [`candidate`] writes it; what they learn comes together in a
//! [`standing`], where everything is decided, and [`http`] answers from it. It knows nothing of what the application does with that.
mod candidate;
mod clock;
mod complaints;
mod credentials;
mod durations;
mod election;
mod follower;
mod http;
mod label;
mod lease;
mod metrics;
mod permission;
mod record;
mod spread;
mod standing;
#[cfg(test)]
mod tests;

use crate::serving::{self, ServingArgs, health, logs, seconds, stop};
use anyhow::{Context, Result, ensure};
use candidate::Candidate;
use credentials::CredentialsArgs;
use durations::Durations;
use election::Election;
use kube::Client;
use label::Label;
use lease::Leases;
use metrics::Metrics;
use rand::RngExt;
use spread::Spread;
use std::{collections::HashSet, fs, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Take part in leader elections, and answer on localhost who leads
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger-runtime elect --election shop              one election, with the Lease \"shop\" in the Pod's namespace
  outrigger-runtime elect --election a,b,c --spread 2s  three elections, spread over the processes
  curl http://127.0.0.1:4040/                          who leads?")]
pub struct Args {
    /// The elections to take part in, which are also the names of their Leases; several with commas
    #[arg(
        long = "election",
        env = "OUTRIGGER_ELECTIONS",
        value_name = "NAME",
        value_delimiter = ',',
        required = true
    )]
    elections: Vec<String>,
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "OUTRIGGER_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4040"
    )]
    listen: SocketAddr,
    /// How long others wait after the last renewal that they saw before they take over, in whole seconds
    #[arg(long, env = "OUTRIGGER_LEASE_DURATION", value_name = "SECONDS", default_value = "15s", value_parser = seconds)]
    lease_duration: Duration,
    /// How long a leader is one after the last renewal that it sent and that was confirmed
    #[arg(long, env = "OUTRIGGER_RENEW_DEADLINE", value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    renew_deadline: Duration,
    /// How long to wait from one renewal to the next, and after a failure
    #[arg(long, env = "OUTRIGGER_RETRY_PERIOD", value_name = "SECONDS", default_value = "2s", value_parser = seconds)]
    retry_period: Duration,
    /// How long an answer can be relied upon at most; who gives up a lease waits for so long before that
    #[arg(long, env = "OUTRIGGER_MAX_VALIDITY", value_name = "SECONDS", default_value = "500ms", value_parser = seconds)]
    max_validity: Duration,
    /// Spread elections over processes: stand back for so long, for each election that this process leads, before taking one more; 0: off
    #[arg(long, env = "OUTRIGGER_SPREAD", value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    spread: Duration,
    /// Label the own Pod `outrigger.dev/leader: <election>` while it leads; for a single election, as the label has one value
    #[arg(long, env = "OUTRIGGER_LABEL_POD")]
    label_pod: bool,
    /// The Pod's name; default: the host's
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pod: Option<String>,
    /// The Pod's uid, so that a later Pod of the same name is not labelled
    #[arg(long, env = "POD_UID", value_name = "UID")]
    pod_uid: Option<String>,
    #[command(flatten)]
    credentials: CredentialsArgs,
    #[command(flatten)]
    serving: ServingArgs,
}

impl Args {
    fn durations(&self) -> Result<Durations> {
        let durations = Durations {
            lease: self.lease_duration,
            renew_deadline: self.renew_deadline,
            retry: self.retry_period,
            max_validity: self.max_validity,
        };
        durations.check()
    }

    /// The elections' names, good ones.
    fn elections(&self) -> Result<Vec<&str>> {
        let names: Vec<_> = self.elections.iter().map(|name| name.trim()).collect();
        for name in &names {
            ensure!(
                is_name(name),
                "--election {name:?} is not the name of a Lease; write lower-case letters, digits, '-' and '.', at most 63, with a letter or \
                 a digit at both ends"
            );
        }
        let distinct: HashSet<_> = names.iter().collect();
        ensure!(distinct.len() == names.len(), "--election names an election twice");
        ensure!(
            !self.label_pod || names.len() == 1,
            "--label-pod is for a single election, as the label has one value, and this process is in {}; name one, or leave --label-pod out",
            names.len()
        );
        Ok(names)
    }

    /// The Pod's name.
    fn pod(&self) -> Result<String> {
        match self.pod.as_ref().filter(|pod| !pod.is_empty()) {
            Some(pod) => Ok(pod.clone()),
            None => {
                let host = fs::read_to_string("/proc/sys/kernel/hostname")
                    .context("failed to learn the host's name; give --pod")?;
                Ok(host.trim().to_owned())
            }
        }
    }
}

/// Also good as a label's value.
fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(inner)
        && name.ends_with(inner)
        && name.chars().all(|c| inner(c) || c == '-' || c == '.')
        && !["..", ".-", "-."].iter().any(|wrong| name.contains(wrong))
}

/// Runs until told to stop.
///
/// # Errors
/// When it cannot begin, or its socket fails.
pub async fn run(args: Args) -> Result<()> {
    let (durations, names, pod) = (args.durations()?, args.elections()?, args.pod()?);
    logs::start(args.serving.log_format, &args.serving.log_level)?;
    let stop = stop::on_signal()?;
    let (socket, listen) = serving::bind(args.listen).await?;
    let (client, namespace) = args.credentials.client(durations.call()).await?;
    // A process that starts again is another candidate: what its predecessor held, it does not hold.
    let identity = format!("{pod}_{:016x}", rand::rng().random::<u64>());
    tracing::info!(%listen, identity, namespace, elections = names.join(","), "serving");

    let candidates = Candidates {
        identity,
        durations,
        spread: (!args.spread.is_zero()).then(|| Spread::new(args.spread)),
        client: client.clone(),
        namespace: namespace.clone(),
        metrics: Metrics::default(),
        stop: stop.clone(),
    };
    let mut tasks = JoinSet::new();
    let elections: Vec<_> = names.iter().map(|name| candidates.enter(name, &mut tasks)).collect();
    if args.label_pod {
        let times = (durations.call(), durations.retry);
        let label = Label::new(
            client,
            &namespace,
            (&pod, args.pod_uid),
            Arc::clone(&elections[0]),
            times,
        );
        tasks.spawn(label.keep(stop.clone()));
    }
    // Answers are given until the leases are given up, within the time that there is for stopping.
    let closing = CancellationToken::new();
    let closed = closing.clone();
    let grace = args.serving.shutdown_grace;
    tokio::spawn(async move {
        stop.cancelled().await;
        let _ = timeout(grace, tasks.join_all()).await;
        closed.cancel();
    });
    let registry = Arc::new(candidates.metrics.registry(&elections));
    let known = elections.clone();
    let readiness = move || known.iter().try_for_each(|election| election.readiness());
    let router = http::router(elections, closing.clone()).merge(health::router(Arc::new(readiness), registry));
    serving::serve(socket, router, closing, grace).await
}

/// What the candidates of this process have in common.
struct Candidates {
    identity: String,
    durations: Durations,
    spread: Option<Spread>,
    client: Client,
    namespace: String,
    metrics: Metrics,
    stop: CancellationToken,
}

impl Candidates {
    /// Takes part in the election of this name.
    fn enter(&self, name: &str, tasks: &mut JoinSet<()>) -> Arc<Election> {
        let durations = self.durations;
        let leases = Leases::new(self.client.clone(), &self.namespace, name, durations.call());
        let (election, resignations) = Election::new(leases, &self.identity, durations, self.metrics.clone());
        let election = Arc::new(election);
        let candidate = Candidate::new(
            Arc::clone(&election),
            self.identity.clone(),
            durations,
            self.spread.clone(),
            resignations,
            self.stop.clone(),
        );
        tasks.spawn(candidate.run());
        let followed = Arc::clone(&election);
        // It ends with the process.
        tokio::spawn(async move { follower::follow(&followed, durations.retry).await });
        election
    }
}
