//! An API server that misbehaves when told to: lists, watches and reads of policies and namespaces over plain HTTP.
//!
//! What a well-behaved one does is tested with a real one, in `tests/cluster/`.
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

pub const CLUSTER: &str = "clusterinjectionpolicies";
pub const NAMESPACED: &str = "injectionpolicies";
pub const NAMESPACES: &str = "namespaces";

/// A handle; the server ends with the test's runtime.
#[derive(Clone)]
pub struct ApiServer {
    state: Arc<Mutex<Content>>,
    pub port: u16,
}

#[derive(Default)]
struct Content {
    version: u64,
    /// Watches that begin before this get 410.
    oldest: u64,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    history: Vec<(u64, String, String)>,
    watchers: Vec<(String, UnboundedSender<String>)>,
    behaviour: Behaviour,
    seen: Seen,
}

/// What it does wrong.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// Answers everything with this.
    pub refuse: Option<u16>,
    /// Never answers reads of one namespace.
    pub hang: bool,
    /// How long a read of one namespace takes.
    pub slow: Duration,
    /// Keeps changes from those who watch.
    pub silent: bool,
    pub minor: String,
}

/// What it was asked.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub lists: HashMap<String, usize>,
    pub reads: usize,
    pub reading: usize,
    pub most_at_once: usize,
    /// Collections of which whole objects were asked for, and not metadata alone.
    pub whole: BTreeSet<String>,
}

impl Seen {
    fn asked_for(&mut self, collection: &str, headers: &HeaderMap) {
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
        if !accept.is_some_and(|accept| accept.contains("as=PartialObjectMetadata")) {
            self.whole.insert(collection.to_owned());
        }
    }
}

impl ApiServer {
    pub async fn start() -> ApiServer {
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let server = ApiServer {
            state: Arc::default(),
            port,
        };
        server.content().behaviour.minor = "37".into();
        let router = Router::new()
            .route("/version", get(version))
            .route("/apis/outrigger.dev/v1alpha1/{collection}", get(collection))
            .route("/api/v1/{collection}", get(collection))
            .route("/api/v1/namespaces/{name}", get(namespace))
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(socket, router).await });
        server
    }

    /// A kubeconfig for it, in this directory.
    pub fn kubeconfig(&self, directory: &std::path::Path) -> PathBuf {
        let path = directory.join("kubeconfig");
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "x", "user": {}}],
        });
        std::fs::write(&path, text.to_string()).unwrap();
        path
    }

    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.content().behaviour);
    }

    pub fn seen(&self) -> Seen {
        self.content().seen.clone()
    }

    /// Stores an object, and tells those who watch.
    pub fn put(&self, collection: &str, mut object: Value) {
        let mut content = self.content();
        content.version += 1;
        let version = content.version;
        let key = key(&object);
        let before = content.objects.entry(collection.into()).or_default().get(&key).cloned();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            let generation = before
                .as_ref()
                .map_or(0, |before| before["metadata"]["generation"].as_i64().unwrap());
            metadata.insert("resourceVersion".into(), version.to_string().into());
            metadata.insert("generation".into(), (generation + 1).into());
            metadata.entry("uid").or_insert_with(|| format!("uid-{version}").into());
            if let Some(before) = &before {
                metadata.insert("uid".into(), before["metadata"]["uid"].clone());
            }
        }
        let kind = if before.is_some() { "MODIFIED" } else { "ADDED" };
        content
            .objects
            .entry(collection.into())
            .or_default()
            .insert(key, object.clone());
        content.tell(collection, json!({"type": kind, "object": object}).to_string());
    }

    pub fn delete(&self, collection: &str, name: &str) {
        let mut content = self.content();
        content.version += 1;
        let mut object = content.objects.get_mut(collection).unwrap().remove(name).unwrap();
        object["metadata"]["resourceVersion"] = content.version.to_string().into();
        content.tell(collection, json!({"type": "DELETED", "object": object}).to_string());
    }

    /// Sends a line to those who watch, whatever it is.
    pub fn say(&self, collection: &str, line: &str) {
        self.content().send(collection, line);
    }

    /// Breaks off every watch, and forgets what has happened so far.
    pub fn forget(&self) {
        let mut content = self.content();
        content.version += 1;
        content.oldest = content.version;
        content.watchers.clear();
    }

    /// Breaks off every watch.
    pub fn break_off(&self) {
        self.content().watchers.clear();
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }
}

