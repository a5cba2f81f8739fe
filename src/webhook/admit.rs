//! One review, from request to response.
//!
//! What is decided comes from the engine, as a function that is handed in. Nothing that a Pod holds is logged.
use super::{
    Webhook, answer,
    limits::{Accepted, Rejection},
    look::{Looked, failed, json},
    review::{self, PodCreation, Subject},
    troubles,
};
use crate::observe::metrics::Outcome;
use axum::{
    extract::{Request, State},
    response::Response,
};
use outrigger_engine::{Admission, Decision, PodRequest, Snapshot, Verdict};
use std::{borrow::Cow, fmt, sync::Arc, time::Instant};

/// `POST /mutate`.
pub(super) async fn mutate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let started = Instant::now();
    let answer = match webhook.read(request).await {
        Ok(body) => webhook.admit(&body, started).await,
        Err(rejection) => Err(rejection),
    };
    webhook.respond(answer)
}

impl Webhook {
    async fn admit(&self, body: &Accepted, started: Instant) -> Result<Response, Rejection> {
        let look = |snapshot: &Snapshot, may_lack| {
            let looked = self.guarded(|| self.review(&body.bytes, snapshot, may_lack, started));
            looked.unwrap_or_else(|| {
                self.metrics.admitted(Outcome::Error, started.elapsed());
                Ok(Looked::Answered(failed()))
            })
        };
        self.answer_by(body.deadline, look).await
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

/// What a log line says about one answer.
struct Entry<'a> {
    uid: &'a str,
    creation: &'a PodCreation<'a>,
    outcome: Outcome,
    decisions: &'a [Decision],
    micros: u128,
}

// What a caller can choose is logged as a string, never by its Display: so text lines show it in quotes and escaped. The
// name of the namespace has been checked.
impl Entry<'_> {
    fn info(&self) {
        tracing::info!(
            uid = self.uid, namespace = %self.creation.namespace, name = &*self.name(),
            outcome = %self.outcome.as_str(), policies = %Policies(self.decisions), micros = self.micros, "answered"
        );
    }

    fn debug(&self) {
        tracing::debug!(
            uid = self.uid, namespace = %self.creation.namespace, name = &*self.name(),
            outcome = %self.outcome.as_str(), policies = %Policies(self.decisions), micros = self.micros, "answered"
        );
    }

    fn name(&self) -> Cow<'_, str> {
        match &*self.creation.name {
            "" => [review::shown(self.creation.pod.generate_name()), "*"].concat().into(),
            name => review::shown(name).into(),
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
