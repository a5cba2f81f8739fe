//! The program, running, and a client of it.
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use outrigger_harness::keeper::{Kept, Program};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_outrigger-runtime");

/// `outrigger-runtime gather`, running; it ends when this is dropped.
pub struct Gather {
    pub address: String,
    admin: String,
    log: Arc<Mutex<Vec<Value>>>,
    client: Client<HttpConnector, Full<Bytes>>,
    pub kept: Kept,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub fn client() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).build_http()
}

impl Gather {
    /// Starts it with these flags, besides ports of its own, and waits until it serves.
    pub async fn start(flags: &[&str]) -> Gather {
        Gather::with_environment(flags, &[]).await
    }

    pub async fn with_environment(flags: &[&str], environment: &[(&str, &str)]) -> Gather {
        let own = [
            "gather",
            "--listen=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--log-format=json",
        ];
        let mut arguments: Vec<String> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        arguments.push(PROGRAM.to_owned());
        arguments.extend(own.iter().chain(flags).map(|flag| (*flag).to_owned()));
        let mut kept = Program {
            path: Path::new("/usr/bin/env"),
            arguments,
            stdout: Stdio::null(),
            stderr: Stdio::piped(),
            scratch: None,
        }
        .start()
        .unwrap();
        let log = Arc::<Mutex<Vec<Value>>>::default();
        let (lines, stderr) = (Arc::clone(&log), kept.take_stderr().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                lines.lock().unwrap().push(line);
            }
        });
        let mut gather = Gather {
            address: String::new(),
            admin: String::new(),
            log,
            client: client(),
            kept,
        };
        let serving = eventually("it serves", || async { gather.logged("serving") }).await;
        gather.address = serving["listen"].as_str().unwrap().to_owned();
        gather.admin = serving["admin"].as_str().unwrap().to_owned();
        gather
    }

    /// The first line with this message.
    pub fn logged(&self, message: &str) -> Option<Value> {
        let log = self.log.lock().unwrap();
        log.iter().find(|line| line["message"] == message).cloned()
    }

    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let sent = self.try_send(method, path, headers, body).await;
        sent.unwrap_or_else(|error| panic!("{error}\n{:?}", self.log()))
    }

    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer, String> {
        let url = format!("http://{}{path}", self.address);
        send(&self.client, method, &url, headers, body.into()).await
    }

    pub async fn admin(&self, path: &str) -> Answer {
        send(
            &self.client,
            "GET",
            &format!("http://{}{path}", self.admin),
            &[],
            Bytes::new(),
        )
        .await
        .unwrap()
    }

    pub async fn ready(&self) {
        eventually("it is ready", || async {
            (self.admin("/readyz").await.status == 200).then_some(())
        })
        .await;
    }

    /// The value of a series, as `shard_requests_total{shard="a",result="answered"}`; 0 where there is none.
    pub async fn metric(&self, series: &str) -> f64 {
        let text = self.admin("/metrics").await;
        let mut lines = text.text().lines();
        let value = lines.find_map(|line| {
            line.strip_prefix("outrigger_gather_")?
                .strip_prefix(series)?
                .trim()
                .parse()
                .ok()
        });
        value.unwrap_or(0.0)
    }

    /// The program's process, below the shell that keeps it.
    pub fn pid(&self) -> u32 {
        self.kept.process("outrigger").unwrap()
    }

    pub fn signal(&self, signal: &str) {
        let sent = std::process::Command::new("kill")
            .args(["-s", signal, &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }
}

pub async fn send(
    client: &Client<HttpConnector, Full<Bytes>>,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Result<Answer, String> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let whole = async {
        let answer = client
            .request(request.body(Full::new(body)).unwrap())
            .await
            .map_err(|error| format!("{error:?}"))?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    };
    match tokio::time::timeout(Duration::from_secs(120), whole).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer of {url} in two minutes")),
    }
}

/// Tries until there is a result.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = attempt().await {
            return result;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
