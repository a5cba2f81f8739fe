//! `outrigger-runtime elect`.
use crate::serving::{self, ServingArgs, health, logs, stop};
use anyhow::Result;
use prometheus_client::registry::Registry;
use std::{net::SocketAddr, sync::Arc};

/// Take part in leader elections, and answer on localhost who leads
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "OUTRIGGER_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4040"
    )]
    listen: SocketAddr,
    #[command(flatten)]
    serving: ServingArgs,
}

/// Runs until told to stop.
///
/// # Errors
/// When it cannot begin, or its socket fails.
pub async fn run(args: Args) -> Result<()> {
    logs::start(args.serving.log_format, &args.serving.log_level)?;
    let stop = stop::on_signal()?;
    let (socket, listen) = serving::bind(args.listen).await?;
    tracing::info!(%listen, "serving");
    let router = health::router(Arc::new(|| Ok(())), Arc::new(Registry::default()));
    serving::serve(socket, router, stop, args.serving.shutdown_grace).await
}
