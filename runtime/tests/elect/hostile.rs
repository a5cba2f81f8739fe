//! An API server that answers garbage, errors, other things than it was asked for, or nothing.
use crate::{
    asking::{ask_with, eventually, now},
    elector::{Elector, Start},
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tempfile::TempDir;

const RENEW_DEADLINE: Duration = Duration::from_millis(1400);
const TIMES: [&str; 3] = ["--lease-duration=2s", "--renew-deadline=1400ms", "--retry-period=200ms"];

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    /// As it should; it keeps one Lease, and watches end at once.
    Honest,
    Garbage,
    /// A page of something in between, with status 200.
    Page,
    ServerError,
    TooManyRequests,
    Conflict,
    /// It never answers.
    Silent,
    /// Byte by byte.
    Slow,
    /// Whatever is written is said to be somebody else's.
    OtherHolder,
    /// What is written comes back, but under another name.
    OtherName,
    /// What is written comes back, but without a version.
    NoVersion,
    /// An empty object.
    Empty,
    /// Nothing is ever there, and nothing is kept.
    Forgetful,
    Hangup,
}

const HOSTILE: [Mood; 13] = [
    Mood::Garbage,
    Mood::Page,
    Mood::ServerError,
    Mood::TooManyRequests,
    Mood::Conflict,
    Mood::Silent,
    Mood::Slow,
    Mood::OtherHolder,
    Mood::OtherName,
    Mood::NoVersion,
    Mood::Empty,
    Mood::Forgetful,
    Mood::Hangup,
];

struct Server {
    mood: Arc<Mutex<Mood>>,
    store: Arc<Mutex<Store>>,
    kubeconfig: PathBuf,
    _directory: TempDir,
}

#[derive(Default)]
struct Store {
    lease: Option<Value>,
    version: u64,
    /// The methods of requests with a trace context, and that.
    traced: Vec<(String, String)>,
}

struct Request {
    method: String,
    path: String,
    trace: String,
    body: Value,
}

impl Server {
    fn start(mood: Mood) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let directory = TempDir::new().unwrap();
        let kubeconfig = directory.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
            "clusters": [{"name": "x", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "x", "user": {}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let mood = Arc::new(Mutex::new(mood));
        let (present, store) = (Arc::clone(&mood), Arc::<Mutex<Store>>::default());
        let kept = Arc::clone(&store);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (present, store) = (Arc::clone(&present), Arc::clone(&kept));
                thread::spawn(move || serve(connection, &present, &store));
            }
        });
        Server {
            mood,
            store,
            kubeconfig,
            _directory: directory,
        }
    }

    fn elector(&self) -> Elector {
        Start::new("web-0", "shop")
            .with(&TIMES)
            .in_namespace(&self.kubeconfig, "default")
            .go()
    }
}

