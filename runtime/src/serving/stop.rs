//! SIGTERM and SIGINT, as a token that everything can wait for.
use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled at the first SIGTERM or SIGINT. The second ends the process at once.
///
/// # Errors
/// When signals cannot be listened for.
pub fn on_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for signals")?;
    let token = CancellationToken::new();
    let told = token.clone();
    tokio::spawn(async move {
        for time in 0.. {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if time > 0 {
                std::process::exit(1);
            }
            tracing::info!("stopping");
            told.cancel();
        }
    });
    Ok(token)
}
