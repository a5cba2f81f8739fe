//! The streams and the consumer: what they are called, and how they are made where they do not exist.
//!
//! | stream | holds | when it is full |
//! |---|---|---|
//! | items | what waits; an item is removed when its worker confirms it | refuses new ones |
//! | results | the application's answers | refuses new ones, and items wait |
//! | dead | items that failed for good, each under a subject of its own | refuses new ones, and items are tried again |
//! | attempts | of items that have failed: how often ([`super::attempts`]) | forgets the oldest |
use super::args::{Args, Results, StreamArgs};
use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use std::time::Duration;

/// Counts of attempts are forgotten after this time.
const ATTEMPTS_AGE: Duration = Duration::from_secs(30 * 86_400);

/// What everything is called.
#[derive(Debug, Clone)]
pub struct Names {
    pub items: String,
    pub subject: String,
    pub consumer: String,
    /// None: nobody wants results.
    pub results: Option<(String, String)>,
    /// The stream, and the beginning of its subjects.
    pub dead: (String, String),
    pub attempts: (String, String),
}

impl Names {
    pub fn new(args: &Args) -> Names {
        let (queue, streams) = (&args.queue, &args.streams);
        let or = |given: &Option<String>, default: String| given.clone().unwrap_or(default);
        let results = (
            or(&streams.results_stream, format!("{queue}-results")),
            or(&streams.results_subject, format!("{queue}.results")),
        );
        Names {
            items: or(&streams.stream, queue.clone()),
            subject: or(&streams.subject, format!("{queue}.items")),
            consumer: streams.consumer.clone(),
            results: (args.handing.results == Results::Publish).then_some(results),
            dead: (format!("{queue}-dead"), format!("{queue}.dead")),
            attempts: (format!("{queue}-attempts"), format!("{queue}.attempts")),
        }
    }
}

/// The streams, found or made.
#[derive(Debug)]
pub struct Queue {
    pub items: Stream,
    pub consumer: Consumer<pull::Config>,
    pub dead: Stream,
    pub attempts: Stream,
}

impl Queue {
    /// Finds or makes them all.
    ///
    /// # Errors
    /// When NATS is away, or what is there cannot be used; with the way out.
    pub async fn open(context: &Context, names: &Names, limits: &StreamArgs) -> Result<Queue> {
        let items = stream(context, items(names, limits), limits.create).await?;
        check_items(&items, names)?;
        if let Some((name, subject)) = &names.results {
            let results = stream(context, results(name, subject, limits), limits.create).await?;
            check_results(&results, subject);
        }
        let dead = stream(context, dead(&names.dead, limits), limits.create).await?;
        let attempts = stream(context, attempts(&names.attempts, limits), limits.create).await?;
        let consumer = consumer(&items, names, limits).await?;
        Ok(Queue {
            items,
            consumer,
            dead,
            attempts,
        })
    }

    /// After which silence the server gives an item to somebody else.
    pub fn ack_wait(&self) -> Duration {
        let stated = self.consumer.cached_info().config.ack_wait;
        if stated.is_zero() {
            Duration::from_secs(30)
        } else {
            stated
        }
    }
}

async fn stream(context: &Context, config: Config, create: bool) -> Result<Stream> {
    let name = config.name.clone();
    let missing = match context.get_stream(&name).await {
        Ok(found) => return Ok(found),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NOT_FOUND => error,
            _ => return Err(error).with_context(|| format!("failed to look for stream {name}")),
        },
    };
    if !create {
        return Err(missing).with_context(|| format!("stream {name} does not exist; make it, or set --create true"));
    }
    match context.create_stream(config).await {
        Ok(made) => {
            tracing::info!(stream = name, "made the stream");
            Ok(made)
        }
        // Another worker was faster, with other limits.
        Err(error) if exists(&error.kind()) => context
            .get_stream(&name)
            .await
            .with_context(|| format!("failed to look for stream {name}")),
        Err(error) => Err(error).with_context(|| format!("failed to make stream {name}")),
    }
}

fn exists(kind: &CreateStreamErrorKind) -> bool {
    matches!(kind, CreateStreamErrorKind::JetStream(told) if told.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

fn limited(name: &str, subject: String, limits: &StreamArgs) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![subject],
        discard: DiscardPolicy::New,
        num_replicas: limits.replicas.into(),
        max_messages: -1,
        max_messages_per_subject: -1,
        ..Config::default()
    }
}

