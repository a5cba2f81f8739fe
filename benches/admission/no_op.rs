//! The least that a webhook on the same stack can do: read the review's uid, and allow.
use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use axum_server::Handle;
use outrigger::{
    observe::metrics::Metrics,
    tls::reload::{Certificate, Origin},
    webhook::{answer, listener},
};
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};
use tokio::signal::unix::{SignalKind, signal};

/// Serves until SIGTERM, and says where on stderr.
pub fn serve(directory: PathBuf) -> Result<()> {
    let origin = Origin::Own {
        directory,
        names: vec![],
    };
    let metrics: Arc<Metrics> = Arc::default();
    let certificate = Certificate::open(origin, None, Arc::default(), Arc::clone(&metrics))?;
    let (socket, address) = listener::bind(([127, 0, 0, 1], 0).into())?;
    eprintln!("serving listen={address}");
    let workers = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    workers.block_on(async {
        let serving = listener::serve(
            socket,
            certificate.config(),
            listener::Timers::default(),
            listener::Cap::new(metrics),
            Router::new().route("/mutate", post(allow)),
            Handle::new(),
        );
        // On a worker, as the real one: the thread of `block_on` is none.
        let serving = tokio::spawn(serving);
        let mut terminate = signal(SignalKind::terminate()).context("failed to listen for signals")?;
        tokio::select! {
            served = serving => served.context("failed to serve")?,
            _ = terminate.recv() => Ok(()),
        }
    })
}

#[derive(Deserialize)]
struct Review<'a> {
    #[serde(borrow)]
    request: Request<'a>,
}

#[derive(Deserialize)]
struct Request<'a> {
    uid: &'a str,
}

async fn allow(body: Bytes) -> Response {
    let Ok(review) = serde_json::from_slice::<Review<'_>>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let mut response = Response::new(Body::from(answer::allowed(review.request.uid)));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
