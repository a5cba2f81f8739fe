//! What a caller may ask of this process: how large, how slow, how many at once; and how it is told no.
//!
//! The port is open to every Pod of the cluster, so nothing here trusts a header further than its bound.
use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::review::ReviewError;

/// The unit in which the room for bodies is counted out, in bytes.
const SLOT: usize = 16 * 1024;
/// The first bytes of every body need no room: nobody's large bodies can shut out the ordinary ones, which are smaller than
/// this. What they add up to is bounded by the number of connections.
const FREE: usize = 64 * 1024;
/// A body that is refused is still read, up to this many bytes …
const DISCARD_BYTES: usize = 16 * 1024 * 1024;
/// … and this long: a client that is still writing would see a reset connection instead of the answer.
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Bounds on request bodies.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body: usize,
    /// Longest time for a body to arrive; `?timeout=` can only shorten it.
    pub body_time: Duration,
    room: Arc<Semaphore>,
}

/// A whole body, and the room that it takes.
#[derive(Debug)]
pub struct Accepted {
    /// The body.
    pub bytes: Bytes,
    /// When nobody waits for the answer any more, or ought to.
    pub deadline: Instant,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a request is not looked at, or cannot be answered with a review.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// 415.
    #[error("the content type is not application/json; send the AdmissionReview as JSON")]
    ContentType,
    /// 415.
    #[error("the body is compressed; send it without Content-Encoding")]
    ContentEncoding,
    /// 413.
    #[error("the body is larger than {0} bytes; the API server's own limit for an object is 3 MiB")]
    TooLarge(usize),
    /// 429, to be tried again.
    #[error("too many reviews at once; try again in a second")]
    Busy,
    /// 408.
    #[error("the body did not arrive in time; send it within {0:?}")]
    Slow(Duration),
    /// 503, to be tried again.
    #[error("what the namespace is like could not be read in time; try again in a second")]
    UnknownNamespace,
    /// 503, to be tried again.
    #[error("policies are not loaded yet; try again in a second")]
    NotLoaded,
    /// 400.
    #[error("the body broke off; send as many bytes as announced")]
    BrokenOff,
    /// 400.
    #[error(transparent)]
    Review(#[from] ReviewError),
}

impl Rejection {
    /// From a closed set, so that it can label a metric.
    pub fn reason(&self) -> &'static str {
        match self {
            Rejection::ContentType => "content_type",
            Rejection::ContentEncoding => "content_encoding",
            Rejection::TooLarge(_) => "too_large",
            Rejection::Busy => "busy",
            Rejection::Slow(_) => "slow",
            Rejection::UnknownNamespace => "unknown_namespace",
            Rejection::NotLoaded => "not_loaded",
            Rejection::BrokenOff => "broken_off",
            Rejection::Review(_) => "malformed",
        }
    }

    /// Every [`Rejection::reason`].
    pub const REASONS: [&'static str; 9] = [
        "content_type",
        "content_encoding",
        "too_large",
        "busy",
        "slow",
        "unknown_namespace",
        "not_loaded",
        "broken_off",
        "malformed",
    ];

