//! Whether the process lives and may be sent work, and the plain HTTP port that says so.
use super::metrics::Metrics;
use crate::webhook::listener::Cap;
use anyhow::Context;
use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    routing::get,
};
use axum_server::{Handle, accept::DefaultAcceptor};
use hyper_util::rt::TokioTimer;
use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Facts on which readiness depends.
#[derive(Debug, Default)]
pub struct Health {
    loaded: AtomicBool,
    stopping: AtomicBool,
    certificate_begins: AtomicI64,
    certificate_expires: AtomicI64,
}

impl Health {
    /// A snapshot of policies is there.
    pub fn loaded(&self) {
        self.loaded.store(true, Ordering::Relaxed);
    }

    /// Whether [`Health::loaded`] was called.
    pub fn has_loaded(&self) -> bool {
        self.loaded.load(Ordering::Relaxed)
    }

    /// No more work, please.
    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The served certificate is valid from `begins` to `expires`, in seconds since 1970.
    pub fn certificate_is_valid(&self, begins: i64, expires: i64) {
        self.certificate_begins.store(begins, Ordering::Relaxed);
        self.certificate_expires.store(expires, Ordering::Relaxed);
    }

    /// Whether [`Health::stopping`] was called.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Ready, or what is lacking.
    ///
    /// # Errors
    /// With the first thing that is lacking.
    pub fn readiness(&self, now: i64) -> Result<(), &'static str> {
        if self.is_stopping() {
            return Err("shutting down");
        }
        if !self.has_loaded() {
            return Err("policies are not loaded yet");
        }
        if self.certificate_expires.load(Ordering::Relaxed) <= now {
            return Err("the certificate has expired, or there is none");
        }
        if self.certificate_begins.load(Ordering::Relaxed) > now {
            return Err("the certificate is not valid yet");
        }
        Ok(())
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[derive(Clone)]
struct Admin {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// The routes of the plain HTTP port.
pub fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(Admin { health, metrics })
}

/// Serves the plain HTTP port until `handle` ends it, from a thread with a runtime of its own: it must answer while every
/// worker of the webhook is busy deciding.
///
/// # Errors
/// When there can be no thread.
pub fn start(
    socket: TcpListener,
    cap: Cap,
    router: Router,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    std::thread::Builder::new()
        .name("admin".into())
        .spawn(move || runtime.block_on(serve(socket, cap, router, handle)))
        .context("failed to start a thread")
}

/// Serves the plain HTTP port until `handle` ends it.
///
/// # Errors
/// When the socket cannot be used.
async fn serve(socket: TcpListener, cap: Cap, router: Router, handle: Handle<SocketAddr>) -> anyhow::Result<()> {
    let mut server = axum_server::from_tcp(socket)
        .context("failed to use the socket")?
        .acceptor(cap.on(DefaultAcceptor::new()));
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(60));
    server
        .http1_only()
        .handle(handle)
        .serve(router.into_make_service())
        .await
        .context("failed to serve")
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, String) {
    match admin.health.readiness(now()) {
        Ok(()) => (StatusCode::OK, "ok\n".into()),
        Err(lacking) => (StatusCode::SERVICE_UNAVAILABLE, format!("{lacking}\n")),
    }
}

async fn metrics_text(State(admin): State<Admin>) -> ([(HeaderName, &'static str); 1], String) {
    let open_metrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, open_metrics)], admin.metrics.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_has_policies_and_a_valid_certificate_and_does_not_stop() {
        let health = Health::default();
        assert_eq!(health.readiness(100), Err("policies are not loaded yet"));
        health.loaded();
        assert!(health.readiness(100).is_err());
        health.certificate_is_valid(100, 101);
        assert_eq!(health.readiness(99), Err("the certificate is not valid yet"));
        assert_eq!(health.readiness(100), Ok(()));
        assert!(health.readiness(101).is_err());
        health.stopping();
        assert_eq!(health.readiness(100), Err("shutting down"));
    }
}
