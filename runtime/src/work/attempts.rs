//! How often an item has failed, kept in a stream of its own.
//!
//! The server counts deliveries, and a delivery to a worker that is killed, or that gives the item back when it stops, is no attempt of the
//! application. So the count is written by the worker that saw the attempt fail, before it gives the item back: one message an item, under
//! `<queue>.attempts.<sequence>-<time>`, the place of the item in its stream and when it came there, which no other item ever has. Items
//! that never failed have none, and cost no look-up, as one that is delivered for the first time cannot have any.
//!
//! Each write states which one it follows, so that two workers that both hold the item (after a pause, say) lose no count. The time before
//! which the item must not be tried again is kept with it: what the server was told may be lost with the server.
use super::streams::Queue;
use anyhow::{Context as _, Result};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::RawMessageErrorKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use time::OffsetDateTime;

/// What is kept of an item.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Record {
    /// Failed ones.
    pub attempts: u32,
    /// Why the last one failed.
    pub reason: String,
    /// Milliseconds since 1970; not to be tried before.
    pub not_before: i64,
    /// Where it stands in the stream; 0: nowhere yet.
    #[serde(skip)]
    revision: u64,
}

impl Record {
    /// How long until it may be tried again.
    pub fn wait(&self) -> Option<Duration> {
        let left = self.not_before - millis(OffsetDateTime::now_utc());
        u64::try_from(left)
            .ok()
            .filter(|left| *left > 0)
            .map(Duration::from_millis)
    }

    /// One more has failed, and the next may come after `wait`.
    pub fn failed(&self, reason: &str, wait: Duration) -> Record {
        Record {
            attempts: self.attempts + 1,
            reason: reason.to_owned(),
            not_before: millis(OffsetDateTime::now_utc() + wait),
            revision: self.revision,
        }
    }
}

fn millis(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// What is known of the item with this key.
///
/// # Errors
/// When NATS cannot be asked.
pub async fn read(queue: &Queue, subject: &str, key: &str) -> Result<Record> {
    let message = match queue
        .attempts
        .get_last_raw_message_by_subject(&format!("{subject}.{key}"))
        .await
    {
        Ok(message) => message,
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(Record::default()),
        Err(error) => return Err(error).context("failed to read an item's attempts"),
    };
    let record: Record = serde_json::from_slice(&message.payload).unwrap_or_default();
    Ok(Record {
        revision: message.sequence,
        ..record
    })
}

/// Keeps the record; false when another worker has written meanwhile, so that it must be read again.
///
/// # Errors
/// When NATS did not confirm it.
pub async fn write(context: &Context, subject: &str, key: &str, record: &Record) -> Result<bool> {
    let message = PublishMessage::build()
        .payload(serde_json::to_vec(record)?.into())
        .expected_last_subject_sequence(record.revision);
    let sent = context.send_publish(format!("{subject}.{key}"), message).await;
    let confirmed = match sent {
        Ok(sent) => sent.await,
        Err(error) => Err(error),
    };
    match confirmed {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(false),
        Err(error) => Err(error).context("failed to write an item's attempts"),
    }
}

/// Forgets the item, which is done. What stays behind by accident is forgotten by its age.
pub async fn forget(queue: &Queue, subject: &str, key: &str) {
    if let Err(error) = queue.attempts.purge().filter(format!("{subject}.{key}")).await {
        tracing::debug!("failed to forget an item's attempts: {error}");
    }
}
