//! One review, from request to response.
//!
//! What is decided comes from the engine, as a function that is handed in. Nothing that a Pod holds is logged.
use super::{
    Webhook, answer,
    limits::{Accepted, Rejection},
    namespaces::Unreadable,
    review::{self, PodCreation, Subject},
    troubles,
};
use crate::observe::metrics::Outcome;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use outrigger_engine::{Admission, Decision, PodRequest, Snapshot, Verdict};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{Instant as Deadline, timeout_at};

/// The longest wait for facts about a namespace; the call's own deadline may be sooner. What is left of it is for the API
/// server to try again.
const READING_TIME: Duration = Duration::from_secs(2);

/// `POST /mutate`.
pub(super) async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let started = Instant::now();
    let answer = match webhook.read(request).await {
        Ok(body) => webhook.answer(&body, started).await,
        Err(rejection) => Err(rejection),
    };
    webhook.respond(answer)
}

/// What a look at a review comes to.
enum Looked {
    Answered(Response),
    /// The snapshot does not have this namespace.
    Lacking(String),
}

impl Webhook {
    /// Counts what is not answered with a review.
    pub(super) fn respond(&self, answer: Result<Response, Rejection>) -> Response {
        answer.unwrap_or_else(|rejection| {
            self.metrics.rejected(rejection.reason());
            tracing::debug!(reason = rejection.reason(), "rejected a request");
            rejection.into_response()
        })
    }

    async fn answer(&self, body: &Accepted, started: Instant) -> Result<Response, Rejection> {
        let may_lack = self.namespaces.is_some();
        let looked = self.look(body, &self.snapshot.load(), may_lack, started)?;
        let name = match looked {
            Looked::Answered(response) => return Ok(response),
            Looked::Lacking(name) => name,
        };
        let snapshot = self.knowing(&name, body.deadline).await?;
        match self.look(body, &snapshot, false, started)? {
            Looked::Answered(response) => Ok(response),
            Looked::Lacking(_) => Err(Rejection::UnknownNamespace),
        }
    }

    /// The snapshot, with facts about a namespace that it lacked.
    async fn knowing(&self, name: &str, deadline: Deadline) -> Result<Snapshot, Rejection> {
        let deadline = deadline.min(Deadline::now() + READING_TIME);
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

    /// Answers, unless facts are lacking and could be had.
    fn look(
        &self,
        body: &Accepted,
        snapshot: &Snapshot,
        may_lack: bool,
        started: Instant,
    ) -> Result<Looked, Rejection> {
        // A panic costs this call alone; the API server then does as its failurePolicy says.
        match catch_unwind(AssertUnwindSafe(|| {
            self.review(&body.bytes, snapshot, may_lack, started)
        })) {
            Ok(looked) => looked,
            Err(_) => Ok(Looked::Answered(self.panicked(started))),
        }
    }

    pub(super) fn panicked(&self, started: Instant) -> Response {
        self.metrics.panicked();
        self.metrics.admitted(Outcome::Error, started.elapsed());
        let said = "failed to decide: an error in outrigger\n";
        (StatusCode::INTERNAL_SERVER_ERROR, said).into_response()
    }

    fn review(&self, body: &[u8], snapshot: &Snapshot, may_lack: bool, started: Instant) -> Result<Looked, Rejection> {
        let review = review::read(body)?;
        let Subject::PodCreation(creation) = &review.subject else {
            self.metrics.admitted(Outcome::Unchanged, started.elapsed());
            return Ok(Looked::Answered(json(answer::allowed(&review.uid))));
        };
        if may_lack && snapshot.lacks(&creation.namespace) {
            return Ok(Looked::Lacking(creation.namespace.to_string()));
        }
        let object = || review::object(body);
        let request = PodRequest {
            namespace: &creation.namespace,
            pod: &creation.pod,
            object: &object,
        };
        let admission = (self.admit)(snapshot, &request);
        let answer = answer::write(&review.uid, &admission);
        self.record(&review.uid, creation, admission, started);
        Ok(Looked::Answered(json(answer)))
    }

    fn record(&self, uid: &str, creation: &PodCreation<'_>, admission: Admission, started: Instant) {
        let outcome = match &admission.verdict {
            Verdict::Unchanged => Outcome::Unchanged,
            Verdict::Patched(_) => Outcome::Injected,
            Verdict::Refused(_) => Outcome::Refused,
        };
        let duration = started.elapsed();
        self.metrics.admitted(outcome, duration);
        let entry = Entry {
            uid,
            creation,
            outcome,
            decisions: &admission.decisions,
            micros: duration.as_micros(),
        };
        match outcome {
            Outcome::Unchanged if tracing::enabled!(tracing::Level::DEBUG) => entry.debug(),
            Outcome::Injected | Outcome::Refused if tracing::enabled!(tracing::Level::INFO) => entry.info(),
            _ => {}
        }
        match &self.recorder {
            Some(recorder) if !admission.troubles.is_empty() && !creation.dry_run => {
                troubles::report(recorder, creation, admission.troubles);
            }
            _ => {}
        }
        self.metrics.decided(admission.decisions);
    }
}

pub(super) fn json(answer: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(answer));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a log line says about one answer.
struct Entry<'a> {
    uid: &'a str,
    creation: &'a PodCreation<'a>,
    outcome: Outcome,
    decisions: &'a [Decision],
    micros: u128,
}

// What a caller can choose is logged as a string, never by its Display: so text lines show it in quotes and escaped.
impl Entry<'_> {
    fn info(&self) {
        tracing::info!(
            uid = self.uid, namespace = &*self.creation.namespace, name = self.name(), operation = "CREATE",
            outcome = self.outcome.as_str(), policies = %Policies(self.decisions), micros = self.micros, "answered"
        );
    }

    fn debug(&self) {
        tracing::debug!(
            uid = self.uid, namespace = &*self.creation.namespace, name = self.name(), operation = "CREATE",
            outcome = self.outcome.as_str(), policies = %Policies(self.decisions), micros = self.micros, "answered"
        );
    }

    fn name(&self) -> String {
        match &*self.creation.name {
            "" => format!("{}*", self.creation.pod.generate_name()),
            name => name.to_owned(),
        }
    }
}

/// `log-saver=on-request web/adder=opted-out`
struct Policies<'a>(&'a [Decision]);

impl fmt::Display for Policies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, decision) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { " " };
            write!(f, "{separator}{}={}", decision.policy, decision.reason)?;
        }
        Ok(())
    }
}
