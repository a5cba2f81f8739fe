//! Items a second through the worker, beside plain async-nats consumer code that makes the same calls: POST the item, publish the answer and
//! wait for the acknowledgement, acknowledge the item and wait for that too. Both are processes of their own, with the same application,
//! which answers at once, the same server and the same concurrency; they take turns, so that a busy machine troubles both.
//!
//! `cargo bench -p outrigger-runtime --bench work` measures; without `--bench` it only shows that it works.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark fails like a test"
)]

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use axum::{Router, body::Bytes, routing::post};
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use outrigger_harness::NatsServer;
use outrigger_harness::keeper::{Kept, Program};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const CONCURRENCY: usize = 64;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["plain", nats, application] => runtime.block_on(plain(nats, application)),
        _ => {
            let measures = arguments.iter().any(|argument| argument == "--bench");
            let (items, rounds) = if measures { (20_000, 7) } else { (500, 1) };
            runtime.block_on(compare(items, rounds));
        }
    }
}

/// What one writes by hand.
async fn plain(nats: &str, application: &str) {
    let client = async_nats::connect(nats).await.unwrap();
    let context = jetstream::new(client);
    let consumer = context
        .get_consumer_from_stream::<pull::Config, _, _>("workers", "orders")
        .await
        .unwrap();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let messages = consumer.messages().await.unwrap();
    let each = |message: Result<jetstream::Message, _>| {
        let (http, context) = (&http, &context);
        async move {
            let message = message.unwrap();
            let request = hyper::Request::post(application)
                .body(Full::new(message.payload.clone()))
                .unwrap();
            let answer = http.request(request).await.unwrap();
            assert!(answer.status().is_success());
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            let id = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Nats-Msg-Id"))
                .unwrap()
                .as_str();
            let result = PublishMessage::build().message_id(id).payload(body);
            context
                .send_publish("orders.results", result)
                .await
                .unwrap()
                .await
                .unwrap();
            message.double_ack().await.unwrap();
        }
    };
    messages.for_each_concurrent(CONCURRENCY, each).await;
}

/// Answers at once, and remembers when it was first asked.
async fn application(first: Arc<Mutex<Option<Instant>>>) -> String {
    use axum::serve::ListenerExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let listener = listener.tap_io(|connection| connection.set_nodelay(true).unwrap());
    let answer = move |body: Bytes| {
        first.lock().unwrap().get_or_insert_with(Instant::now);
        async move { body }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(answer))).await });
    url
}

/// The same for both.
async fn prepare(context: &Context, items: usize) {
    for stream in ["orders", "orders-results"] {
        let _ = context.delete_stream(stream).await;
    }
    let config = |name: &str, subject: &str, retention| Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        retention,
        discard: DiscardPolicy::New,
        max_bytes: 1 << 30,
        ..Config::default()
    };
    let stream = context
        .create_stream(config("orders", "orders.items", RetentionPolicy::WorkQueue))
        .await
        .unwrap();
    context
        .create_stream(config("orders-results", "orders.results", RetentionPolicy::Limits))
        .await
        .unwrap();
    let consumer = pull::Config {
        durable_name: Some("workers".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(30),
        max_deliver: -1,
        max_ack_pending: -1,
        ..pull::Config::default()
    };
    stream.create_consumer(consumer).await.unwrap();
    let put = |item: usize| async move {
        let message = PublishMessage::build()
            .message_id(format!("i{item}"))
            .payload(vec![b'x'; 256].into());
        context
            .send_publish("orders.items", message)
            .await
            .unwrap()
            .await
            .unwrap();
    };
    futures_util::stream::iter(0..items).for_each_concurrent(256, put).await;
}

fn start(plain: bool, nats: &str, application: &str) -> Kept {
    let concurrency = CONCURRENCY.to_string();
    let (path, arguments) = if plain {
        (std::env::current_exe().unwrap(), vec!["plain", nats, application])
    } else {
        let worker = [
            "work",
            "--listen",
            "127.0.0.1:0",
            "--queue",
            "orders",
            "--create",
            "true",
            "--log-level",
            "warn",
            "--concurrency",
            &concurrency,
        ];
        let mut worker = worker.to_vec();
        worker.extend(["--nats", nats, "--application", application]);
        (PathBuf::from(env!("CARGO_BIN_EXE_outrigger-runtime")), worker)
    };
    let program = Program {
        path: &path,
        arguments: arguments.into_iter().map(str::to_owned).collect(),
        stdout: Stdio::null(),
        stderr: Stdio::inherit(),
        scratch: None,
    };
    program.start().unwrap()
}

/// Items a second, from the first call of the application to the last confirmation.
async fn round(
    plain: bool,
    items: usize,
    nats: &str,
    context: &Context,
    url: &str,
    first: &Mutex<Option<Instant>>,
) -> f64 {
    prepare(context, items).await;
    *first.lock().unwrap() = None;
    let _process = start(plain, nats, url);
    let limit = Instant::now() + Duration::from_secs(300);
    loop {
        let left = context.get_stream("orders").await.unwrap().cached_info().state.messages;
        if left == 0 {
            break;
        }
        assert!(Instant::now() < limit, "{left} items are left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let time = first.lock().unwrap().unwrap().elapsed();
    let results = context
        .get_stream("orders-results")
        .await
        .unwrap()
        .cached_info()
        .state
        .messages;
    assert_eq!(results, items as u64);
    items as f64 / time.as_secs_f64()
}

async fn compare(items: usize, rounds: usize) {
    let Some(nats) = NatsServer::start("") else { return };
    let context = jetstream::new(async_nats::connect(nats.url()).await.unwrap());
    let first = Arc::new(Mutex::new(None));
    let url = application(Arc::clone(&first)).await;
    let mut ratios = Vec::new();
    for number in 1..=rounds {
        let plain = round(true, items, &nats.url(), &context, &url, &first).await;
        let worker = round(false, items, &nats.url(), &context, &url, &first).await;
        ratios.push(worker / plain);
        println!(
            "round {number}: plain {plain:.0} items/s, worker {worker:.0} items/s, ratio {:.2}",
            worker / plain
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "worker / plain: median {:.2}, least {:.2}, most {:.2}",
        ratios[rounds / 2],
        ratios[0],
        ratios[rounds - 1]
    );
}
