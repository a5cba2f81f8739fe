//! `/livez`, `/readyz` and `/metrics`, the same for every pattern.
use axum::{
    Router,
    http::{HeaderName, StatusCode, header},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::sync::Arc;

/// Ready, or what is lacking.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The routes of health and metrics.
pub fn router(readiness: Readiness, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readyz(&readiness) }))
        .route("/metrics", get(move || async move { metrics(&registry) }))
}

fn readyz(readiness: &Readiness) -> (StatusCode, String) {
    match readiness() {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(lacking) => (StatusCode::SERVICE_UNAVAILABLE, format!("{lacking}\n")),
    }
}

fn metrics(registry: &Registry) -> (StatusCode, [(HeaderName, &'static str); 1], String) {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let mut text = String::new();
    let status = match encode(&mut text, registry) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, [(header::CONTENT_TYPE, open_metrics)], text)
}
