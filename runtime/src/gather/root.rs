//! The path of one request: admitted, read, scattered, gathered, merged, answered.
//!
//! When the client goes away, the future of all this is dropped, and with it what the leaves are still asked.
use super::answer::{self, Held, Told};
use super::ask::Asking;
use super::headers;
use super::leaf::Outgoing;
use super::memory::{Memory, Unread, read};
use super::merge::built_in;
use super::merge::container::{Container, Unmerged};
use super::metrics::{Metrics, Outcome};
use super::scatter::{Enough, Gathered, scatter};
use super::shard::Shard;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Who merges, ready to be used.
pub enum Merger {
    /// Bodies one after the other.
    Concat,
    /// A JSON array.
    JsonArray,
    /// The first answer.
    First,
    /// The container.
    Container(Box<Container>),
}

/// All that a request needs.
pub struct Root {
    /// The shards.
    pub shards: Vec<Arc<Shard>>,
    /// How they are asked.
    pub asking: Asking,
    /// When that is enough.
    pub enough: Enough,
    /// How long they may take.
    pub deadline: Duration,
    /// Who merges.
    pub merger: Merger,
    /// Client's headers that are passed on; none: all.
    pub forward: Option<Vec<HeaderName>>,
    /// Methods that leaves may be asked twice with.
    pub repeatable: Vec<Method>,
    /// Places for requests.
    pub places: Semaphore,
    /// Room for bodies.
    pub memory: Arc<Memory>,
    /// The largest body of a request.
    pub most: usize,
    /// How long a client may take to send it.
    pub client_timeout: Duration,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}

type Answer = (Response<Held>, Outcome);

impl Root {
    /// Answers a client.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Held> {
        let mut counted = Counted::begin(&self.metrics);
        let (answer, outcome) = match self.places.try_acquire() {
            Ok(_place) => self.answer(request).await,
            Err(_) => overload("there are too many requests at present; come again in a second"),
        };
        counted.outcome = outcome;
        answer
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let path = match head.uri.path_and_query() {
            Some(path) if path.as_str().starts_with('/') && head.method != Method::CONNECT => path.clone(),
            _ => {
                return refused(
                    StatusCode::BAD_REQUEST,
                    "send a request with a path, as GET /search?q=x",
                );
            }
        };
        let (body, _room) = match timeout(self.client_timeout, read(body, self.most, &self.memory)).await {
            Ok(Ok(read)) => read,
            Ok(Err(unread)) => return self.unread(&unread),
            Err(_) => {
                return refused(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not come in time; send it faster",
                );
            }
        };
        let (gathering_ends, all_ends) = self.ends(&head);
        let outgoing = Outgoing {
            headers: headers::forwarded(&head.headers, self.forward.as_deref()),
            may_repeat: self.repeatable.contains(&head.method),
            method: head.method,
            path,
            body,
            deadline: gathering_ends,
        };
        let gathered = scatter(&self.asking, &self.shards, &outgoing, self.enough).await;
        self.merge(&outgoing, gathered, all_ends).await
    }

    /// When gathering ends and when all does. Of the time that the client grants, a part is left for merging.
    fn ends(&self, head: &Parts) -> (Instant, Instant) {
        let now = Instant::now();
        let merging = match &self.merger {
            Merger::Container(container) => container.timeout,
            _ => Duration::ZERO,
        };
        let all = self.deadline + merging;
        let granted = head.headers.get(&self.asking.leaves.deadline_header);
        let granted = granted
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_millis);
        match granted {
            Some(granted) if granted < all => {
                let left = granted - merging.min(granted / 4);
                (now + left.min(self.deadline), now + granted)
            }
            _ => (now + self.deadline, now + all),
        }
    }

    async fn merge(&self, outgoing: &Outgoing, mut gathered: Gathered, ends: Instant) -> Answer {
        if matches!(self.merger, Merger::JsonArray) && outgoing.method != Method::HEAD {
            built_in::only_json(&mut gathered);
        }
        let enough = self.enough.required;
        if gathered.answers().count() < enough {
            return (answer::too_few(&gathered, enough), Outcome::TooFew);
        }
        let told = Told::of(&gathered);
        let outcome = if told.is_partial() {
            Outcome::Partial
        } else {
            Outcome::Complete
        };
        match self.merged(outgoing, gathered, ends).await {
            Ok(merged) => (answer::merged(merged, &told), outcome),
            Err(why) => {
                tracing::debug!(%why, "not merged");
                let outcome = if matches!(why, Unmerged::NoRoom) {
                    Outcome::Overload
                } else {
                    Outcome::Unmerged
                };
                (answer::unmerged(&why, &told), outcome)
            }
        }
    }

    async fn merged(
        &self,
        outgoing: &Outgoing,
        gathered: Gathered,
        ends: Instant,
    ) -> Result<built_in::Merged, Unmerged> {
        let room = || {
            let mut room = self.memory.room();
            room.grow(built_in::size(&gathered))
                .then_some(room)
                .ok_or(Unmerged::NoRoom)
        };
        match &self.merger {
            Merger::Concat => Ok(built_in::concat(&gathered, room()?)),
            Merger::JsonArray => Ok(built_in::json_array(&gathered, room()?)),
            Merger::First => built_in::first(gathered).ok_or(Unmerged::Broken),
            Merger::Container(container) => {
                let start = Instant::now();
                let merged = container.merge(outgoing, gathered, ends).await;
                self.metrics.merged(start.elapsed());
                merged
            }
        }
    }

    fn unread(&self, unread: &Unread) -> Answer {
        match unread {
            Unread::TooLarge => {
                let text = format!("the body has more than {} bytes", self.most);
                refused(StatusCode::PAYLOAD_TOO_LARGE, &text)
            }
            Unread::NoRoom => overload("there is no room for the body at present; come again in a second"),
            Unread::Broken => refused(StatusCode::BAD_REQUEST, "the body ended before its end"),
        }
    }
}

fn refused(status: StatusCode, text: &str) -> Answer {
    (answer::error(status, text), Outcome::Refused)
}

fn overload(text: &str) -> Answer {
    (answer::error(StatusCode::SERVICE_UNAVAILABLE, text), Outcome::Overload)
}

/// A request in progress; where it is dropped before its end, the client has gone.
struct Counted<'a> {
    metrics: &'a Metrics,
    start: Instant,
    outcome: Outcome,
}

impl<'a> Counted<'a> {
    fn begin(metrics: &'a Metrics) -> Counted<'a> {
        metrics.in_flight.inc();
        Counted {
            metrics,
            start: Instant::now(),
            outcome: Outcome::Cancelled,
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.request_done(self.outcome, self.start.elapsed());
    }
}
