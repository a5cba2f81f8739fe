//! Dead letters.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::Worker;
use outrigger_harness::NatsServer;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_dead_at_once_with_the_reason_and_can_be_tried_again() {
    let Some(nats) = NatsServer::start("") else { return };
    let mended = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&mended);
    let application = Application::start(move |call| match broken.load(Ordering::SeqCst) {
        false if call.id == "bad.one" => reply(422, "no such\narticle: 17"),
        false if call.id == "moved" => reply(302, ""),
        false if call.id == "worn" => reply(500, "out of paper"),
        _ => reply(200, format!("{} {}", call.attempt, call.body)),
    });
    let worker = Worker::start(
        &nats.url(),
        &["--application", &application.url(), "--max-attempts", "2"],
    );
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    let (status, _) = worker
        .post(
            "/items",
            &[("idempotency-key", "bad.one"), ("content-type", "text/order")],
            "17",
        )
        .await;
    assert_eq!(status, 202);
    for id in ["moved", "worn", "good"] {
        queue.put(id, id).await;
    }
    queue.results_of(1).await;
    queue.waits_for("orders-dead", 3).await;
    queue.waits_for("orders", 0).await;
    let listed = worker.json("/dead").await;
    let letter = |id: &str| {
        listed["dead"]
            .as_array()
            .unwrap()
            .iter()
            .find(|letter| letter["id"] == id)
            .unwrap()
            .clone()
    };
    let told = |id: &str| {
        (
            letter(id)["reason"].as_str().unwrap().to_owned(),
            letter(id)["attempts"].as_u64().unwrap(),
        )
    };
    assert_eq!(
        told("bad.one"),
        ("422 Unprocessable Entity: no such article: 17".to_owned(), 1)
    );
    assert_eq!(told("moved"), ("302 Found".to_owned(), 1));
    assert_eq!(told("worn"), ("500 Internal Server Error: out of paper".to_owned(), 2));
    assert_eq!(letter("bad.one")["bytes"], 2);
    let first = worker.json("/dead?limit=1").await["dead"][0].clone();
    let rest = worker.json(&format!("/dead?after={}", first["sequence"])).await;
    assert_eq!(rest["dead"].as_array().map(Vec::len), Some(2));

    mended.store(true, Ordering::SeqCst);
    let (status, answer) = worker.post("/dead/nobody/retry", &[], "").await;
    assert_eq!(status, 404);
    assert!(
        answer["error"].as_str().unwrap().contains("GET /dead lists them"),
        "{answer}"
    );
    assert_eq!(worker.post("/dead/bad.one/retry", &[], "").await.0, 202);
    let results = queue.results_of(2).await;
    // Its attempts begin anew.
    assert_eq!(results["bad.one"].body, "1 17");
    assert_eq!(
        application.calls().last().unwrap().headers["content-type"],
        "text/order"
    );
    queue.waits_for("orders-dead", 2).await;
    assert_eq!(worker.post("/dead/bad.one/retry", &[], "").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_blocks_nobody() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| match call.id.starts_with("poison") {
        true => reply(500, "again and again"),
        false => reply(200, ""),
    });
    // One at a time, and poison waits for so long that the others would never come if they had to wait with it.
    let more = [
        "--application",
        &application.url(),
        "--concurrency",
        "1",
        "--backoff",
        "600s",
        "--max-backoff",
        "600s",
    ];
    let worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for item in 0..1_200 {
        queue.put(&format!("poison-{item}"), "").await;
    }
    queue.put("good", "").await;
    queue.results_of(1).await;
    assert_eq!(
        application
            .calls()
            .iter()
            .filter(|call| call.id.starts_with("poison"))
            .count(),
        1_200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_is_told_and_the_item_is_not_tried_forever() {
    let Some(nats) = NatsServer::start("max_payload: 20000\n") else {
        return;
    };
    let application = Application::start(|_| reply(200, "x".repeat(100_000)));
    let worker = Worker::start(&nats.url(), &["--application", &application.url()]);
    worker.ready().await;
    let (status, answer) = worker.post("/items", &[], &"x".repeat(19_000)).await;
    assert_eq!(
        (status, answer["error"].as_str().unwrap().contains("max_payload")),
        (413, true),
        "{answer}"
    );
    assert_eq!(worker.post("/items", &[("idempotency-key", "a")], "x").await.0, 202);
    let queue = Queue::connect(&nats.url()).await;
    queue.waits_for("orders-dead", 1).await;
    let listed: Value = worker.json("/dead").await;
    assert!(
        listed["dead"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("more than the NATS server takes"),
        "{listed}"
    );
    assert_eq!(application.attempts("a"), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_dead_letters_are_full_the_item_stays_in_the_queue() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(400, "no"));
    let more = [
        "--application",
        &application.url(),
        "--dead-max-bytes",
        "2KiB",
        "--max-backoff",
        "1s",
        "--max-attempts",
        "1",
    ];
    let worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for item in 0..3 {
        queue.put(&format!("i{item}"), &"x".repeat(900)).await;
    }
    queue.waits_for("orders-dead", 1).await;
    queue.waits_for("orders", 2).await;
    assert!(worker.log().contains("does not take the dead item"), "{}", worker.log());
    // The application is not asked again and again.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!((queue.count("orders").await, application.calls().len()), (2, 3));
    queue.stream("orders-dead").await.purge().await.unwrap();
    queue.waits_for("orders", 1).await;
}
