//! What the application is answered on localhost.
use super::{
    election::{Election, Resignation},
    lease::TRACEPARENT,
    standing::View,
};
use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response, Sse, sse},
    routing::{get, post},
};
use futures_util::Stream;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::sleep};
use tokio_util::sync::CancellationToken;

/// How often a watcher's view is compared, besides every change that is told: time alone ends a term.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What the routes share.
#[derive(Clone)]
struct Elections {
    all: Arc<[Arc<Election>]>,
    closing: CancellationToken,
}

/// What is said of an election that this process is not in.
struct Unknown(String);

impl IntoResponse for Unknown {
    fn into_response(self) -> Response {
        (StatusCode::NOT_FOUND, self.0).into_response()
    }
}

/// The answer of `GET /`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(flatten)]
    state: Event<'a>,
    /// From before the question was sent.
    valid_for_ms: u64,
}

/// An event of `GET /watch`. Nobody knows when it is read, so it does not say how long it is valid.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    name: &'a str,
    leader: bool,
    election: &'a str,
    fencing_token: Option<u64>,
    since: Option<String>,
}

/// The routes of all elections. The first one is also at the root. Event streams end with `closing`.
pub fn router(elections: Vec<Arc<Election>>, closing: CancellationToken) -> Router {
    let elections = Elections {
        all: elections.into(),
        closing,
    };
    Router::new()
        .route("/", get(first_state))
        .route("/leader", get(first_leader))
        .route("/watch", get(first_watch))
        .route("/resign", post(first_resign))
        .route("/elections", get(states))
        .route("/elections/{name}", get(state))
        .route("/elections/{name}/leader", get(leader))
        .route("/elections/{name}/watch", get(watch))
        .route("/elections/{name}/resign", post(resign))
        .with_state(elections)
}

impl Elections {
    fn named(&self, name: &str) -> Result<&Arc<Election>, Unknown> {
        let found = self.all.iter().find(|election| election.name() == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.all.iter().map(|election| election.name()).collect();
            Unknown(format!("no election {name:?} here; there are: {}\n", names.join(", ")))
        })
    }

    fn first(&self) -> &Arc<Election> {
        // There is one: no process starts without.
        &self.all[0]
    }
}

async fn first_state(State(elections): State<Elections>) -> Response {
    answer(elections.first(), |_| StatusCode::OK)
}

async fn state(State(elections): State<Elections>, Path(name): Path<String>) -> Result<Response, Unknown> {
    Ok(answer(elections.named(&name)?, |_| StatusCode::OK))
}

async fn states(State(elections): State<Elections>) -> Response {
    let answers: Vec<_> = elections
        .all
        .iter()
        .map(|election| (election, election.answer()))
        .collect();
    let answers: Vec<_> = answers
        .iter()
        .map(|(election, (view, valid_for))| Answer::new(election, view, *valid_for))
        .collect();
    json(StatusCode::OK, &answers)
}

async fn first_leader(State(elections): State<Elections>) -> Response {
    answer(elections.first(), status)
}

async fn leader(State(elections): State<Elections>, Path(name): Path<String>) -> Result<Response, Unknown> {
    Ok(answer(elections.named(&name)?, status))
}

async fn first_watch(State(elections): State<Elections>) -> Response {
    events(Arc::clone(elections.first()), elections.closing).into_response()
}

async fn watch(State(elections): State<Elections>, Path(name): Path<String>) -> Result<Response, Unknown> {
    let election = Arc::clone(elections.named(&name)?);
    Ok(events(election, elections.closing).into_response())
}

async fn first_resign(State(elections): State<Elections>, headers: HeaderMap) -> Response {
    resigned(elections.first(), &headers).await
}

async fn resign(
    State(elections): State<Elections>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Unknown> {
    Ok(resigned(elections.named(&name)?, &headers).await)
}

fn status(view: &View) -> StatusCode {
    match view.token {
        Some(_) => StatusCode::OK,
        None => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn answer(election: &Election, status: impl FnOnce(&View) -> StatusCode) -> Response {
    let (view, valid_for) = election.answer();
    json(status(&view), &Answer::new(election, &view, valid_for))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

impl<'a> Answer<'a> {
    fn new(election: &'a Election, view: &'a View, valid_for: Duration) -> Answer<'a> {
        Answer {
            state: Event::new(election, view),
            valid_for_ms: u64::try_from(valid_for.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl<'a> Event<'a> {
    fn new(election: &'a Election, view: &'a View) -> Event<'a> {
        Event {
            name: &view.name,
            leader: view.token.is_some(),
            election: election.name(),
            fencing_token: view.token,
            since: view.since.map(|since| since.to_string()),
        }
    }
}

/// How the election stands, and every change of that.
fn events(
    election: Arc<Election>,
    closing: CancellationToken,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let changes = election.changes();
    let state = (election, changes, closing, None);
    let events = futures_util::stream::unfold(state, async |(election, mut changes, closing, told)| {
        loop {
            let view = election.view();
            if told.as_ref() != Some(&view) {
                let event = sse::Event::default()
                    .json_data(Event::new(&election, &view))
                    .unwrap_or_default();
                return Some((Ok(event), (election, changes, closing, Some(view))));
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep(LOOK_EVERY) => {}
                () = closing.cancelled() => return None,
            }
        }
    });
    Sse::new(events).keep_alive(sse::KeepAlive::default())
}

async fn resigned(election: &Arc<Election>, headers: &HeaderMap) -> Response {
    let trace = headers.get(TRACEPARENT).cloned();
    let context = trace.as_ref().and_then(|trace| trace.to_str().ok()).unwrap_or_default();
    tracing::info!(election = election.name(), traceparent = context, "asked to resign");
    let (done, outcome) = oneshot::channel();
    let sent = election.resignations.send(Resignation { trace, done }).await;
    let outcome = match sent {
        Ok(()) => outcome
            .await
            .unwrap_or_else(|_| Err("the elector is about to end".into())),
        Err(_) => Err("the elector is about to end".into()),
    };
    match outcome {
        Ok(()) => answer(election, |_| StatusCode::OK),
        Err(problem) => {
            let text = format!(
                "this process leads no more, but could not give up the lease, which others get when it runs out: {problem}\n"
            );
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}
