//! SIGTERM.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use outrigger_harness::NatsServer;

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_finishes_what_it_has_and_takes_nothing_more() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, "done").after(2_000));
    let more = [
        "--application",
        &application.url(),
        "--concurrency",
        "2",
        "--shutdown-grace",
        "50s",
        "--ack-wait",
        "300s",
    ];
    let mut worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    for item in 0..6 {
        queue.put(&format!("i{item}"), "").await;
    }
    eventually("two are in progress", async || {
        (application.calls().len() == 2).then_some(())
    })
    .await;
    worker.terminate();
    worker.lacks("stopping").await;
    // The application may still enqueue what follows from the items that it has.
    assert_eq!(worker.post("/items", &[], "more").await.0, 202);
    assert!(worker.ended().await.success(), "{}", worker.log());
    assert_eq!((application.calls().len(), queue.results().await.len()), (2, 2));
    // The others were given back at once, not after the long ack wait.
    let _next = Worker::start(&nats.url(), &more);
    queue.results_of(7).await;
    assert!(application.calls().iter().all(|call| call.attempt == 1));
    assert_eq!(application.calls().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_done_within_the_grace_goes_to_another_worker_at_once_and_costs_no_attempt() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start({
        let first = std::sync::atomic::AtomicBool::new(true);
        move |_| match first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            true => reply(200, "too late").after(300_000),
            false => reply(200, "in time"),
        }
    });
    let more = [
        "--application",
        &application.url(),
        "--shutdown-grace",
        "500ms",
        "--ack-wait",
        "300s",
        "--max-attempts",
        "1",
        "--timeout",
        "300s",
    ];
    let mut worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    queue.put("long", "").await;
    eventually("it is in progress", async || {
        (application.calls().len() == 1).then_some(())
    })
    .await;
    worker.terminate();
    assert!(worker.ended().await.success());
    let _next = Worker::start(&nats.url(), &more);
    let result = queue.results_of(1).await["long"].clone();
    assert_eq!((result.body.as_str(), result.attempt.as_str()), ("in time", "1"));
}
