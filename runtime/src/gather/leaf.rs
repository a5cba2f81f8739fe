//! One exchange with one replica: sends the request, reads the whole answer, and tells the replica how it was.
//!
//! Dropping the future ends the exchange: the connection is closed, so that the leaf sees that nobody waits any more.
use super::memory::{Memory, Room, Unread, read};
use super::missing::Missing;
use super::numbers::Statuses;
use super::replica::Replica;
use super::shard::Shard;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A longer head of an answer is refused.
const LONGEST_HEAD: usize = 64 * 1024;

/// A client with connections that are used again.
pub type Http = Client<HttpConnector, Full<Bytes>>;

/// A client for leaves and the merging container.
pub fn http(connect_timeout: Duration, keep_idle: Duration) -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(keep_idle)
        .http1_max_buf_size(LONGEST_HEAD)
        .build(connector)
}

/// How leaves are talked to.
pub struct Leaves {
    /// The connections.
    pub http: Http,
    /// What is an answer.
    pub accept: Statuses,
    /// The largest answer.
    pub most: usize,
    /// Room for answers.
    pub memory: Arc<Memory>,
    /// Tells how many milliseconds are left.
    pub deadline_header: HeaderName,
    /// A replica that had less time than this until the deadline is not at fault: the client granted little, or it was asked late.
    pub fair: Duration,
}

/// What every shard is sent.
pub struct Outgoing {
    /// The client's.
    pub method: Method,
    /// The client's.
    pub path: PathAndQuery,
    /// Those that are passed on.
    pub headers: HeaderMap,
    /// The client's.
    pub body: Bytes,
    /// By then the answers must be there.
    pub deadline: Instant,
    /// Whether a leaf may get it twice.
    pub may_repeat: bool,
}

/// The answer of a shard.
#[derive(Debug)]
pub struct Part {
    /// One that is accepted.
    pub status: StatusCode,
    /// End-to-end ones.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    /// Held as long as the body.
    pub room: Room,
}

/// Milliseconds until then, rounded down.
pub fn milliseconds_until(deadline: Instant) -> HeaderValue {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    HeaderValue::from(u64::try_from(left).unwrap_or(u64::MAX))
}

impl Leaves {
    /// Asks one replica.
    ///
    /// # Errors
    /// With the reason why there is no answer of it.
    pub async fn ask(&self, shard: &Shard, replica: Arc<Replica>, outgoing: &Outgoing) -> Result<Part, Missing> {
        let exchange = Exchange::begin(shard, replica, outgoing.deadline, self.fair);
        let request = self.request(&exchange.replica, outgoing).ok_or(Missing::Broken);
        let result = match request {
            Ok(request) => self.answer(request).await,
            Err(missing) => Err(missing),
        };
        exchange.end(&result);
        result
    }

    fn request(&self, replica: &Replica, outgoing: &Outgoing) -> Option<Request<Full<Bytes>>> {
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(replica.authority.clone());
        let uri = uri.path_and_query(outgoing.path.clone()).build().ok()?;
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = outgoing.method.clone();
        *request.uri_mut() = uri;
        let mut headers = outgoing.headers.clone();
        headers.insert(header::HOST, replica.host.clone());
        headers.insert(self.deadline_header.clone(), milliseconds_until(outgoing.deadline));
        *request.headers_mut() = headers;
        Some(request)
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Part, Missing> {
        let (mut head, body) = match self.http.request(request).await {
            Ok(answer) => answer.into_parts(),
            Err(error) if error.is_connect() => return Err(Missing::Connect),
            Err(_) => return Err(Missing::Broken),
        };
        if !self.accept.contain(head.status) {
            return Err(Missing::Status(head.status));
        }
        let (body, room) = read(body, self.most, &self.memory)
            .await
            .map_err(|unread| match unread {
                Unread::TooLarge => Missing::TooLarge,
                Unread::NoRoom => Missing::Overload,
                Unread::Broken => Missing::Broken,
            })?;
        super::headers::end_to_end(&mut head.headers);
        Ok(Part {
            status: head.status,
            headers: head.headers,
            body,
            room,
        })
    }
}

/// An exchange that goes on; where it is dropped before its end, the replica learns that it was slow.
struct Exchange<'a> {
    shard: &'a Shard,
    replica: Arc<Replica>,
    start: Instant,
    deadline: Instant,
    fair: Duration,
    ended: bool,
}

impl<'a> Exchange<'a> {
    fn begin(shard: &'a Shard, replica: Arc<Replica>, deadline: Instant, fair: Duration) -> Exchange<'a> {
        replica.sent();
        Exchange {
            shard,
            replica,
            start: Instant::now(),
            deadline,
            fair,
            ended: false,
        }
    }

    fn end(mut self, result: &Result<Part, Missing>) {
        self.ended = true;
        let now = Instant::now();
        match result {
            Err(missing) if missing.is_failure_of_replica() => self.failed(now, &missing.to_string()),
            Err(Missing::Overload) => {}
            _ => {
                self.shard.latencies.record(now - self.start);
                self.replica.succeeded(now - self.start, now);
            }
        }
    }

    fn failed(&self, now: Instant, why: &str) {
        if self.replica.failed(now - self.start, self.shard.ejection(), now) {
            let (shard, replica) = (&self.shard.name, self.replica.address);
            tracing::warn!(%shard, %replica, %why, "a replica is ejected");
        }
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        self.replica.done();
        if self.ended {
            return;
        }
        let now = Instant::now();
        if now >= self.deadline && now - self.start >= self.fair {
            self.failed(now, "timeout");
        } else {
            self.replica.was_slower_than(now - self.start, now);
        }
        self.shard.latencies.record(now - self.start);
    }
}
