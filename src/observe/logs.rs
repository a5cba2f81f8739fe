//! Logs on stderr: text for people, JSON for machines. Data goes to stdout and is not for this module.
use super::lines::Lines;
use anyhow::Context;
use clap::ValueEnum;
use std::fmt;
use std::io::IsTerminal;
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::{FormatFields, format::Writer};

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
            .fmt_fields(Plain)
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

/// Fields as text: `answered uid="…" namespace=web`. It writes what `tracing_subscriber` writes, without a style for each name: that
/// took half of what a line costs.
struct Plain;

impl<'writer> FormatFields<'writer> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut line = Line {
            writer,
            begun: false,
            result: Ok(()),
        };
        fields.record(&mut line);
        line.result
    }
}

struct Line<'writer> {
    writer: Writer<'writer>,
    begun: bool,
    result: fmt::Result,
}

impl Line<'_> {
    fn field(&mut self, field: &Field, write: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_err() {
            return;
        }
        self.result = (|| {
            if std::mem::replace(&mut self.begun, true) {
                self.writer.write_char(' ')?;
            }
            if field.name() != "message" {
                self.writer.write_str(field.name())?;
                self.writer.write_char('=')?;
            }
            write(&mut self.writer)
        })();
    }
}

impl Visit for Line<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if field.name() == "message" || !value.bytes().all(is_plain) {
            return self.record_debug(field, &value);
        }
        self.field(field, |line| {
            line.write_char('"')?;
            line.write_str(value)?;
            line.write_char('"')
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.field(field, |line| write!(line, "{value:?}"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_what_tracing_subscriber_writes() {
        let lines = [true, false].map(|plain| {
            let kept = Kept::default();
            let writer = kept.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .without_time()
                .with_writer(move || writer.clone());
            let log = || {
                let (namespace, error) = ("web", io::Error::other("a \u{1b}[31m red\nerror"));
                tracing::info!(uid = "a-1", namespace = %namespace, odd = "q\"\\\n\u{e9}\u{1b}", micros = 7u128, "answered");
                tracing::warn!(?error, %error, count = -3, ready = true, share = 0.5, "a \"message\" with {}", "words");
                tracing::error!(only = "fields", none = "");
                tracing::info!("{}", "nothing\nelse");
            };
            match plain {
                true => tracing::subscriber::with_default(subscriber.fmt_fields(Plain).finish(), log),
                false => tracing::subscriber::with_default(subscriber.finish(), log),
            }
            String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
        });
        assert!(
            lines[0].contains("answered uid=\"a-1\" namespace=web odd="),
            "{}",
            lines[0]
        );
        assert_eq!(lines[0], lines[1]);
    }
}
