//! An application on a runtime of its own, so that it can be killed: its connections break, and nobody listens any more.
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::post};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// A call as the application saw it.
#[derive(Debug, Clone)]
pub struct Call {
    pub id: String,
    pub attempt: u32,
    pub headers: HeaderMap,
    pub body: String,
    pub at: Instant,
}

/// What it answers.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub body: String,
    pub headers: Vec<(&'static str, String)>,
    pub after: Duration,
}

pub fn reply(status: u16, body: impl Into<String>) -> Reply {
    Reply {
        status,
        body: body.into(),
        ..Reply::default()
    }
}

impl Reply {
    pub fn after(self, milliseconds: u64) -> Reply {
        Reply {
            after: Duration::from_millis(milliseconds),
            ..self
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Reply {
        self.headers.push((name, value.into()));
        self
    }
}

type Decide = Arc<dyn Fn(&Call) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Seen {
    calls: Arc<Mutex<Vec<Call>>>,
    now: Arc<Mutex<(usize, usize)>>,
    decide: Decide,
}

pub struct Application {
    pub port: u16,
    seen: Seen,
    runtime: Option<Runtime>,
}

impl Application {
    /// Starts one that answers what `decide` says.
    pub fn start(decide: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Application {
        let mut application = Application::prepare(decide);
        application.run();
        application
    }

    /// One that does not run yet.
    pub fn prepare(decide: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Application {
        let port = outrigger_harness::port::free().unwrap();
        let seen = Seen {
            calls: Arc::default(),
            now: Arc::default(),
            decide: Arc::new(decide),
        };
        Application {
            port,
            seen,
            runtime: None,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/work", self.port)
    }

    pub fn run(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let router = Router::new()
            .route("/work", post(answer))
            .route("/healthz", axum::routing::get(|| async { "ok" }))
            .with_state(self.seen.clone());
        let address = ("127.0.0.1", self.port);
        // On a thread of its own, as a test's runtime cannot wait for another.
        let listening = std::thread::scope(|scope| {
            let bind = || runtime.block_on(tokio::net::TcpListener::bind(address));
            scope.spawn(bind).join().unwrap().unwrap()
        });
        runtime.spawn(async move { axum::serve(listening, router).await });
        self.runtime = Some(runtime);
    }

    pub fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.seen.now.lock().unwrap().0 = 0;
    }

    pub fn calls(&self) -> Vec<Call> {
        self.seen.calls.lock().unwrap().clone()
    }

    /// Attempts that it saw of one item, in order.
    pub fn attempts(&self, id: &str) -> Vec<u32> {
        let calls = self.calls();
        calls
            .iter()
            .filter(|call| call.id == id)
            .map(|call| call.attempt)
            .collect()
    }

    /// The most calls at a time.
    pub fn most_at_a_time(&self) -> usize {
        self.seen.now.lock().unwrap().1
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let call = Call {
        id: text("outrigger-item-id").unwrap(),
        attempt: text("outrigger-attempt").unwrap().parse().unwrap(),
        body: String::from_utf8_lossy(&body).into_owned(),
        headers,
        at: Instant::now(),
    };
    seen.calls.lock().unwrap().push(call.clone());
    {
        let mut now = seen.now.lock().unwrap();
        now.0 += 1;
        now.1 = now.1.max(now.0);
    }
    let reply = (seen.decide)(&call);
    tokio::time::sleep(reply.after).await;
    {
        let mut now = seen.now.lock().unwrap();
        now.0 = now.0.saturating_sub(1);
    }
    let mut response = (StatusCode::from_u16(reply.status).unwrap(), reply.body).into_response();
    for (name, value) in reply.headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
