//! `outrigger-runtime work`: a worker of a queue in NATS JetStream. It takes items, hands each to the application beside it, publishes the
//! answer as the item's result, and sees to what fails.
//!
//! What it promises: an item that is in the queue has a result or a dead letter in the end, at least once. It may have more than one where
//! a worker or a server dies between two steps; they carry the same id then.
//!
//! An item's way: [`pull`] asks for it, [`item`] carries it through, [`application`] does the work.
mod api;
mod application;
mod args;
mod attempts;
mod backoff;
mod connection;
mod dead;
mod item;
mod metrics;
mod names;
mod publish;
mod pull;
mod shared;
mod status;
mod streams;

pub use args::Args;

use crate::serving::{self, health, logs, stop};
use anyhow::{Context, Result};
use application::Application;
use metrics::Metrics;
use shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Once all is settled, nobody should ask for more.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// Runs until told to stop.
///
/// # Errors
/// When it cannot begin, or its socket fails.
pub async fn run(args: Args) -> Result<()> {
    args.check()?;
    logs::start(args.serving.log_format, &args.serving.log_level)?;
    let stop = stop::on_signal()?;
    let (socket, listen) = serving::bind(args.listen).await?;
    let application = Application::new(&args.handing)?.context("nothing takes the items")?;
    let connected = connection::Connected::default();
    let name = format!("outrigger work {}", args.queue);
    let outage = connection::Outage::default();
    let client = connection::connect(&args.server, &name, Arc::clone(&connected), outage.clone()).await?;
    let (metrics, registry) = Metrics::new();
    let shared = Arc::new(Shared::new(
        args,
        (client, outage),
        application,
        metrics,
        connected,
        stop,
    ));
    tracing::info!(%listen, queue = shared.args.queue, "serving");

    let readiness = Arc::clone(&shared);
    let health = health::router(Arc::new(move || readiness.readiness()), Arc::new(registry));
    let router = api::router(Arc::clone(&shared)).merge(health);
    tokio::spawn(status::watch(Arc::clone(&shared)));
    // The application may still have to enqueue something for the items that it has; so this is served until they are settled.
    let settled = CancellationToken::new();
    let serving = serving::serve(socket, router, settled.clone(), LAST_CALLS);
    let working = async {
        pull::run(shared).await;
        settled.cancel();
    };
    let (served, ()) = tokio::join!(serving, working);
    served
}
