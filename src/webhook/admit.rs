//! One review, from request to response.
//!
//! What is decided comes from the engine, as a function that is handed in. Nothing that a Pod holds is logged.
use super::{
    Webhook, answer,
    limits::{Accepted, Rejection},
    review::{self, PodCreation, Subject},
};
use crate::observe::metrics::Outcome;
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use outrigger_engine::{Admission, Decision, PodRequest, Verdict};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// `POST /mutate`.
pub(super) async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let started = Instant::now();
    let answer = match webhook.limits.read(request).await {
        Ok(body) => webhook.answer(&body, started),
        Err(rejection) => Err(rejection),
    };
    match answer {
        Ok(response) => response,
        Err(rejection) => {
            webhook.metrics.rejected(rejection.reason());
            tracing::debug!(reason = rejection.reason(), "rejected a request");
            rejection.into_response()
        }
    }
}

impl Webhook {
    fn answer(&self, body: &Accepted, started: Instant) -> Result<Response, Rejection> {
        // A panic costs this call alone; the API server then does as its failurePolicy says.
        match catch_unwind(AssertUnwindSafe(|| self.review(&body.bytes, started))) {
            Ok(answer) => Ok(json(answer?)),
            Err(_) => {
                self.metrics.panicked();
                self.metrics.admitted(Outcome::Error, started.elapsed());
                Ok((
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "failed to decide: an error in outrigger\n",
                )
                    .into_response())
            }
        }
    }

    fn review(&self, body: &[u8], started: Instant) -> Result<Vec<u8>, Rejection> {
        let review = review::read(body)?;
        let Subject::PodCreation(creation) = &review.subject else {
            self.metrics.admitted(Outcome::Unchanged, started.elapsed());
            return Ok(answer::allowed(&review.uid));
        };
        let object = || review::object(body);
        let request = PodRequest {
            namespace: &creation.namespace,
            pod: &creation.pod,
            object: &object,
        };
        let admission = (self.admit)(&self.snapshot.load(), &request);
        let answer = answer::write(&review.uid, &admission);
        self.record(&review.uid, creation, admission, started);
        Ok(answer)
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
        self.metrics.decided(admission.decisions);
    }
}

fn json(answer: Vec<u8>) -> Response {
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
