//! Logs on stderr: text for people, JSON for machines. Data goes to stdout and is not for this module.
use anyhow::Context;
use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging. `level` is a level or a filter (`debug`, `outrigger=debug,info`); else RUST_LOG counts, else `info`.
///
/// # Errors
/// When `level` is no filter, or logging was started before.
pub fn start(format: Format, level: Option<&str>) -> anyhow::Result<()> {
    let level = level
        .map(str::to_owned)
        .or_else(|| std::env::var("RUST_LOG").ok())
        .unwrap_or_else(|| "info".into());
    let filter = EnvFilter::try_new(&level)
        .with_context(|| format!("failed to read log level {level:?}; use error, warn, info, debug or trace"))?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match format {
        Format::Text => subscriber
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init(),
        Format::Json => subscriber
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("failed to start logging: {error}"))?;
    log_panics();
    Ok(())
}

/// Where, but not what: a panic's message may quote what a Pod holds.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "an error in outrigger; please report it");
    }));
}
