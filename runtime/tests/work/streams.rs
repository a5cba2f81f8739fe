//! Streams that exist, that are made, and that are full.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use outrigger_harness::NatsServer;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_made_with_the_stated_limits_and_nothing_is_discarded_silently() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, ""));
    let more = [
        "--application",
        &application.url(),
        "--max-bytes",
        "64MiB",
        "--results-max-bytes",
        "32MiB",
        "--dead-max-bytes",
        "16MiB",
    ];
    let workers = [Worker::start(&nats.url(), &more), Worker::start(&nats.url(), &more)];
    for worker in &workers {
        worker.ready().await;
    }
    let queue = Queue::connect(&nats.url()).await;
    for (name, retention, mib) in [
        ("orders", RetentionPolicy::WorkQueue, 64),
        ("orders-results", RetentionPolicy::Limits, 32),
        ("orders-dead", RetentionPolicy::Limits, 16),
    ] {
        let config = queue.stream(name).await.cached_info().config.clone();
        assert_eq!(
            (config.retention, config.max_bytes, config.discard),
            (retention, mib << 20, DiscardPolicy::New),
            "{name}"
        );
        assert_eq!((config.max_age, config.max_messages), (Duration::ZERO, -1), "{name}");
    }
    let consumer = queue
        .stream("orders")
        .await
        .get_consumer::<pull::Config>("workers")
        .await
        .unwrap();
    let config = &consumer.cached_info().config;
    assert_eq!(
        (config.max_deliver, config.max_ack_pending, config.ack_wait),
        (-1, -1, Duration::from_secs(30))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_exist_are_used_as_they_are() {
    let Some(nats) = NatsServer::start("") else { return };
    let queue = Queue::connect(&nats.url()).await;
    let made = |name: &str, subjects: &[&str], retention| Config {
        name: name.to_owned(),
        subjects: subjects.iter().map(|&subject| subject.to_owned()).collect(),
        retention,
        max_bytes: 5 << 20,
        ..Config::default()
    };
    for config in [
        made("shop", &["shop.>"], RetentionPolicy::WorkQueue),
        made("answers", &["answers.*"], RetentionPolicy::Limits),
    ] {
        queue.context.create_stream(config).await.unwrap();
    }
    let application = Application::start(|_| reply(200, ""));
    let more = [
        "--application",
        &application.url(),
        "--stream",
        "shop",
        "--subject",
        "shop.orders",
        "--results-stream",
        "answers",
        "--results-subject",
        "answers.orders",
    ];
    let worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    assert_eq!(worker.post("/items", &[("idempotency-key", "a")], "x").await.0, 202);
    queue.waits_for("answers", 1).await;
    queue.waits_for("shop", 0).await;
    assert_eq!(queue.stream("shop").await.cached_info().config.max_bytes, 5 << 20);
    // What could get lost there is told.
    assert!(worker.log().contains("discards old results"), "{}", worker.log());
    assert!(
        worker.log().contains("discards the items that have waited longest"),
        "{}",
        worker.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_told_with_the_way_out() {
    let Some(nats) = NatsServer::start("") else { return };
    let queue = Queue::connect(&nats.url()).await;
    let application = Application::start(|_| reply(200, ""));
    let url = application.url();
    let start = |more: &[&str]| Worker::start(&nats.url(), &[&["--application", url.as_str()], more].concat());

    let worker = start(&["--create", "false"]);
    worker
        .lacks("stream orders does not exist; make it, or set --create true")
        .await;
    // As soon as somebody does, it goes on.
    let makes = start(&[]);
    makes.ready().await;
    worker.ready().await;

    let other = Config {
        name: "other".to_owned(),
        subjects: vec!["elsewhere".to_owned()],
        ..Config::default()
    };
    let other = queue.context.create_stream(other).await.unwrap();
    let worker = start(&["--stream", "other"]);
    worker.lacks("stream other holds elsewhere, but not orders.items; add it to the stream's subjects, or name another by --subject").await;

    let limited = pull::Config {
        durable_name: Some("limited".to_owned()),
        max_deliver: 3,
        ..pull::Config::default()
    };
    other.create_consumer(limited).await.unwrap();
    for stream in ["orders-results", "orders-dead", "orders-attempts"] {
        queue.stream(stream).await;
    }
    let worker = start(&[
        "--stream",
        "other",
        "--subject",
        "elsewhere",
        "--consumer",
        "limited",
        "--create",
        "false",
    ]);
    worker
        .lacks("stops delivering an item after 3 times, so that items would get lost; set its max deliver to -1")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_new_items_and_says_so() {
    let Some(nats) = NatsServer::start("") else { return };
    let mut application = Application::prepare(|_| reply(200, ""));
    let worker = Worker::start(
        &nats.url(),
        &["--application", &application.url(), "--max-bytes", "4KiB"],
    );
    worker.lacks("the application is not up").await;
    let mut taken = 0;
    let refused = loop {
        let (status, answer) = worker
            .post("/items", &[("idempotency-key", &format!("i{taken}"))], &"x".repeat(900))
            .await;
        if status != 202 {
            break (status, answer["error"].as_str().unwrap().to_owned());
        }
        taken += 1;
    };
    assert!(taken > 1 && refused.0 == 503, "{taken}: {refused:?}");
    assert!(
        refused.1.contains("stream orders is full") && refused.1.contains("try again"),
        "{refused:?}"
    );
    application.run();
    let queue = Queue::connect(&nats.url()).await;
    queue.results_of(taken).await;
    assert_eq!(worker.post("/items", &[], "x").await.0, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_results_are_full_items_wait_and_nothing_is_lost() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| reply(200, format!("{}{}", call.id, "x".repeat(900))));
    let worker = Worker::start(
        &nats.url(),
        &[
            "--application",
            &application.url(),
            "--results-max-bytes",
            "4KiB",
            "--ack-wait",
            "2s",
        ],
    );
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for item in 0..20 {
        queue.put(&format!("i{item}"), "").await;
    }
    let told = worker.lacks("stream orders-results is full, so that items wait").await;
    assert!(told.contains("read and delete results, or raise its limits"), "{told}");
    let mut seen = std::collections::BTreeSet::new();
    // Somebody reads them, a few at a time.
    eventually("all results", async || {
        let stream = queue.stream("orders-results").await;
        let results = queue.results().await;
        for result in &results {
            seen.insert(result.id.clone());
            stream.delete_message(result.message.sequence).await.unwrap();
        }
        (seen.len() == 20).then_some(())
    })
    .await;
    queue.waits_for("orders", 0).await;
    worker.ready().await;
}
