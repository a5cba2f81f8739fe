//! Questions over HTTP, with the instants of question and reply.
use outrigger_harness::claims::Claim;
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, LazyLock, Mutex, atomic::AtomicBool, atomic::Ordering},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Longer than any process is stopped here.
const PATIENCE: Duration = Duration::from_secs(30);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Now, on the clock of all instants in these tests.
pub fn now() -> Duration {
    START.elapsed()
}

/// A reply, and when it was asked for and had.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: String,
    pub body: String,
    pub asked: Duration,
    pub answered: Duration,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks with these headers (each ending its line), on a connection of its own.
pub fn ask_with(address: SocketAddr, method: &str, path: &str, headers: &str) -> io::Result<Reply> {
    let asked = now();
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    connection.write_all(request.as_bytes())?;
    let mut text = String::new();
    connection.read_to_string(&mut text)?;
    let answered = now();
    let broken = || io::Error::other(format!("not a reply: {text:?}"));
    let (headers, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Reply {
        status: status.ok_or_else(broken)?,
        headers: headers.to_lowercase(),
        body: body.to_owned(),
        asked,
        answered,
    })
}

/// Asks without headers of its own.
pub fn ask(address: SocketAddr, method: &str, path: &str) -> io::Result<Reply> {
    ask_with(address, method, path, "")
}

/// The claim in a reply, if it is one.
pub fn claim(by: &str, reply: &Reply) -> Option<Claim> {
    let body = reply.json();
    body["leader"].as_bool().unwrap().then(|| Claim {
        by: by.to_owned(),
        token: body["fencingToken"].as_u64().unwrap(),
        asked: reply.asked,
        answered: reply.answered,
        valid_for: Duration::from_millis(body["validForMs"].as_u64().unwrap()),
    })
}

/// Asks a process again and again who leads, and keeps each of its claims.
pub struct Interrogation {
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Interrogation {
    /// Ends by itself when nobody listens any more.
    pub fn start(address: SocketAddr, path: &str, identity: &str, claims: &Arc<Mutex<Vec<Claim>>>) -> Interrogation {
        let ended = Arc::new(AtomicBool::new(false));
        let (over, claims) = (Arc::clone(&ended), Arc::clone(claims));
        let (path, identity) = (path.to_owned(), identity.to_owned());
        let thread = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match ask(address, "GET", &path) {
                    Ok(reply) => claims.lock().unwrap().extend(claim(&identity, &reply)),
                    Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
                    // It was killed meanwhile.
                    Err(_) => {}
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Interrogation {
            ended,
            thread: Some(thread),
        }
    }
}

impl Drop for Interrogation {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The events of a stream, each with the instant when it was read.
pub struct Events {
    lines: std::sync::mpsc::Receiver<(Duration, Value)>,
}

impl Events {
    pub fn open(address: SocketAddr, path: &str) -> Events {
        let mut connection = TcpStream::connect(address).unwrap();
        write!(connection, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let (send, lines) = std::sync::mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(connection).lines().map_while(Result::ok) {
                if let Some(data) = line.strip_prefix("data: ") {
                    let event = serde_json::from_str(data).unwrap();
                    if send.send((now(), event)).is_err() {
                        return;
                    }
                }
            }
        });
        Events { lines }
    }

    /// The next event.
    pub fn next(&self) -> (Duration, Value) {
        self.lines.recv_timeout(PATIENCE).expect("no event came")
    }

    /// The next event that this is true of.
    pub fn until(&self, wanted: impl Fn(&Value) -> bool) -> (Duration, Value) {
        loop {
            let (at, event) = self.next();
            if wanted(&event) {
                return (at, event);
            }
        }
    }

    /// Whether the stream has ended.
    pub fn ended(&self) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(error) => return error == std::sync::mpsc::RecvTimeoutError::Disconnected,
            }
        }
    }
}

/// Tries until there is a result.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
