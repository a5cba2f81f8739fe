//! `POST /validate`: what is to be said of a policy before it is stored.
//!
//! What is said comes from the engine, and is what the rest of the program says of the same policy.
use super::{
    Webhook, answer,
    limits::{Accepted, Rejection},
    look::{failed, json},
    review::{self, Operation, ReviewError, value},
};
use crate::observe::metrics::Opinion;
use axum::{
    extract::{Request, State},
    response::Response,
};
use outrigger_engine::{
    Admission, Refusal, Snapshot, Verdict,
    change::{self, Change},
    policy::{CLUSTER_PLURAL, GROUP, NAMESPACED_PLURAL},
};
use std::sync::Arc;

/// `POST /validate`.
pub(super) async fn validate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let answer = webhook.read(request).await;
    let answer = answer.and_then(|body| webhook.judge(&body));
    webhook.respond(answer)
}

impl Webhook {
    fn judge(&self, body: &Accepted) -> Result<Response, Rejection> {
        let snapshot = self.snapshot.load();
        let Some(judged) = self.guarded(|| judge(&body.bytes, &snapshot)) else {
            self.metrics.judged(Opinion::Error);
            return Ok(failed());
        };
        let Judged { uid, about, opinion } = judged?;
        let verdict = match refusal(&opinion.errors) {
            None => Verdict::Unchanged,
            Some(refusal) => Verdict::Refused(refusal),
        };
        let refused = verdict != Verdict::Unchanged;
        self.metrics
            .judged(if refused { Opinion::Refused } else { Opinion::Allowed });
        tracing::info!(
            uid,
            policy = about,
            refused,
            warnings = opinion.warnings.len(),
            "judged a policy"
        );
        let admission = Admission {
            verdict,
            warnings: opinion.warnings,
            audit_annotations: Vec::new(),
            decisions: Vec::new(),
            troubles: Vec::new(),
        };
        Ok(json(answer::write(&uid, &admission)))
    }
}

/// What is said, of what.
struct Judged {
    uid: String,
    about: String,
    opinion: change::Opinion,
}

fn judge(body: &[u8], snapshot: &Snapshot) -> Result<Judged, Rejection> {
    let review = review::read_change(body)?;
    let (namespace, name) = (review::shown(&review.namespace), review::shown(&review.name));
    Ok(Judged {
        uid: review.uid.to_string(),
        about: format!("{namespace}/{name}").trim_start_matches('/').to_owned(),
        opinion: opinion(&review, snapshot)?,
    })
}

/// Of what does not concern us, nothing is said.
fn opinion(review: &review::Change<'_>, snapshot: &Snapshot) -> Result<change::Opinion, ReviewError> {
    let (group, resource, part) = &review.resource;
    if **group != *GROUP || ![CLUSTER_PLURAL, NAMESPACED_PLURAL].contains(&&**resource) || !part.is_empty() {
        return Ok(change::Opinion::default());
    }
    let new = || review.object().and_then(value);
    let old = || review.old_object().and_then(value);
    Ok(match review.operation {
        Operation::Create => change::judge(Change::Created(&new()?), snapshot),
        Operation::Update => change::judge(Change::Updated(&old()?, &new()?), snapshot),
        Operation::Delete => change::judge(Change::Deleted(&old()?), snapshot),
        Operation::Other => change::Opinion::default(),
    })
}

/// A line for each error.
fn refusal(errors: &[String]) -> Option<Refusal> {
    (!errors.is_empty()).then(|| Refusal {
        code: 422,
        message: errors.join("\n"),
    })
}
