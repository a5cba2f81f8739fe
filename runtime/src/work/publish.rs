//! Publishing with confirmation, again and again where that helps.
use super::shared::Shared;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, ErrorCode};
use std::error::Error;
use std::time::Duration;
use tokio::time::sleep;

/// What became of a message.
#[derive(Debug)]
pub enum Published {
    Stored(PublishAck),
    /// There is no room for it now.
    Full(String),
    /// It will never be taken.
    Never(String),
}

/// One try.
///
/// # Errors
/// When it may have been stored or not, or may be later.
pub async fn once(shared: &Shared, subject: &str, message: PublishMessage) -> Result<Published, PublishError> {
    let sent = shared.context.send_publish(subject.to_owned(), message).await;
    let confirmed = match sent {
        Ok(sent) => sent.await,
        Err(error) => Err(error),
    };
    let error = match confirmed {
        Ok(ack) => return Ok(Published::Stored(ack)),
        Err(error) => error,
    };
    if error.kind() == PublishErrorKind::MaxPayloadExceeded {
        return Ok(Published::Never("it is larger than the NATS server takes".to_owned()));
    }
    match told(&error) {
        Some(told) if told.error_code() == ErrorCode::STREAM_STORE_FAILED => Ok(Published::Full(told.to_string())),
        Some(told) if told.error_code() == ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => {
            Ok(Published::Never(told.to_string()))
        }
        _ => Err(error),
    }
}

/// Until the server has said what became of it; nothing when the worker must end first. The message must have an id, so that the stream
/// knows it again.
pub async fn confirmed(shared: &Shared, subject: &str, message: impl Fn() -> PublishMessage) -> Option<Published> {
    let mut pause = Duration::from_millis(50);
    loop {
        match once(shared, subject, message()).await {
            Ok(published) => return Some(published),
            Err(error) => tracing::debug!(subject, "failed to publish, trying again: {}", whole(&error)),
        }
        if !rest(shared, &mut pause).await {
            return None;
        }
    }
}

/// Waits, each time longer; false when the worker must end.
pub async fn rest(shared: &Shared, pause: &mut Duration) -> bool {
    tokio::select! {
        () = shared.hard_stop.cancelled() => return false,
        () = sleep(*pause) => {}
    }
    *pause = (*pause * 2).min(Duration::from_secs(2));
    true
}

fn told(error: &PublishError) -> Option<&jetstream::Error> {
    error.source()?.downcast_ref()
}

/// With what caused it.
pub fn whole(error: &dyn Error) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
