//! What is not there yet, or goes away.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use outrigger_harness::NatsServer;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn items_wait_until_the_application_is_up() {
    let Some(nats) = NatsServer::start("") else { return };
    let mut application = Application::prepare(|_| reply(200, "at last"));
    for (queue_name, ready) in [("orders", None), ("letters", Some("/healthz"))] {
        let mut more = vec!["--queue", queue_name, "--max-attempts", "1"];
        let url = application.url();
        more.extend(["--application", &url]);
        if let Some(path) = ready {
            more.extend(["--ready", path]);
        }
        let worker = Worker::start(&nats.url(), &more);
        worker.lacks("the application is not up").await;
        let queue = Queue {
            name: queue_name,
            ..Queue::connect(&nats.url()).await
        };
        queue.put("a", "").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let waiting = worker.json("/status").await;
        assert_eq!(
            (&waiting["pending"], &waiting["applicationUp"]),
            (&1.into(), &false.into())
        );
        application.run();
        assert_eq!(queue.results_of(1).await["a"].attempt, "1");
        assert_eq!(worker.get("/readyz").await.0, 200);
        application.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_answers_an_error_is_not_up() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, ""));
    let worker = Worker::start(
        &nats.url(),
        &["--application", &application.url(), "--ready", "/nowhere"],
    );
    let queue = Queue::connect(&nats.url()).await;
    queue.put("a", "").await;
    worker.lacks("the application is not up").await;
    assert_eq!(application.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_may_be_away_at_the_start_and_later() {
    let Some(mut nats) = NatsServer::prepare("") else {
        return;
    };
    let application = Application::start(|_| reply(200, ""));
    let worker = Worker::start(&nats.url(), &["--application", &application.url(), "--ack-wait", "2s"]);
    // It lives, and says what is wrong.
    assert_eq!(worker.get("/livez").await.0, 200);
    worker.lacks("not connected to NATS at nats://127.0.0.1:").await;
    let (status, answer) = worker.post("/items", &[], "x").await;
    assert_eq!(
        (status, answer["error"].as_str().unwrap().contains("not connected")),
        (503, true),
        "{answer}"
    );
    let mut expected = 0;
    for round in 0..3 {
        nats.run();
        worker.ready().await;
        let (status, answer) = worker
            .post("/items", &[("idempotency-key", &format!("r{round}"))], "x")
            .await;
        assert_eq!(status, 202, "{answer}");
        expected += 1;
        let queue = Queue::connect(&nats.url()).await;
        queue.results_of(expected).await;
        nats.kill();
        worker.lacks("not connected").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_made_again() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, ""));
    let worker = Worker::start(&nats.url(), &["--application", &application.url()]);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for id in ["a", "b"] {
        queue.put(id, "").await;
        queue.results_of(1).await;
        for stream in ["orders", "orders-results", "orders-dead", "orders-attempts"] {
            queue.context.delete_stream(stream).await.unwrap();
        }
        eventually("the stream is there again", async || {
            queue.context.get_stream("orders-results").await.ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_and_a_token_come_from_the_environment() {
    let application = Application::start(|_| reply(200, ""));
    for (settings, environment) in [
        (
            "authorization {user: w, password: s3cret}\n",
            vec![("OUTRIGGER_NATS_USER", "w"), ("OUTRIGGER_NATS_PASSWORD", "s3cret")],
        ),
        (
            "authorization {token: s3cret}\n",
            vec![("OUTRIGGER_NATS_TOKEN", "s3cret")],
        ),
    ] {
        let Some(nats) = NatsServer::start(settings) else {
            return;
        };
        let more = ["--application", &application.url()];
        let refused = Worker::start(&nats.url(), &more);
        let worker = Worker::with_environment(&environment, &nats.url(), &more);
        worker.ready().await;
        refused.lacks("not connected").await;
        assert!(!worker.log().contains("s3cret"), "{}", worker.log());
    }
}
