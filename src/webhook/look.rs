//! How a request is decided about: by the present snapshot, and once more when that lacked the namespace.
use super::{Webhook, limits::Rejection, namespaces::Unreadable};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use outrigger_engine::Snapshot;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The longest wait for facts about a namespace; the call's own deadline may be sooner. What is left of it is for the API
/// server to try again.
const READING_TIME: Duration = Duration::from_secs(2);

/// What a look at a review comes to.
pub(super) enum Looked {
    Answered(Response),
    /// The snapshot does not have this namespace.
    Lacking(String),
}

impl Webhook {
    /// Has `look` answer by a snapshot. Its second argument says whether it may find that facts are lacking: then it is
    /// asked again, with what could be had of them before `deadline`.
    pub(super) async fn answer_by(
        &self,
        deadline: Instant,
        look: impl Fn(&Snapshot, bool) -> Result<Looked, Rejection>,
    ) -> Result<Response, Rejection> {
        let may_lack = self.namespaces.is_some();
        let name = match look(&self.snapshot.load(), may_lack)? {
            Looked::Answered(response) => return Ok(response),
            Looked::Lacking(name) => name,
        };
        let snapshot = self.knowing(&name, deadline).await?;
        match look(&snapshot, false)? {
            Looked::Answered(response) => Ok(response),
            Looked::Lacking(_) => Err(Rejection::UnknownNamespace),
        }
    }

    /// The snapshot, with facts about a namespace that it lacked.
    async fn knowing(&self, name: &str, deadline: Instant) -> Result<Snapshot, Rejection> {
        let deadline = deadline.min(Instant::now() + READING_TIME);
        let read = match &self.namespaces {
            Some(namespaces) => timeout_at(deadline, namespaces.read(name)).await,
            None => Ok(Ok(None)),
        };
        // It may have been replaced meanwhile, by one that has the namespace.
        let snapshot = Snapshot::clone(&self.snapshot.load());
        match read {
            _ if !snapshot.lacks(name) => Ok(snapshot),
            Ok(Ok(Some(namespace))) => Ok(snapshot.with_newcomer(namespace)),
            // Nothing can be created in a namespace that is not there; whoever asks gets an answer all the same.
            Ok(Ok(None)) => Ok(snapshot),
            Ok(Err(Unreadable)) | Err(_) => Err(Rejection::UnknownNamespace),
        }
    }

    /// A panic costs this call alone, and is counted; the API server then does as its `failurePolicy` says.
    pub(super) fn guarded<T>(&self, decide: impl FnOnce() -> T) -> Option<T> {
        let decided = catch_unwind(AssertUnwindSafe(decide)).ok();
        if decided.is_none() {
            self.metrics.panicked();
        }
        decided
    }

    /// Counts what is not answered with a review. While the process is stopping, the caller is told to close the connection:
    /// it opens its next one to another replica, instead of meeting the end of this one.
    pub(super) fn respond(&self, answer: Result<Response, Rejection>) -> Response {
        let mut response = answer.unwrap_or_else(|rejection| {
            self.metrics.rejected(rejection.reason());
            tracing::debug!(reason = rejection.reason(), "rejected a request");
            rejection.into_response()
        });
        if self.health.as_ref().is_some_and(|health| health.is_stopping()) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }
}

/// What is said after a panic.
pub(super) fn failed() -> Response {
    let said = "failed to decide: an error in outrigger\n";
    (StatusCode::INTERNAL_SERVER_ERROR, said).into_response()
}

pub(super) fn json(answer: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(answer));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
