//! `POST /validate`: what is to be said of a policy before it is stored.
//!
//! What is said comes from the engine, and is what the rest of the program says of the same policy.
use super::{
    Webhook,
    admit::json,
    answer,
    limits::{Accepted, Rejection},
    review::ReviewError,
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
use serde_json::Value;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

/// `POST /validate`.
pub(super) async fn validate(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let started = Instant::now();
    let answer = webhook.read(request).await;
    let answer = answer.and_then(|body| webhook.judge(&body, started));
    webhook.respond(answer)
}

impl Webhook {
    fn judge(&self, body: &Accepted, started: Instant) -> Result<Response, Rejection> {
        let snapshot = self.snapshot.load();
        let Ok(judged) = catch_unwind(AssertUnwindSafe(|| judge(&body.bytes, &snapshot))) else {
            self.metrics.judged(Opinion::Error);
            return Ok(self.panicked(started));
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
    let review: Value = serde_json::from_slice(body).map_err(ReviewError::from)?;
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("/apiVersion"), text("/kind"));
    if (api_version, kind) != ("admission.k8s.io/v1", "AdmissionReview") {
        let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
        return Err(ReviewError::WrongKind { api_version, kind }.into());
    }
    let uid = text("/request/uid").to_owned();
    if uid.is_empty() {
        return Err(ReviewError::Missing("request.uid").into());
    }
    let opinion = match change(&review)? {
        Some(change) => change::judge(change, snapshot),
        None => change::Opinion::default(),
    };
    let about = format!("{}/{}", text("/request/namespace"), text("/request/name"));
    let about = about.trim_start_matches('/').to_owned();
    Ok(Judged { uid, about, opinion })
}

/// The change that a review is about; `None`: nothing that concerns us.
fn change(review: &Value) -> Result<Option<Change<'_>>, ReviewError> {
    let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let resource = text("/request/resource/resource");
    let ours = text("/request/resource/group") == GROUP && [CLUSTER_PLURAL, NAMESPACED_PLURAL].contains(&resource);
    if !ours || !text("/request/subResource").is_empty() {
        return Ok(None);
    }
    let object = |pointer, name| {
        let object = review.pointer(pointer).filter(|object| object.is_object());
        object.ok_or(ReviewError::Missing(name))
    };
    let new = || object("/request/object", "request.object");
    let old = || object("/request/oldObject", "request.oldObject");
    Ok(match text("/request/operation") {
        "CREATE" => Some(Change::Created(new()?)),
        "UPDATE" => Some(Change::Updated(old()?, new()?)),
        "DELETE" => Some(Change::Deleted(old()?)),
        "" => return Err(ReviewError::Missing("request.operation")),
        _ => None,
    })
}

/// A line for each error.
fn refusal(errors: &[String]) -> Option<Refusal> {
    (!errors.is_empty()).then(|| Refusal {
        code: 422,
        message: errors.join("\n"),
    })
}
