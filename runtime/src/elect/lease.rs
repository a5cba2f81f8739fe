//! Leases in the API server: read, written, watched, and what came of it. It decides nothing.
use super::{
    clock::Instant,
    record::{Record, Unusable},
};
use axum::http::HeaderValue;
use futures_util::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Error,
    api::{PostParams, Request, WatchEvent, WatchParams},
};
use std::{
    fmt,
    future::ready,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use thiserror::Error;
use tokio::time::timeout;

/// A watch ends after so many seconds, so that one whose connection has died unnoticed does not last.
const WATCH_SECONDS: u32 = 60;

/// The header of the W3C's trace context, which OpenTelemetry uses.
pub const TRACEPARENT: &str = "traceparent";

/// The Lease of one election.
pub struct Leases {
    api: Api<Lease>,
    client: Client,
    name: String,
    namespace: String,
    call: Duration,
    contact: Mutex<Option<Instant>>,
}

/// What is done with a Lease, as RBAC calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Get,
    Update,
    Watch,
}

impl fmt::Display for Verb {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Verb::Create => "create",
            Verb::Get => "get",
            Verb::Update => "update",
            Verb::Watch => "watch",
        })
    }
}

/// Why a call did not do what it was to do.
#[derive(Debug, Error)]
pub enum Failure {
    /// Somebody else was faster: the Lease is not what the write was made from.
    #[error("somebody else wrote the Lease first")]
    Conflict,
    /// The Lease, or its namespace, is not there any more.
    #[error("the API server answered: {0}")]
    Gone(String),
    /// The server refused it for want of permission.
    #[error("{0}")]
    Forbidden(String),
    /// Who asks is not known to the server.
    #[error("the API server does not accept the service account's token: {0}")]
    Unauthorized(String),
    /// No answer; a write may have been done nevertheless.
    #[error("the API server did not answer within {0:?}")]
    Late(Duration),
    /// The answer says nothing about the Lease.
    #[error("the API server answered what cannot be used: {0}")]
    Unusable(#[from] Unusable),
    /// The answer is not what was written.
    #[error("the API server answered with another Lease than the one that was written")]
    Other,
    /// Anything else.
    #[error("failed to reach the API server: {0}")]
    Unreachable(String),
    /// The server says so.
    #[error("the API server answered: {0}")]
    Status(String),
}

/// What a watch tells: the Lease, or that it is gone, and the version of that.
pub type Event = (Option<Record>, u64);

impl Leases {
    /// The Lease `name` in this namespace; a call may take as long as `call`.
    pub fn new(client: Client, namespace: &str, name: &str, call: Duration) -> Leases {
        Leases {
            api: Api::namespaced(client.clone(), namespace),
            client,
            name: name.to_owned(),
            namespace: namespace.to_owned(),
            call,
            contact: Mutex::default(),
        }
    }

    /// The election's and the Lease's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the Lease is.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// For questions about other things than the Lease.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// When the API server last answered as it should.
    pub fn last_contact(&self) -> Option<Instant> {
        *self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn in_time<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        let answer = timeout(self.call, call).await.map_err(|_| Failure::Late(self.call))?;
        self.contacted(answer.map_err(failure))
    }

    fn contacted<T>(&self, outcome: Result<T, Failure>) -> Result<T, Failure> {
        if matches!(outcome, Ok(_) | Err(Failure::Conflict)) {
            let mut contact = self.contact.lock().unwrap_or_else(PoisonError::into_inner);
            *contact = Some(Instant::now());
        }
        outcome
    }

    /// The Lease as the store has it; none: there is no such Lease.
    ///
    /// # Errors
    /// When it could not be read.
    pub async fn read(&self) -> Result<Option<Record>, Failure> {
        let lease = self.in_time(self.api.get_opt(&self.name)).await?;
        Ok(lease.map(|lease| Record::read(lease, &self.name)).transpose()?)
    }

    /// Writes the Lease, if it is still the one that it was made from (which, without a version, was none). `trace` is the context
    /// of whoever asked for it.
    ///
    /// # Errors
    /// When it was not written, or that is not known.
    pub async fn write(&self, lease: &Lease, trace: Option<&HeaderValue>) -> Result<Record, Failure> {
        let written = self.in_time(self.send(lease, trace)).await?;
        let is_own = is_same(&written, lease);
        let record = Record::read(written, &self.name)?;
        if is_own { Ok(record) } else { Err(Failure::Other) }
    }

    async fn send(&self, lease: &Lease, trace: Option<&HeaderValue>) -> kube::Result<Lease> {
        let (leases, options) = (Request::new(self.api.resource_url()), PostParams::default());
        let body = serde_json::to_vec(lease).map_err(Error::SerdeError)?;
        let request = match lease.metadata.resource_version {
            None => leases.create(&options, body),
            Some(_) => leases.replace(&self.name, &options, body),
        };
        let mut request = request.map_err(Error::BuildRequest)?;
        if let Some(trace) = trace {
            request.headers_mut().insert(TRACEPARENT, trace.clone());
        }
        self.client.request(request).await
    }

    /// What becomes of the Lease after `version`; without one, from how it is.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub async fn watch(
        &self,
        version: Option<u64>,
    ) -> Result<impl Stream<Item = Result<Event, Failure>> + use<'_>, Failure> {
        let this_one = WatchParams::default()
            .fields(&format!("metadata.name={}", self.name))
            .timeout(WATCH_SECONDS);
        let version = version.map(|version| version.to_string()).unwrap_or_default();
        let events = self.in_time(self.api.watch(&this_one, &version)).await?;
        let events = events.map_err(failure).map(|event| self.contacted(event));
        Ok(events.try_filter_map(|event| ready(self.told(event))))
    }

    fn told(&self, event: WatchEvent<Lease>) -> Result<Option<Event>, Failure> {
        match event {
            WatchEvent::Added(lease) | WatchEvent::Modified(lease) => {
                let record = Record::read(lease, &self.name)?;
                let version = record.version;
                Ok(Some((Some(record), version)))
            }
            WatchEvent::Deleted(lease) => Ok(Some((None, Record::read(lease, &self.name)?.version))),
            WatchEvent::Bookmark(_) => Ok(None),
            WatchEvent::Error(status) => Err(failure(Error::Api(status))),
        }
    }
}

/// Whether the Lease was written as it was sent; other versions of the server may add to it.
fn is_same(written: &Lease, sent: &Lease) -> bool {
    let facts = |lease: &Lease| {
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
        (holder, spec.lease_duration_seconds, spec.lease_transitions)
    };
    facts(written) == facts(sent) && written.metadata.resource_version != sent.metadata.resource_version
}

/// The cause of an error, innermost last, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    text
}

fn failure(error: Error) -> Failure {
    match error {
        Error::Api(status) if status.is_conflict() || status.is_already_exists() => Failure::Conflict,
        Error::Api(status) => match (status.code, status.message) {
            (404, message) => Failure::Gone(message),
            (403, message) => Failure::Forbidden(message),
            (401, message) => Failure::Unauthorized(message),
            (code, message) => Failure::Status(format!("{code} {message}")),
        },
        Error::SerdeError(error) => Failure::Status(format!("what is no Lease: {error}")),
        other => Failure::Unreachable(chain(&other)),
    }
}