    fn status(&self) -> StatusCode {
        match self {
            Rejection::ContentType | Rejection::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Rejection::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Rejection::Busy => StatusCode::TOO_MANY_REQUESTS,
            Rejection::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            Rejection::UnknownNamespace | Rejection::NotLoaded => StatusCode::SERVICE_UNAVAILABLE,
            Rejection::BrokenOff | Rejection::Review(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if matches!(
            self,
            Rejection::Busy | Rejection::UnknownNamespace | Rejection::NotLoaded
        ) {
            // The API server tries a 429 or a 5xx again only when it is told when.
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl Default for Limits {
    /// 7 MiB a body (an object and its old version of 3 MiB each, and the envelope), 10 s, 32 MiB for all bodies.
    fn default() -> Self {
        Limits::new(7 << 20, Duration::from_secs(10), 32 << 20)
    }
}

impl Limits {
    /// Bounds for one body, and `room` bytes for all bodies that are held at once.
    pub fn new(body: usize, body_time: Duration, room: usize) -> Self {
        Limits {
            body,
            body_time,
            room: Arc::new(Semaphore::new(room / SLOT)),
        }
    }

    /// Reads the body of `request`.
    ///
    /// # Errors
    /// When a header or the body breaks a bound.
    pub async fn read(&self, request: Request) -> Result<Accepted, Rejection> {
        let time = asked_timeout(request.uri().query()).map_or(self.body_time, |asked| asked.min(self.body_time));
        let deadline = Instant::now() + time;
        let (head, mut body) = request.into_parts();
        let read = async {
            check_media(&head.headers)?;
            self.collect(&mut body, announced_length(&head.headers), deadline).await
        };
        let outcome = timeout_at(deadline, read).await.unwrap_or(Err(Rejection::Slow(time)));
        if matches!(
            outcome,
            Err(Rejection::TooLarge(_) | Rejection::Busy | Rejection::ContentType | Rejection::ContentEncoding)
        ) {
            discard(&mut body, deadline.min(Instant::now() + DISCARD_TIME)).await;
        }
        outcome
    }

    async fn collect(
        &self,
        body: &mut Body,
        announced: Option<usize>,
        deadline: Instant,
    ) -> Result<Accepted, Rejection> {
        if announced.is_some_and(|length| length > self.body) {
            return Err(Rejection::TooLarge(self.body));
        }
        let mut room = None;
        let first = next(body).await?.unwrap_or_default();
        // Most bodies come in one piece, which needs no copy.
        if Some(first.len()) == announced {
            self.grow(&mut room, first.len(), first.len())?;
            return Ok(Accepted {
                bytes: first,
                deadline,
                _room: room,
            });
        }
        // What is announced is a claim: memory goes to what has come, and is never more than there is room for.
        let largest = announced.unwrap_or(self.body);
        let mut pieces = Pieces::default();
        let mut more = Some(first);
        while let Some(bytes) = more {
            let length = pieces.length + bytes.len();
            if length > self.body {
                return Err(Rejection::TooLarge(self.body));
            }
            let held = self.grow(&mut room, length, largest)?;
            pieces.add(&bytes, held.min(largest));
            more = next(body).await?;
        }
        Ok(Accepted {
            bytes: pieces.into(),
            deadline,
            _room: room,
        })
    }

    fn take(&self, length: usize) -> Result<OwnedSemaphorePermit, Rejection> {
        let slots = u32::try_from(length.div_ceil(SLOT).max(1)).map_err(|_| Rejection::Busy)?;
        Arc::clone(&self.room)
            .try_acquire_many_owned(slots)
            .map_err(|_| Rejection::Busy)
    }

    /// Sees to it that there is room for `length` bytes, and returns for how many there is. Room doubles, up to `largest`,
    /// so that there are few pieces.
    fn grow(&self, room: &mut Option<OwnedSemaphorePermit>, length: usize, largest: usize) -> Result<usize, Rejection> {
        let held = FREE + room.as_ref().map_or(0, |room| room.num_permits() * SLOT);
        if length <= held {
            return Ok(held);
        }
        let more = self.take((2 * held).min(largest).max(length) - held)?;
        let taken = more.num_permits() * SLOT;
        match room {
            Some(room) => room.merge(more),
            None => *room = Some(more),
        }
        Ok(held + taken)
    }
}

/// A body as it comes. It grows by pieces: one piece that moves as it grows would leave behind what it was in, which the
/// allocator keeps for a while.
#[derive(Default)]
struct Pieces {
    pieces: Vec<Vec<u8>>,
    length: usize,
}

impl Pieces {
    /// Adds bytes. If they need another piece, all pieces together hold `capacity` bytes then.
    fn add(&mut self, bytes: &[u8], capacity: usize) {
        let mut rest = bytes;
        if let Some(last) = self.pieces.last_mut() {
            let spare = last.capacity() - last.len();
            let (fits, more) = bytes.split_at(spare.min(bytes.len()));
            last.extend_from_slice(fits);
            rest = more;
        }
        if !rest.is_empty() {
            let full = self.length + bytes.len() - rest.len();
            let mut piece = Vec::with_capacity(capacity.saturating_sub(full).max(rest.len()));
            piece.extend_from_slice(rest);
            self.pieces.push(piece);
        }
        self.length += bytes.len();
    }
}

impl From<Pieces> for Bytes {
    fn from(Pieces { mut pieces, .. }: Pieces) -> Bytes {
        match pieces.len() {
            1 => pieces.swap_remove(0).into(),
            _ => pieces.concat().into(),
        }
    }
}

/// Milliseconds matter little here: `?timeout=` comes in whole seconds, as `5s`.
fn asked_timeout(query: Option<&str>) -> Option<Duration> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    value.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn check_media(headers: &HeaderMap) -> Result<(), Rejection> {
    let is = |value: &HeaderValue, expected: &str| {
        let media = value.to_str().unwrap_or("").split(';').next().unwrap_or("");
        media.trim().eq_ignore_ascii_case(expected)
    };
    if headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|value| !is(value, "identity"))
    {
        return Err(Rejection::ContentEncoding);
    }
    if headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| !is(value, "application/json"))
    {
        return Err(Rejection::ContentType);
    }
    Ok(())
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, Rejection> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Rejection::BrokenOff)?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

async fn discard(body: &mut Body, deadline: Instant) {
    let drain = async {
        let mut seen = 0;
        while let Ok(Some(piece)) = next(body).await {
            seen += piece.len();
            if seen > DISCARD_BYTES {
                return;
            }
        }
    };
    let _ = timeout_at(deadline, drain).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)], body: &[u8]) -> Request {
        let mut builder = Request::post("/mutate?timeout=5s");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::from(body.to_vec())).unwrap()
    }

    #[tokio::test]
    async fn only_plain_json_is_read() {
        let limits = Limits::default();
        for (headers, reason) in [
            (vec![("content-type", "application/json; charset=utf-8")], None),
            (
                vec![("content-type", "Application/JSON"), ("content-encoding", "identity")],
                None,
            ),
            (vec![], None),
            (vec![("content-type", "text/json")], Some("content_type")),
            (
                vec![("content-type", "application/json"), ("content-encoding", "gzip")],
                Some("content_encoding"),
            ),
        ] {
            let outcome = limits.read(request(&headers, b"{}")).await;
            assert_eq!(outcome.err().map(|rejection| rejection.reason()), reason, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn room_is_taken_for_as_long_as_a_body_is_held_and_no_longer() {
        let most = FREE + 4 * SLOT;
        let limits = Limits::new(most, Duration::from_secs(1), 4 * SLOT);
        let length = FREE + 3 * SLOT;
        let announced = length.to_string();
        let large = || request(&[("content-length", announced.as_str())], &vec![b' '; length]);
        let held = limits.read(large()).await.unwrap();
        assert_eq!(limits.read(large()).await.unwrap_err().reason(), "busy");
        assert!(limits.read(request(&[], &vec![b' '; FREE])).await.is_ok());
        drop(held);
        assert!(limits.read(large()).await.is_ok());
        // Without Content-Length room is taken as the body comes in.
        assert!(limits.read(request(&[], &vec![b' '; most])).await.is_ok());
        let excess = limits.read(request(&[], &vec![b' '; most + 1])).await;
        assert_eq!(excess.unwrap_err().reason(), "too_large");
        assert_eq!(limits.room.available_permits(), 4);
    }

    #[test]
    fn a_body_is_whole_however_it_comes_and_takes_no_more_than_its_room() {
        let body: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let limits = Limits::new(body.len(), Duration::from_secs(1), body.len());
        for size in [1, 1_000, FREE, FREE + 1, 300_000, body.len()] {
            let (mut pieces, mut room) = (Pieces::default(), None);
            for bytes in body.chunks(size) {
                let length = pieces.length + bytes.len();
                let held = limits.grow(&mut room, length, body.len()).unwrap();
                pieces.add(bytes, held);
                let taken: usize = pieces.pieces.iter().map(Vec::capacity).sum();
                assert!(taken <= held, "{taken} of {held}");
            }
            assert!(pieces.pieces.len() < 10);
            assert_eq!(Bytes::from(pieces), body);
        }
    }

    #[test]
    fn the_timeout_is_read_as_the_api_server_writes_it() {
        assert_eq!(asked_timeout(Some("timeout=5s")), Some(Duration::from_secs(5)));
        assert_eq!(asked_timeout(Some("a=b&timeout=30s")), Some(Duration::from_secs(30)));
        for query in [
            None,
            Some(""),
            Some("timeout=x"),
            Some("timeout=-1s"),
            Some("timeout=5"),
        ] {
            assert_eq!(asked_timeout(query), None, "{query:?}");
        }
    }
}
