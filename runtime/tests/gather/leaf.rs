//! Leaves, and a merging container, in the test's own process: they do what the test wants, and tell what they saw.
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What a leaf was sent.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What a leaf does with a request.
#[derive(Debug, Clone)]
pub struct Says {
    pub after: Duration,
    pub status: u16,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Bytes,
}

pub fn says(body: impl Into<Bytes>) -> Says {
    Says {
        after: Duration::ZERO,
        status: 200,
        headers: vec![("content-type", "application/json")],
        body: body.into(),
    }
}

impl Says {
    pub fn status(mut self, status: u16) -> Says {
        self.status = status;
        self
    }

    pub fn after(mut self, milliseconds: u64) -> Says {
        self.after = Duration::from_millis(milliseconds);
        self
    }

    pub fn headers(mut self, headers: &[(&'static str, &'static str)]) -> Says {
        self.headers = headers.to_vec();
        self
    }
}

/// A leaf; it ends when this is dropped.
pub struct Leaf {
    pub address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    says: Arc<Mutex<Says>>,
    connections: Arc<AtomicUsize>,
    abandoned: Arc<AtomicUsize>,
    serving: AbortHandle,
}

impl Leaf {
    pub async fn start(says: Says) -> Leaf {
        Leaf::at("127.0.0.1:0", says).await
    }

    pub async fn at(address: &str, says: Says) -> Leaf {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (seen, connections) = (Arc::default(), Arc::<AtomicUsize>::default());
        let (says, abandoned) = (Arc::new(Mutex::new(says)), Arc::default());
        let leaf_parts = (Arc::clone(&seen), Arc::clone(&says), Arc::clone(&abandoned));
        let counted = Arc::clone(&connections);
        let serving = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                open.spawn(connection(stream, leaf_parts.clone()));
            }
        });
        Leaf {
            address,
            seen,
            says,
            connections,
            abandoned,
            serving: serving.abort_handle(),
        }
    }

    /// From now on it says this.
    pub fn says(&self, says: Says) {
        *self.says.lock().unwrap() = says;
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// How many connections were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests whoever sent them did not wait for.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::SeqCst)
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

type Parts = (Arc<Mutex<Vec<Seen>>>, Arc<Mutex<Says>>, Arc<AtomicUsize>);

async fn connection(stream: TcpStream, parts: Parts) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(request, parts.clone()));
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<Incoming>,
    (seen, says, abandoned): Parts,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    seen.lock().unwrap().push(Seen {
        method: head.method.to_string(),
        path: head.uri.to_string(),
        headers: head.headers,
        body,
    });
    let says = says.lock().unwrap().clone();
    let waited_for = Waited(Some(abandoned));
    tokio::time::sleep(says.after).await;
    waited_for.ended();
    let mut answer = Response::builder().status(says.status);
    for (name, value) in says.headers {
        answer = answer.header(name, value);
    }
    Ok(answer.body(Full::new(says.body)).unwrap())
}

/// Counts itself when it is dropped before the end.
struct Waited(Option<Arc<AtomicUsize>>);

impl Waited {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Waited {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.0 {
            abandoned.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// A server that answers each connection with these bytes, piece by piece, and then keeps it open; its address.
pub async fn raw(pieces: Vec<(u64, Bytes)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let pieces = pieces.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                for (after, piece) in pieces {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                }
                let _ = stream.read(&mut [0; 4096]).await;
            });
        }
    });
    address
}

/// A server whose answers never end; its address.
pub async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
                while stream.write_all(&chunk).await.is_ok() {}
            });
        }
    });
    address
}

/// An address where nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