impl Content {
    fn tell(&mut self, collection: &str, line: String) {
        self.history.push((self.version, collection.into(), line.clone()));
        if !self.behaviour.silent {
            self.send(collection, &line);
        }
    }

    fn send(&mut self, collection: &str, line: &str) {
        self.watchers
            .retain(|(of, watcher)| of != collection || watcher.send(format!("{line}\n")).is_ok());
    }
}

fn key(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    match text("namespace").as_str() {
        "" => text("name"),
        namespace => format!("{namespace}/{}", text("name")),
    }
}

fn refusal(status: u16) -> Response {
    let reason = if status == 404 { "NotFound" } else { "InternalError" };
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "told to refuse", "reason": reason, "code": status});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn version(State(server): State<ApiServer>) -> Response {
    let content = server.content();
    match content.behaviour.refuse {
        Some(status) => refusal(status),
        None => {
            let text = |_: &str| "x";
            Json(
                json!({"major": "1", "minor": content.behaviour.minor, "gitVersion": text("a"),
                "gitCommit": text("b"), "gitTreeState": text("c"), "buildDate": text("d"),
                "goVersion": text("e"), "compiler": text("f"), "platform": text("g")}),
            )
            .into_response()
        }
    }
}

/// A read in progress; its end is also that of whoever asked.
struct Reading(ApiServer);

impl Reading {
    fn begin(server: &ApiServer) -> Reading {
        let mut content = server.content();
        content.seen.reads += 1;
        content.seen.reading += 1;
        content.seen.most_at_once = content.seen.most_at_once.max(content.seen.reading);
        Reading(server.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.content().seen.reading -= 1;
    }
}

async fn namespace(State(server): State<ApiServer>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    let _reading = Reading::begin(&server);
    server.content().seen.asked_for(NAMESPACES, &headers);
    let behaviour = server.content().behaviour.clone();
    if behaviour.hang {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(behaviour.slow).await;
    let content = server.content();
    let found = content.objects.get(NAMESPACES).and_then(|all| all.get(&name));
    match (behaviour.refuse, found) {
        (Some(status), _) => refusal(status),
        (None, Some(found)) => Json(found.clone()).into_response(),
        (None, None) => refusal(404),
    }
}

async fn collection(
    State(server): State<ApiServer>,
    Path(collection): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let mut content = server.content();
    content.seen.asked_for(&collection, &headers);
    if let Some(status) = content.behaviour.refuse {
        return refusal(status);
    }
    if query.contains_key("watch") {
        return watch(&mut content, &collection, &query);
    }
    *content.seen.lists.entry(collection.clone()).or_default() += 1;
    let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let start: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let empty = BTreeMap::new();
    let all = content.objects.get(&collection).unwrap_or(&empty);
    let items: Vec<&Value> = all.values().skip(start).take(limit).collect();
    let next = start + items.len();
    let token = if next < all.len() {
        next.to_string()
    } else {
        String::new()
    };
    let version = content.version.max(1).to_string();
    Json(json!({"kind": "List", "apiVersion": "v1",
        "metadata": {"resourceVersion": version, "continue": token}, "items": items}))
    .into_response()
}

fn watch(content: &mut Content, collection: &str, query: &HashMap<String, String>) -> Response {
    let from: u64 = query["resourceVersion"].parse().unwrap();
    let seconds: u64 = query
        .get("timeoutSeconds")
        .map_or(300, |seconds| seconds.parse().unwrap());
    let (sender, mut lines) = unbounded_channel();
    if from < content.oldest {
        let gone = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "too old resource version", "reason": "Expired", "code": 410});
        let _ = sender.send(format!("{}\n", json!({"type": "ERROR", "object": gone})));
    } else {
        let missed = content
            .history
            .iter()
            .filter(|(version, of, _)| *version > from && of == collection);
        if !content.behaviour.silent {
            missed.for_each(|(_, _, line)| drop(sender.send(format!("{line}\n"))));
        }
        content.watchers.push((collection.to_owned(), sender));
    }
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let stream = futures_util::stream::poll_fn(move |context| lines.poll_recv(context));
    let bytes = futures_util::StreamExt::map(stream, |line: String| Ok::<_, Infallible>(Bytes::from(line)));
    let stream = futures_util::StreamExt::take_until(bytes, Box::pin(tokio::time::sleep_until(end)));
    Body::from_stream(stream).into_response()
}
