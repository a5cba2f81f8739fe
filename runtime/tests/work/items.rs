//! What the application gets, and what becomes of its answer.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::Worker;
use outrigger_harness::NatsServer;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

#[tokio::test(flavor = "multi_thread")]
async fn an_item_is_posted_with_its_id_and_the_answer_is_its_result() {
    let Some(nats) = NatsServer::start("") else { return };
    let application =
        Application::start(|call| reply(200, call.body.to_uppercase()).header("content-type", "text/x-shout"));
    let worker = Worker::start(&nats.url(), &["--application", &application.url(), "--timeout", "20s"]);
    worker.ready().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = [
        ("idempotency-key", "order-17"),
        ("traceparent", trace),
        ("content-type", "text/plain"),
        ("tracestate", "a=b"),
    ];
    let (status, told) = worker.post("/items", &headers, "hello").await;
    assert_eq!(
        (status, &told["id"], &told["duplicate"]),
        (202, &"order-17".into(), &false.into())
    );

    let queue = Queue::connect(&nats.url()).await;
    let result = queue.results_of(1).await["order-17"].clone();
    assert_eq!((result.body.as_str(), result.attempt.as_str()), ("HELLO", "1"));
    let header = |name: &str| result.message.headers.get(name).map(|value| value.as_str().to_owned());
    assert_eq!(header("traceparent").as_deref(), Some(trace));
    assert_eq!(header("content-type").as_deref(), Some("text/x-shout"));
    // The item is gone once its result is there.
    queue.waits_for("orders", 0).await;

    let call = &application.calls()[0];
    let header = |name: &str| call.headers[name].to_str().unwrap();
    assert_eq!(
        (call.attempt, call.body.as_str(), header("content-type")),
        (1, "hello", "text/plain")
    );
    assert_eq!((header("traceparent"), header("tracestate")), (trace, "a=b"));
    let deadline = OffsetDateTime::parse(header("outrigger-deadline"), &Rfc3339).unwrap();
    let left = deadline - OffsetDateTime::now_utc();
    assert!(left.is_positive() && left.whole_seconds() <= 20, "{left}");
    assert_eq!(application.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_without_a_name_gets_one_and_hostile_names_are_made_safe() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| reply(200, call.id.clone()));
    let worker = Worker::start(&nats.url(), &["--application", &application.url()]);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    queue
        .context
        .publish("orders.items", "nameless".into())
        .await
        .unwrap()
        .await
        .unwrap();
    queue.put("../a b", "named").await;
    let (_, told) = worker.post("/items", &[], "given").await;
    let results = queue.results_of(3).await;
    assert!(results.contains_key(told["id"].as_str().unwrap()), "{results:?}");
    assert_eq!(results["%2E.%2Fa%20b"].body, "%2E.%2Fa%20b");
    assert!(results.keys().any(|id| id.starts_with("@1-")), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_enqueues_once_and_a_bad_one_is_refused_with_the_way_out() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(204, ""));
    let worker = Worker::start(&nats.url(), &["--application", &application.url()]);
    worker.ready().await;
    let mut told = Vec::new();
    for key in ["k-1", "\"k-1\"", "k-1"] {
        let (status, answer) = worker.post("/items", &[("idempotency-key", key)], "x").await;
        assert_eq!(status, 202, "{answer}");
        told.push(answer["duplicate"].as_bool().unwrap());
    }
    assert_eq!(told, [false, true, true]);
    for bad in ["", "a b", "\u{e4}", &"x".repeat(129)] {
        let (status, answer) = worker.post("/items", &[("idempotency-key", bad)], "x").await;
        assert_eq!(status, 400, "{bad}");
        assert!(
            answer["error"].as_str().unwrap().contains("a UUID is a good one"),
            "{answer}"
        );
    }
    let queue = Queue::connect(&nats.url()).await;
    queue.results_of(1).await;
    queue.waits_for("orders", 0).await;
    assert_eq!((application.calls().len(), queue.count("orders-results").await), (1, 1));
    // The same name after the window is another item, whose result is not taken for the first one's.
    let metric = worker
        .metric("outrigger_work_enqueued_total{outcome=\"duplicate\"}")
        .await;
    assert!((metric - 2.0).abs() < 0.1, "{metric}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_never_has_more_than_the_concurrency_and_all_of_it() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, "").after(100));
    let worker = Worker::start(
        &nats.url(),
        &["--application", &application.url(), "--concurrency", "3"],
    );
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for item in 0..20 {
        queue.put(&format!("i{item}"), "").await;
    }
    queue.results_of(20).await;
    assert_eq!(application.most_at_a_time(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_that_nobody_wants_are_not_published() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, "unwanted"));
    let worker = Worker::start(&nats.url(), &["--application", &application.url(), "--results", "none"]);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    queue.put("a", "").await;
    queue.waits_for("orders", 0).await;
    assert!(queue.context.get_stream("orders-results").await.is_err());
    assert_eq!(application.attempts("a"), [1]);
}

/// The budget is for a release build; what any build needs is told, and must not be absurd.
#[tokio::test(flavor = "multi_thread")]
async fn it_starts_at_once_and_needs_little_memory() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, ""));
    let begin = std::time::Instant::now();
    let worker = Worker::start(&nats.url(), &["--application", &application.url()]);
    let started = begin.elapsed();
    worker.ready().await;
    let resident = worker.resident();
    println!("listens after {started:?}, {resident} KiB resident");
    assert!(resident < 60 * 1024, "{resident} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metrics_tell_how_the_queue_is_doing() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| match call.id.as_str() {
        "slow" => reply(200, "").after(60_000),
        "bad" => reply(400, "no"),
        _ => reply(200, ""),
    });
    let worker = Worker::start(
        &nats.url(),
        &["--application", &application.url(), "--concurrency", "1"],
    );
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for id in ["good", "bad", "slow", "a", "b", "c", "d", "e", "f"] {
        queue.put(id, "").await;
    }
    let told = crate::worker::eventually("the status", async || {
        let status = worker.json("/status").await;
        (status["dead"] == 1 && status["inFlight"] == 1 && status["pending"].as_u64() > Some(0)).then_some(status)
    });
    let told = told.await;
    assert_eq!(
        (&told["queue"], &told["connected"], &told["applicationUp"]),
        (&"orders".into(), &true.into(), &true.into())
    );
    assert_eq!(
        (&told["concurrency"], &told["trouble"]),
        (&1.into(), &serde_json::Value::Null)
    );
    crate::worker::eventually("the gauges", async || {
        let dead = worker.metric("outrigger_work_dead ").await;
        let pending = worker.metric("outrigger_work_pending ").await;
        (dead > 0.5 && pending > 0.5).then_some(())
    })
    .await;
    for (metric, expected) in [
        ("outrigger_work_attempts_total{outcome=\"done\"}", 1.0),
        ("outrigger_work_attempts_total{outcome=\"dead\"}", 1.0),
        ("outrigger_work_results_total{outcome=\"published\"}", 1.0),
        ("outrigger_work_in_flight ", 1.0),
        ("outrigger_work_connected ", 1.0),
        ("outrigger_work_application_up ", 1.0),
        ("outrigger_work_attempt_seconds_count", 2.0),
        ("outrigger_work_latency_seconds_count", 1.0),
    ] {
        let value = worker.metric(metric).await;
        assert!((value - expected).abs() < 0.1, "{metric}: {value}");
    }
    assert_eq!(worker.get("/livez").await.0, 200);
}
