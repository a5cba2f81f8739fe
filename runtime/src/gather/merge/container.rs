//! The container that merges: it gets the answers in one POST, and what it answers is what the client gets.
use super::built_in::Merged;
use super::{Format, json, multipart};
use crate::gather::headers::{self, METHOD, MISSING, PATH, SHARDS};
use crate::gather::leaf::{Http, Outgoing, milliseconds_until};
use crate::gather::memory::{Memory, Room, Unread, read};
use crate::gather::scatter::Gathered;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::time::timeout_at;

/// The container.
pub struct Container {
    /// Where it is.
    pub uri: Uri,
    /// What it gets.
    pub format: Format,
    /// How long it may take.
    pub timeout: Duration,
    /// How much it may answer.
    pub most: usize,
    /// The connections to it.
    pub http: Http,
    /// Room for what it gets and answers.
    pub memory: Arc<Memory>,
    /// Tells how many milliseconds are left.
    pub deadline_header: HeaderName,
}

/// Why there is no merged answer.
#[derive(Debug, Error)]
pub enum Unmerged {
    /// Nobody listens.
    #[error("the merging container at {0} cannot be reached; is it started, and does it listen there?")]
    Connect(Uri),
    /// Too slow.
    #[error("the merging container has not answered within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The connection broke, or what came is no HTTP.
    #[error("the merging container has not answered with whole and valid HTTP")]
    Broken,
    /// Too large.
    #[error("the merging container's answer has more than {0} bytes")]
    TooLarge(usize),
    /// No room for what it gets or answers.
    #[error("there is no room at present for what is merged")]
    NoRoom,
}

impl Container {
    /// Has the answers merged, by `deadline` at the latest.
    ///
    /// # Errors
    /// With the reason, which is the container's fault, or for lack of room.
    pub async fn merge(&self, outgoing: &Outgoing, gathered: Gathered, deadline: Instant) -> Result<Merged, Unmerged> {
        let start = Instant::now();
        let deadline = deadline.min(start + self.timeout);
        let mut room = self.memory.room();
        let request = self.request(outgoing, &gathered, deadline, &mut room)?;
        // What was written is enough from here on.
        drop(gathered);
        let answer = async {
            let answer = self
                .http
                .request(request)
                .await
                .map_err(|error| match error.is_connect() {
                    true => Unmerged::Connect(self.uri.clone()),
                    false => Unmerged::Broken,
                })?;
            let (mut head, body) = answer.into_parts();
            let (body, room) = read(body, self.most, &self.memory)
                .await
                .map_err(|unread| match unread {
                    Unread::TooLarge => Unmerged::TooLarge(self.most),
                    Unread::NoRoom => Unmerged::NoRoom,
                    Unread::Broken => Unmerged::Broken,
                })?;
            headers::end_to_end(&mut head.headers);
            let merged = Merged {
                status: head.status,
                headers: head.headers,
                body,
                room,
            };
            Ok(merged)
        };
        let late = |_| Unmerged::Timeout(deadline - start);
        timeout_at(deadline.into(), answer).await.map_err(late)?
    }

    fn request(
        &self,
        outgoing: &Outgoing,
        gathered: &Gathered,
        deadline: Instant,
        room: &mut Room,
    ) -> Result<Request<Full<Bytes>>, Unmerged> {
        let bytes: usize = gathered.answers().map(|(_, part)| part.body.len()).sum();
        if !room.grow(bytes) {
            return Err(Unmerged::NoRoom);
        }
        let (body, media) = match self.format {
            Format::Json => {
                let array = json::array(gathered.answers()).map_err(|_| Unmerged::Broken)?;
                (array, "application/json".to_owned())
            }
            Format::Multipart => multipart::mixed(gathered.answers()),
        };
        // Escapes and base64 make it larger than it was.
        if !room.grow(body.len().saturating_sub(bytes)) {
            return Err(Unmerged::NoRoom);
        }
        let mut headers = outgoing.headers.clone();
        headers.remove(header::CONTENT_ENCODING);
        let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Unmerged::Broken);
        headers.insert(header::CONTENT_TYPE, value(&media)?);
        headers.insert(METHOD, value(outgoing.method.as_str())?);
        headers.insert(PATH, value(outgoing.path.as_str())?);
        headers.insert(SHARDS, value(&gathered.count())?);
        let missing = gathered.list_of_missing();
        headers.remove(MISSING);
        if !missing.is_empty() {
            headers.insert(MISSING, value(&missing)?);
        }
        headers.insert(self.deadline_header.clone(), milliseconds_until(deadline));
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = headers;
        Ok(request)
    }
}
