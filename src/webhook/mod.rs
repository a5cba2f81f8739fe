//! The admission webhook: its routes, and what a request on them needs.
//!
//! A request goes from [`listener`] by `router` to `admit`, which reads it with [`review`], asks the engine, and writes the
//! reply with [`answer`]. It does not know where policies come from: a snapshot is there, and may be another one next time;
//! for a namespace that the snapshot lacks, [`namespaces`] is asked. What somebody does to a policy goes to `validate`, to
//! what has a template of Pods to `advise`.
mod admit;
mod advice;
mod advise;
pub mod answer;
pub mod limits;
pub mod listener;
mod look;
pub mod namespaces;
pub mod review;
mod troubles;
mod validate;

use crate::{
    observe::{events::Recorder, health::Health, metrics::Metrics},
    store::Current,
};
use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, Uri},
    routing::post,
};
use limits::{Accepted, Limits, Rejection};
use namespaces::Namespaces;
use outrigger_engine::{Admission, PodRequest, Snapshot};
use std::sync::Arc;

/// What decides about a Pod: [`outrigger_engine::admit`], but for tests.
pub type Admit = fn(&Snapshot, &PodRequest<'_>) -> Admission;

/// What every request needs.
#[derive(Debug)]
pub struct Webhook {
    snapshot: Current,
    namespaces: Option<Arc<dyn Namespaces>>,
    metrics: Arc<Metrics>,
    limits: Limits,
    admit: Admit,
    health: Option<Arc<Health>>,
    recorder: Option<Recorder>,
}

impl Webhook {
    /// A webhook that decides by whatever snapshot is current.
    pub fn new(snapshot: Current, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Webhook {
            snapshot,
            namespaces: None,
            metrics,
            limits,
            admit: outrigger_engine::admit,
            health: None,
            recorder: None,
        }
    }

    /// The same, reporting Pods that are refused or go without a policy.
    #[must_use]
    pub fn reporting_to(self, recorder: Recorder) -> Self {
        Webhook {
            recorder: Some(recorder),
            ..self
        }
    }

    /// The same, answering once this says that policies are loaded, and sending its callers elsewhere once it says that the
    /// process is stopping.
    #[must_use]
    pub fn living_with(self, health: Arc<Health>) -> Self {
        Webhook {
            health: Some(health),
            ..self
        }
    }

    /// The same, asking for namespaces that the snapshot lacks.
    #[must_use]
    pub fn asking(self, namespaces: Arc<dyn Namespaces>) -> Self {
        Webhook {
            namespaces: Some(namespaces),
            ..self
        }
    }

    /// The same, deciding by `admit`.
    #[must_use]
    pub fn deciding_by(self, admit: Admit) -> Self {
        Webhook { admit, ..self }
    }
}

impl Webhook {
    /// Reads a body, unless there is nothing to decide by yet.
    async fn read(&self, request: Request) -> Result<Accepted, Rejection> {
        match &self.health {
            Some(health) if !health.has_loaded() => Err(Rejection::NotLoaded),
            _ => self.limits.read(request).await,
        }
    }
}

/// The routes of the HTTPS port.
pub fn router(webhook: Webhook) -> Router {
    Router::new()
        .route("/mutate", post(admit::mutate))
        .route("/validate", post(validate::validate))
        .route("/advise", post(advise::advise))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .with_state(Arc::new(webhook))
}

async fn wrong_method(method: Method) -> (StatusCode, String) {
    (
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{method} is not served here; POST an AdmissionReview\n"),
    )
}

async fn unknown_path(uri: Uri) -> (StatusCode, String) {
    let path = uri.path();
    (
        StatusCode::NOT_FOUND,
        format!("nothing is served at {path}; POST an AdmissionReview to /mutate, /validate or /advise\n"),
    )
}
