//! Leaves that are processes of their own: this test binary, started again with one test, which is a leaf.
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use outrigger_harness::keeper::{Kept, Program};
use std::convert::Infallible;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const VARIABLE: &str = "OUTRIGGER_TEST_LEAF";

/// Starts a leaf that calls itself `name`, at an address, and waits until it listens. `manner` is `prompt`, `slow`, `dribble` or
/// `garbage`.
pub async fn start(name: &str, address: &str, manner: &str) -> Kept {
    let itself = std::env::current_exe().unwrap().display().to_string();
    let leaf = format!("{VARIABLE}={name} {address} {manner}");
    let test = ["processes::a_leaf", "--exact", "--ignored", "--nocapture"].map(str::to_owned);
    let kept = Program {
        path: Path::new("/usr/bin/env"),
        arguments: [leaf, itself].into_iter().chain(test).collect(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        scratch: None,
    }
    .start()
    .unwrap();
    crate::stage::eventually("a leaf listens", || async { TcpStream::connect(address).await.ok() }).await;
    kept
}

/// What a leaf answers to this path and query.
pub fn body(name: &str, path: &str) -> String {
    format!("{{\"leaf\":\"{name}\",\"path\":\"{path}\"}}")
}

#[test]
#[ignore = "a process that other tests start"]
fn a_leaf() {
    let Ok(variable) = std::env::var(VARIABLE) else { return };
    let [name, address, manner] = variable.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{variable}")
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(name.to_owned(), address, manner.to_owned()));
}

async fn serve(name: String, address: &str, manner: String) {
    // Its predecessor at the port may just have been killed.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (name, manner) = (name.clone(), manner.clone());
        tokio::spawn(async move {
            match manner.as_str() {
                "garbage" => garbage(stream).await,
                "dribble" => dribble(stream).await,
                manner => http(stream, name, manner == "slow").await,
            }
        });
    }
}

async fn http(stream: TcpStream, name: String, slow: bool) {
    let answer = |request: Request<Incoming>| {
        let body = body(&name, request.uri().path_and_query().map_or("", |path| path.as_str()));
        async move {
            if slow {
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
            let answer = Response::builder().header("content-type", "application/json");
            Ok::<_, Infallible>(answer.body(Full::new(Bytes::from(body))).unwrap())
        }
    };
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
}

async fn garbage(mut stream: TcpStream) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).await.unwrap_or(0);
    // Not always the same, and sometimes almost right.
    let answers: [&[u8]; 4] = [
        b"\x00\xff\x00\xff\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"leaf\":",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{\"leaf\":",
    ];
    let sum = request[..length]
        .iter()
        .fold(0, |sum: usize, byte| sum + usize::from(*byte));
    let _ = stream.write_all(answers[sum % answers.len()]).await;
}

async fn dribble(mut stream: TcpStream) {
    let _ = stream.read(&mut [0; 4096]).await;
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
    for byte in head.iter().chain(std::iter::repeat(&b'1')) {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