fn request(reader: &mut impl BufRead) -> Option<Request> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
    let (mut length, mut trace) = (0, String::new());
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(value) = line.strip_prefix("traceparent:") {
            value.trim().clone_into(&mut trace);
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    Some(Request {
        method: words.next()?,
        path: words.next()?,
        trace,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

fn serve(connection: TcpStream, mood: &Mutex<Mood>, store: &Mutex<Store>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut connection = connection;
    while let Some(request) = request(&mut reader) {
        if !request.trace.is_empty() {
            let mut store = store.lock().unwrap();
            store.traced.push((request.method.clone(), request.trace.clone()));
        }
        let mood = *mood.lock().unwrap();
        let (status, answer) = match mood {
            Mood::Hangup => return,
            Mood::Silent => {
                thread::sleep(Duration::from_secs(60));
                return;
            }
            Mood::Garbage => (200, "\u{0}\u{1}{\"kind\":".to_owned()),
            Mood::Page => (200, "<html>Please log in</html>".to_owned()),
            Mood::ServerError => (500, "boom".to_owned()),
            Mood::TooManyRequests => (429, "{}".to_owned()),
            Mood::Conflict => (409, "{}".to_owned()),
            Mood::Empty => (200, "{}".to_owned()),
            _ => store.lock().unwrap().answer(mood, request),
        };
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        let pause = Duration::from_millis(if mood == Mood::Slow { 100 } else { 0 });
        let chunk = if mood == Mood::Slow { 1 } else { text.len() };
        for bytes in text.as_bytes().chunks(chunk) {
            if connection.write_all(bytes).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }
}

impl Store {
    fn answer(&mut self, mood: Mood, request: Request) -> (u16, String) {
        let Request {
            method, path, mut body, ..
        } = request;
        if path.contains("watch=true") {
            return (200, String::new());
        }
        if method == "GET" {
            return match self.lease.as_ref().filter(|_| mood != Mood::Forgetful) {
                Some(lease) => (200, lease.to_string()),
                None => (
                    404,
                    json!({"kind": "Status", "code": 404, "reason": "NotFound"}).to_string(),
                ),
            };
        }
        self.version += 1;
        body["metadata"]["resourceVersion"] = json!(self.version.to_string());
        match mood {
            Mood::OtherHolder => body["spec"]["holderIdentity"] = json!("web-7_00"),
            Mood::OtherName => body["metadata"]["name"] = json!("bank"),
            Mood::NoVersion => body["metadata"]["resourceVersion"] = json!(""),
            // A write that is said to have been done, of what nobody can read afterwards.
            Mood::Forgetful => body["spec"]["leaseDurationSeconds"] = json!(3600),
            _ => self.lease = Some(body.clone()),
        }
        (201, body.to_string())
    }
}

/// All at the same time: most of it is waiting.
fn in_every_mood(check: impl Fn(Mood) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for mood in HOSTILE {
            scope.spawn(move || check(mood));
        }
    });
}

#[test]
fn an_api_server_that_answers_what_it_should_not_makes_nobody_a_leader() {
    in_every_mood(|mood| {
        let server = Server::start(mood);
        let elector = server.elector();
        let until = now() + Duration::from_secs(3);
        while now() < until {
            let reply = elector.get("/leader");
            assert_eq!(
                (reply.status, reply.json()["leader"].as_bool()),
                (503, Some(false)),
                "{mood:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(elector.get("/livez").status, 200, "{mood:?}");
        // It says so, and not at every try.
        let log = elector.log();
        let complaints = log.lines().filter(|line| line.contains("\"level\":\"WARN\"")).count();
        assert!(complaints >= 1, "{mood:?}: {log}");
    });
}

#[test]
fn a_leader_whose_api_server_turns_hostile_stops_in_time() {
    in_every_mood(|mood| {
        let server = Server::start(Mood::Honest);
        let elector = server.elector();
        eventually("it leads", || elector.leads("/").then_some(()));
        *server.mood.lock().unwrap() = mood;
        // A renewal may have been sent just before, and no other one is confirmed.
        let until = now() + RENEW_DEADLINE + Duration::from_millis(50);
        eventually("it leads no more", || {
            let reply = elector.get("/");
            let leads = reply.json()["leader"] == true;
            assert!(!leads || reply.asked <= until, "{mood:?}");
            (!leads && reply.asked > until).then_some(())
        });
        assert_eq!(elector.get("/leader").status, 503, "{mood:?}");
        *server.mood.lock().unwrap() = Mood::Honest;
        eventually("it leads again", || elector.leads("/").then_some(()));
    });
}

#[test]
fn the_trace_of_who_asks_goes_with_the_write() {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let server = Server::start(Mood::Honest);
    let elector = server.elector();
    eventually("it leads", || elector.leads("/").then_some(()));
    let header = format!("traceparent: {trace}\r\n");
    assert_eq!(
        ask_with(elector.address, "POST", "/resign", &header).unwrap().status,
        200
    );
    let traced = &server.store.lock().unwrap().traced;
    assert_eq!(*traced, [("PUT".to_owned(), trace.to_owned())]);
}
