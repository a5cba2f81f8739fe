//! Logs on stderr: text for people, JSON for machines. Data goes to stdout and is not for this module.
use super::lines::Lines;
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

/// Logging, for as long as this lives: what is still on its way is written when it is dropped.
#[derive(Debug)]
#[must_use = "lines that are not written yet are written when this is dropped"]
pub struct Logging(Lines);

impl Drop for Logging {
    fn drop(&mut self) {
        self.0.flushed();
    }
}

/// Starts logging. `level` is a level or a filter (`debug`, `outrigger=debug,info`); else RUST_LOG counts, else `info`.
///
/// # Errors
/// When `level` is no filter, or logging was started before.
pub fn start(format: Format, level: Option<&str>) -> anyhow::Result<Logging> {
    let level = level
        .map(str::to_owned)
        .or_else(|| std::env::var("RUST_LOG").ok())
        .unwrap_or_else(|| "info".into());
    let filter = EnvFilter::try_new(&level)
        .with_context(|| format!("failed to read log level {level:?}; use error, warn, info, debug or trace"))?;
    let lines = Lines::to(std::io::stderr()).context("failed to start a thread")?;
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone());
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
    log_panics(lines.clone());
    Ok(Logging(lines))
}

/// Where, but not what: a panic's message may quote what a Pod holds.
fn log_panics(lines: Lines) {
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(at, "an error in outrigger; please report it");
        // It may be the last line.
        lines.flushed();
    }));
}
