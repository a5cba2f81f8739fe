//! What clients are answered: what was merged, or in JSON why not.
use super::headers::{MISSING, SHARDS};
use super::memory::Room;
use super::merge::built_in::Merged;
use super::merge::container::Unmerged;
use super::missing::Missing;
use super::scatter::Gathered;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body with the room that it takes: that is free again when the client has it.
#[derive(Debug)]
pub struct Held {
    body: Full<Bytes>,
    _room: Option<Room>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How complete an answer is, as its headers say.
pub struct Told {
    count: String,
    missing: String,
}

impl Told {
    /// Of what was gathered.
    pub fn of(gathered: &Gathered) -> Told {
        Told {
            count: gathered.count(),
            missing: gathered.list_of_missing(),
        }
    }

    /// Whether a shard is missing.
    pub fn is_partial(&self) -> bool {
        !self.missing.is_empty()
    }

    fn put(&self, headers: &mut HeaderMap) {
        // Whatever a leaf or the merging container says of it.
        headers.remove(MISSING);
        headers.remove(SHARDS);
        let lines: [(HeaderName, &str); 2] = [(SHARDS, &self.count), (MISSING, &self.missing)];
        for (name, text) in lines {
            if let Ok(value) = HeaderValue::from_str(text)
                && !text.is_empty()
            {
                headers.insert(name, value);
            }
        }
    }
}

/// What was merged.
pub fn merged(merged: Merged, told: &Told) -> Response<Held> {
    let mut answer = Response::new(Held {
        body: Full::new(merged.body),
        _room: Some(merged.room),
    });
    *answer.status_mut() = merged.status;
    *answer.headers_mut() = merged.headers;
    told.put(answer.headers_mut());
    answer
}

/// Too few shards have answered.
pub fn too_few(gathered: &Gathered, required: usize) -> Response<Held> {
    let any = |wanted: Missing| gathered.missing().any(|(_, missing)| missing == wanted);
    let status = if any(Missing::Overload) {
        StatusCode::SERVICE_UNAVAILABLE
    } else if any(Missing::Timeout) {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::BAD_GATEWAY
    };
    let missing: Map<String, Value> = gathered
        .missing()
        .map(|(name, missing)| (name.to_owned(), Value::from(missing.to_string())))
        .collect();
    let error = format!("{} shards have answered, {required} must", gathered.count());
    let mut answer = error_with(status, json!({"error": error, "missing": missing}));
    Told::of(gathered).put(answer.headers_mut());
    answer
}

/// The merging container has failed.
pub fn unmerged(unmerged: &Unmerged, told: &Told) -> Response<Held> {
    let status = match unmerged {
        Unmerged::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        Unmerged::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
        Unmerged::Connect(_) | Unmerged::Broken | Unmerged::TooLarge(_) => StatusCode::BAD_GATEWAY,
    };
    let mut answer = error(status, &unmerged.to_string());
    told.put(answer.headers_mut());
    answer
}

/// An error, with what to do about it. Where it will pass, it says that too.
pub fn error(status: StatusCode, text: &str) -> Response<Held> {
    error_with(status, json!({"error": text}))
}

fn error_with(status: StatusCode, body: Value) -> Response<Held> {
    let mut answer = Response::new(Held {
        body: Full::from(format!("{body}\n")),
        _room: None,
    });
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
