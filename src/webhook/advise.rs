//! `POST /advise`: tells whoever applies a workload what its Pods will meet. Nothing is refused here.
use super::{
    Webhook,
    advice::Workload,
    answer,
    limits::{Accepted, Rejection},
    look::{Looked, failed, json},
    review,
};
use crate::observe::metrics::Advice;
use axum::{
    extract::{Request, State},
    response::Response,
};
use outrigger_engine::{Admission, Snapshot, Verdict};
use std::sync::Arc;

/// `POST /advise`.
pub(super) async fn advise(State(webhook): State<Arc<Webhook>>, request: Request) -> Response {
    let answer = match webhook.read(request).await {
        Ok(body) => webhook.advise(&body).await,
        Err(rejection) => Err(rejection),
    };
    webhook.respond(answer)
}

impl Webhook {
    async fn advise(&self, body: &Accepted) -> Result<Response, Rejection> {
        let look = |snapshot: &Snapshot, may_lack| {
            let looked = self.guarded(|| self.consider(&body.bytes, snapshot, may_lack));
            looked.unwrap_or_else(|| {
                self.metrics.advised(Advice::Error);
                Ok(Looked::Answered(failed()))
            })
        };
        self.answer_by(body.deadline, look).await
    }

    fn consider(&self, body: &[u8], snapshot: &Snapshot, may_lack: bool) -> Result<Looked, Rejection> {
        let review = review::read_change(body)?;
        let warnings = match Workload::of(&review)? {
            None => Vec::new(),
            Some(workload) if may_lack && snapshot.lacks(workload.namespace) => {
                return Ok(Looked::Lacking(workload.namespace.to_owned()));
            }
            Some(workload) => workload.warnings(|request| (self.admit)(snapshot, request))?,
        };
        self.metrics.advised(match warnings.is_empty() {
            true => Advice::Silent,
            false => Advice::Warned,
        });
        tracing::debug!(
            uid = &*review.uid,
            namespace = review::shown(&review.namespace),
            kind = review::shown(&review.kind.1),
            name = review::shown(&review.name),
            warnings = warnings.len(),
            "advised about a workload"
        );
        let admission = Admission {
            verdict: Verdict::Unchanged,
            warnings,
            audit_annotations: Vec::new(),
            decisions: Vec::new(),
            troubles: Vec::new(),
        };
        Ok(Looked::Answered(json(answer::write(&review.uid, &admission))))
    }
}
