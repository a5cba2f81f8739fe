//! Dead letters: items that failed for good, each under a subject of its own, with the reason in its headers.
use super::names::{ATTEMPTS, ITEM, REASON, id, is_among, one_line, token};
use super::publish::{self, Published};
use super::shared::Shared;
use super::streams::Queue;
use anyhow::{Context, Result};
use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::jetstream::stream::RawMessageErrorKind;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is told of one.
#[derive(Debug, Serialize)]
pub struct Letter {
    pub id: String,
    pub reason: String,
    pub attempts: u32,
    pub since: String,
    pub bytes: usize,
    /// Its place among the dead letters.
    pub sequence: u64,
}

/// The letter that is made of an item; `key` is the item's place.
pub fn letter(item: &async_nats::Message, id: &str, key: &str, reason: &str, attempts: u32) -> PublishMessage {
    let mut headers = kept(item.headers.as_ref());
    headers.insert(ITEM, id);
    headers.insert(REASON, one_line(reason));
    headers.insert(ATTEMPTS, attempts.to_string());
    headers.insert(NATS_MESSAGE_ID, format!("dead.{key}"));
    PublishMessage::build().headers(headers).payload(item.payload.clone())
}

/// The user's own headers: those of NATS have an effect where they are published.
fn kept(headers: Option<&HeaderMap>) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let name: &str = name.as_ref();
        if !is_among(name, &[ITEM, REASON, ATTEMPTS]) && !name.to_ascii_lowercase().starts_with("nats-") {
            for value in values {
                kept.append(name, value.clone());
            }
        }
    }
    kept
}

/// The letters from a place on, at most so many.
///
/// # Errors
/// When NATS cannot be asked.
pub async fn list(shared: &Shared, queue: &Queue, after: u64, limit: usize) -> Result<Vec<Letter>> {
    let every = format!("{}.*", shared.names.dead.1);
    let (mut letters, mut place) = (Vec::new(), after + 1);
    while letters.len() < limit {
        match queue.dead.get_first_raw_message_by_subject(&every, place).await {
            Ok(message) => {
                place = message.sequence + 1;
                letters.push(told(&message));
            }
            Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
            Err(error) => return Err(error).context("failed to read dead letters"),
        }
    }
    Ok(letters)
}

fn told(message: &StreamMessage) -> Letter {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    Letter {
        id: id(Some(&message.headers), &message.sequence.to_string()),
        reason: header(REASON).unwrap_or_default(),
        attempts: header(ATTEMPTS).and_then(|text| text.parse().ok()).unwrap_or_default(),
        since: OffsetDateTime::format(message.time, &Rfc3339).unwrap_or_default(),
        bytes: message.payload.len(),
        sequence: message.sequence,
    }
}

/// Puts the item back into the queue, where its attempts begin anew. `None`: there is no such letter.
///
/// # Errors
/// When NATS cannot be asked, or did not confirm.
pub async fn retry(shared: &Shared, queue: &Queue, id: &str) -> Result<Option<Published>> {
    let subject = format!("{}.{}", shared.names.dead.1, token(id));
    let letter = match queue.dead.get_last_raw_message_by_subject(&subject).await {
        Ok(letter) => letter,
        Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => return Ok(None),
        Err(error) => return Err(error).context("failed to read the dead letter"),
    };
    let mut headers = kept(Some(&letter.headers));
    headers.insert(ITEM, id);
    // Its own id may still be in the stream's memory; and who retries twice at a time gets one item.
    let name = format!("retry.{}-{}", letter.sequence, letter.time.unix_timestamp_nanos());
    headers.insert(NATS_MESSAGE_ID, name);
    let message = PublishMessage::build().headers(headers).payload(letter.payload);
    let published = publish::once(shared, &shared.names.subject, message)
        .await
        .context("failed to put the item back into the queue")?;
    if matches!(published, Published::Stored(_)) {
        let deleted = queue.dead.delete_message(letter.sequence).await;
        deleted.context("the item is in the queue again, but its dead letter could not be deleted")?;
    }
    Ok(Some(published))
}
