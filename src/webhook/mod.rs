//! The admission webhook: its routes, and what a request on them needs.
//!
//! A request goes from [`listener`] by `router` to `admit`, which reads it with [`review`], asks the engine, and writes the
//! reply with [`answer`]. It does not know where policies come from: a snapshot is there, and may be another one next time.
mod admit;
pub mod answer;
pub mod limits;
pub mod listener;
pub mod review;

use crate::{
    observe::{health::Health, metrics::Metrics},
    store::Current,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    middleware,
    response::Response,
    routing::post,
};
use limits::Limits;
use outrigger_engine::{Admission, PodRequest, Snapshot};
use std::sync::Arc;

/// What decides about a Pod: [`outrigger_engine::admit`], but for tests.
pub type Admit = fn(&Snapshot, &PodRequest<'_>) -> Admission;

/// What every request needs.
#[derive(Debug)]
pub struct Webhook {
    snapshot: Current,
    metrics: Arc<Metrics>,
    limits: Limits,
    admit: Admit,
    health: Arc<Health>,
}

impl Webhook {
    /// A webhook that decides by whatever snapshot is current.
    pub fn new(snapshot: Current, metrics: Arc<Metrics>, limits: Limits) -> Self {
        Webhook {
            snapshot,
            metrics,
            limits,
            admit: outrigger_engine::admit,
            health: Arc::default(),
        }
    }

    /// The same, sending its callers elsewhere once this says that the process is stopping.
    #[must_use]
    pub fn leaving_with(self, health: Arc<Health>) -> Self {
        Webhook { health, ..self }
    }

    /// The same, deciding by `admit`.
    #[must_use]
    pub fn deciding_by(self, admit: Admit) -> Self {
        Webhook { admit, ..self }
    }
}

/// The routes of the HTTPS port.
pub fn router(webhook: Webhook) -> Router {
    let health = Arc::clone(&webhook.health);
    Router::new()
        .route("/mutate", post(admit::mutate))
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_path)
        .with_state(Arc::new(webhook))
        .layer(middleware::map_response_with_state(health, take_leave))
}

/// A caller that is told so opens its next connection to another replica, instead of meeting the end of this one.
async fn take_leave(State(health): State<Arc<Health>>, mut response: Response) -> Response {
    if health.is_stopping() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
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
        format!("nothing is served at {path}; POST an AdmissionReview to /mutate\n"),
    )
}