fn bytes(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn items(names: &Names, limits: &StreamArgs) -> Config {
    Config {
        retention: RetentionPolicy::WorkQueue,
        max_bytes: bytes(limits.max_bytes),
        duplicate_window: limits.duplicate_window,
        description: Some("Items that wait for a worker".to_owned()),
        ..limited(&names.items, names.subject.clone(), limits)
    }
}

fn results(name: &str, subject: &str, limits: &StreamArgs) -> Config {
    Config {
        max_bytes: bytes(limits.results_max_bytes),
        duplicate_window: limits.duplicate_window,
        description: Some("Results of items".to_owned()),
        ..limited(name, subject.to_owned(), limits)
    }
}

fn dead((name, subject): &(String, String), limits: &StreamArgs) -> Config {
    Config {
        max_bytes: bytes(limits.dead_max_bytes),
        duplicate_window: limits.duplicate_window,
        description: Some("Items that failed for good".to_owned()),
        ..limited(name, format!("{subject}.*"), limits)
    }
}

fn attempts((name, subject): &(String, String), limits: &StreamArgs) -> Config {
    Config {
        discard: DiscardPolicy::Old,
        max_messages_per_subject: 1,
        max_bytes: 64 << 20,
        max_age: ATTEMPTS_AGE,
        description: Some("How often items have failed".to_owned()),
        ..limited(name, format!("{subject}.*"), limits)
    }
}

/// A stream that somebody else made must let nothing get lost.
fn check_items(stream: &Stream, names: &Names) -> Result<()> {
    let config = &stream.cached_info().config;
    ensure!(
        config.subjects.iter().any(|pattern| covers(pattern, &names.subject)),
        "stream {} holds {}, but not {}; add it to the stream's subjects, or name another by --subject",
        config.name,
        config.subjects.join(", "),
        names.subject
    );
    if config.retention != RetentionPolicy::WorkQueue {
        tracing::warn!(
            stream = config.name,
            "the stream keeps items after their results are published: its retention is not work queue"
        );
    }
    if config.discard == DiscardPolicy::Old && (config.max_bytes > 0 || config.max_messages > 0) {
        tracing::warn!(
            stream = config.name,
            "when it is full, the stream discards the items that have waited longest; set its discard policy to new"
        );
    }
    Ok(())
}

fn check_results(stream: &Stream, subject: &str) {
    let config = &stream.cached_info().config;
    if !config.subjects.iter().any(|pattern| covers(pattern, subject)) {
        tracing::warn!(
            stream = config.name,
            subject,
            "the stream does not hold the results' subject"
        );
    }
    let bounded = config.max_bytes > 0 || config.max_messages > 0;
    if (config.discard == DiscardPolicy::Old && bounded) || !config.max_age.is_zero() {
        tracing::warn!(stream = config.name, "the stream discards old results, read or not");
    }
}

/// Whether a subject falls under a pattern.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for token in pattern.split('.') {
        match (token, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (same, Some(token)) if same == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

async fn consumer(items: &Stream, names: &Names, limits: &StreamArgs) -> Result<Consumer<pull::Config>> {
    let name = &names.consumer;
    let wanted = pull::Config {
        durable_name: Some(name.clone()),
        description: Some("Shared by the queue's workers".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: limits.ack_wait,
        // Without end: the workers count, so that a killed worker costs nothing (and the server would just stop delivering).
        max_deliver: -1,
        // Items that wait for their next attempt count too, and must not keep the others from being delivered.
        max_ack_pending: -1,
        filter_subject: names.subject.clone(),
        ..pull::Config::default()
    };
    let found = match items.get_consumer::<pull::Config>(name).await {
        Ok(found) => found,
        Err(error) if !limits.create => bail!("failed to find consumer {name}: {error}; make it, or set --create true"),
        Err(_) => items
            .create_consumer(wanted.clone())
            .await
            .with_context(|| format!("failed to make consumer {name}"))?,
    };
    let config = &found.cached_info().config;
    if config.ack_policy != AckPolicy::Explicit {
        bail!(
            "consumer {name} does not want each item to be confirmed; give it the ack policy explicit, or name another by --consumer"
        );
    }
    let same = (config.max_deliver, config.max_ack_pending, config.ack_wait) == (-1, -1, limits.ack_wait);
    if !same && limits.create {
        tracing::info!(consumer = name, "giving the consumer the settings of this worker");
        return items
            .create_consumer(wanted)
            .await
            .with_context(|| format!("failed to change consumer {name}"));
    }
    if config.max_deliver > 0 {
        bail!(
            "consumer {name} stops delivering an item after {} times, so that items would get lost; set its max deliver to -1",
            config.max_deliver
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_a_subject_as_nats_has_it() {
        for (pattern, subject, expected) in [
            ("orders.items", "orders.items", true),
            ("orders.*", "orders.items", true),
            ("orders.>", "orders.items.a", true),
            (">", "orders", true),
            ("orders.>", "orders", false),
            ("orders.*", "orders.items.a", false),
            ("orders", "orders.items", false),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
