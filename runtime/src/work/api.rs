//! What the application asks for on localhost: `POST /items`, `GET /status`, `GET /dead`, `POST /dead/<id>/retry`.
use super::dead;
use super::names::{LONGEST_KEY, PASSED_ON, escaped};
use super::publish::{self, Published, whole};
use super::shared::Shared;
use super::status;
use super::streams::Queue;
use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap as HttpHeaders, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// So often an item is offered to the server within one call. It has an id, so the stream takes it once.
const TRIES: u32 = 3;

/// The routes.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/items", post(enqueue))
        .route("/status", get(tell))
        .route("/dead", get(list))
        .route("/dead/{id}/retry", post(retry))
        .with_state(shared)
}

/// An answer that says what to do.
fn problem(status: StatusCode, what: impl Into<String>) -> Response {
    let body = Json(json!({"error": what.into()}));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        return (status, [(RETRY_AFTER, "5")], body).into_response();
    }
    (status, body).into_response()
}

fn away(shared: &Shared) -> Response {
    let why = shared
        .readiness()
        .err()
        .unwrap_or_else(|| "NATS does not answer".to_owned());
    problem(StatusCode::SERVICE_UNAVAILABLE, why)
}

fn opened(shared: &Shared) -> Option<Arc<Queue>> {
    shared.queue().filter(|_| shared.is_connected())
}

async fn enqueue(State(shared): State<Arc<Shared>>, headers: HttpHeaders, body: Body) -> Response {
    let key = match key(&headers) {
        Ok(key) => key.unwrap_or_else(|| format!("{:032x}", rand::random::<u128>())),
        Err(what) => return problem(StatusCode::BAD_REQUEST, what),
    };
    if opened(&shared).is_none() {
        return away(&shared);
    }
    // What is stored must fit into a dead letter too, which has more headers.
    let longest = shared.client.max_payload().saturating_sub(4096);
    let Ok(body) = to_bytes(body, longest).await else {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("an item has at most {longest} bytes; raise max_payload of the NATS server, or send where it is"),
        );
    };
    for _ in 0..TRIES {
        match publish::once(&shared, &shared.names.subject, message(&key, &headers, &body)).await {
            Ok(published) => return enqueued(&shared, &key, published),
            Err(error) => tracing::debug!("failed to enqueue: {}", whole(&error)),
        }
        sleep(Duration::from_millis(100)).await;
    }
    shared.metrics.enqueued("failed");
    problem(
        StatusCode::SERVICE_UNAVAILABLE,
        format!(
            "NATS did not confirm the item, which may be in the queue or not; send it again with Idempotency-Key: {key}"
        ),
    )
}

fn enqueued(shared: &Shared, key: &str, published: Published) -> Response {
    match published {
        Published::Stored(ack) => {
            shared.metrics.enqueued(if ack.duplicate { "duplicate" } else { "new" });
            let told = json!({"id": escaped(key), "sequence": ack.sequence, "duplicate": ack.duplicate});
            (StatusCode::ACCEPTED, Json(told)).into_response()
        }
        Published::Full(why) => {
            shared.metrics.enqueued("full");
            problem(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "stream {} is full: {why}; try again when workers have caught up",
                    shared.names.items
                ),
            )
        }
        Published::Never(why) => problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the stream does not take the item: {why}"),
        ),
    }
}

/// The client's name for the item. In quotes or not, as the draft of the header's standard and the practice have it.
fn key(headers: &HttpHeaders) -> Result<Option<String>, String> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    if text.is_empty() || text.len() > LONGEST_KEY || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "Idempotency-Key is 1 to {LONGEST_KEY} ASCII characters without spaces; a UUID is a good one"
        ));
    }
    Ok(Some(text.to_owned()))
}

fn message(key: &str, headers: &HttpHeaders, body: &Bytes) -> PublishMessage {
    let mut along = HeaderMap::new();
    for name in PASSED_ON {
        if let Some(value) = headers.get(*name).and_then(|value| value.to_str().ok()) {
            along.insert(*name, value);
        }
    }
    along.insert(NATS_MESSAGE_ID, key);
    PublishMessage::build().headers(along).payload(body.clone())
}

async fn tell(State(shared): State<Arc<Shared>>) -> Response {
    Json(status::of(&shared).await).into_response()
}

/// A page of dead letters.
#[derive(Debug, Deserialize)]
struct Page {
    #[serde(default)]
    after: u64,
    #[serde(default = "hundred")]
    limit: usize,
}

fn hundred() -> usize {
    100
}

async fn list(State(shared): State<Arc<Shared>>, Query(page): Query<Page>) -> Response {
    let Some(queue) = opened(&shared) else {
        return away(&shared);
    };
    match dead::list(&shared, &queue, page.after, page.limit.min(1000)).await {
        Ok(letters) => Json(json!({"dead": letters})).into_response(),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
    }
}

async fn retry(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let Some(queue) = opened(&shared) else {
        return away(&shared);
    };
    // As it is listed; the path's own escapes have been undone on the way.
    let id = if id
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_~:.%@".contains(&byte))
    {
        id
    } else {
        escaped(&id)
    };
    match dead::retry(&shared, &queue, &id).await {
        Ok(Some(Published::Stored(_))) => (StatusCode::ACCEPTED, Json(json!({"id": id}))).into_response(),
        Ok(Some(Published::Full(why) | Published::Never(why))) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the queue does not take the item back: {why}"),
        ),
        Ok(None) => problem(
            StatusCode::NOT_FOUND,
            format!("no dead item is called {id:?}; GET /dead lists them"),
        ),
        Err(error) => problem(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")),
    }
}
