//! What fails is tried again, with waits that grow, up to a limit; and only the application's failures count.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use outrigger_harness::NatsServer;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_may_succeed_later_is_tried_again() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| {
        let first = call.attempt == 1;
        match call.body.as_str() {
            "slow" if first => reply(200, "late").after(60_000),
            status if first => reply(status.parse().unwrap(), "not now"),
            _ => reply(200, format!("{} at last", call.attempt)),
        }
    });
    let worker = Worker::start(&nats.url(), &["--application", &application.url(), "--timeout", "2s"]);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    let kinds = ["408", "425", "429", "500", "502", "503", "slow"];
    for kind in kinds {
        queue.put(kind, kind).await;
    }
    let results = queue.results_of(kinds.len()).await;
    for kind in kinds {
        assert_eq!(
            (results[kind].body.as_str(), results[kind].attempt.as_str()),
            ("2 at last", "2"),
            "{kind}"
        );
        assert_eq!(application.attempts(kind), [1, 2]);
    }
    // Nothing is left behind.
    queue.waits_for("orders", 0).await;
    queue.waits_for("orders-attempts", 0).await;
    assert_eq!(queue.count("orders-dead").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_grow_up_to_the_limit_of_attempts_and_retry_after_is_respected() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|call| match call.body.as_str() {
        "asks" if call.attempt == 1 => reply(429, "later").header("retry-after", "2"),
        "asks" => reply(200, ""),
        _ => reply(500, "broken"),
    });
    let more = [
        "--application",
        &application.url(),
        "--max-attempts",
        "4",
        "--backoff",
        "200ms",
        "--max-backoff",
        "3s",
    ];
    let worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    queue.put("asks", "asks").await;
    queue.put("fails", "fails").await;
    queue.results_of(1).await;
    queue.waits_for("orders-dead", 1).await;
    assert_eq!(application.attempts("fails"), [1, 2, 3, 4]);
    let calls = application.calls();
    let between = |id: &str| {
        let times: Vec<_> = calls.iter().filter(|call| call.id == id).map(|call| call.at).collect();
        times
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_millis())
            .collect::<Vec<_>>()
    };
    // The shortest that chance allows; a busy machine may take longer.
    for (wait, least) in between("fails").into_iter().zip([150, 300, 600]) {
        assert!(wait >= least - 20, "{wait} ms, not {least}");
    }
    let asked = between("asks");
    assert!(asked[0] >= 1_950, "{asked:?}");
    assert_eq!(asked.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_uses_up_no_attempt() {
    let Some(nats) = NatsServer::start("") else { return };
    let first = std::sync::atomic::AtomicUsize::new(0);
    let application = Application::start(
        move |call| match first.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0..3 => reply(200, "nobody waits").after(60_000),
            _ => reply(200, format!("attempt {}", call.attempt)),
        },
    );
    // One failure and it would be dead.
    let more = [
        "--application",
        &application.url(),
        "--max-attempts",
        "1",
        "--ack-wait",
        "1s",
    ];
    let queue = Queue::connect(&nats.url()).await;
    for kills in 1..=3 {
        let worker = Worker::start(&nats.url(), &more);
        if kills == 1 {
            queue.put("precious", "").await;
        }
        eventually("the application has it", async || {
            (application.calls().len() == kills).then_some(())
        })
        .await;
        worker.kill();
    }
    let _worker = Worker::start(&nats.url(), &more);
    assert_eq!(queue.results_of(1).await["precious"].body, "attempt 1");
    assert_eq!(application.attempts("precious"), [1, 1, 1, 1]);
    assert_eq!(queue.count("orders-dead").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_outlive_workers_and_servers() {
    let Some(mut nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(500, "never"));
    let more = [
        "--application",
        &application.url(),
        "--max-attempts",
        "3",
        "--backoff",
        "1s",
        "--ack-wait",
        "2s",
    ];
    let queue = Queue::connect(&nats.url()).await;
    for attempts in 1..=3 {
        let worker = Worker::start(&nats.url(), &more);
        if attempts == 1 {
            queue.put("poison", "").await;
        }
        eventually("one more attempt", async || {
            (application.calls().len() == attempts).then_some(())
        })
        .await;
        if attempts < 3 {
            // Of each item the last count alone is there, so it is the number of writes that tells.
            eventually("the failure is counted", async || {
                let stream = queue.stream("orders-attempts").await;
                (stream.cached_info().state.last_sequence == attempts as u64).then_some(())
            })
            .await;
            worker.kill();
            nats.kill();
            nats.run();
        } else {
            queue.waits_for("orders-dead", 1).await;
        }
    }
    assert_eq!(application.attempts("poison"), [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_dies_under_an_item_costs_it_an_attempt_and_one_that_is_away_none() {
    let Some(nats) = NatsServer::start("") else { return };
    let mut application = Application::start(|call| match call.attempt {
        1 => reply(200, "").after(60_000),
        _ => reply(200, "back"),
    });
    let more = ["--application", &application.url(), "--max-attempts", "2"];
    let worker = Worker::start(&nats.url(), &more);
    worker.ready().await;
    let queue = Queue::connect(&nats.url()).await;
    queue.put("a", "").await;
    eventually("the application has it", async || {
        (application.calls().len() == 1).then_some(())
    })
    .await;
    application.kill();
    // The item comes again meanwhile, and nobody takes it: that costs nothing.
    worker.lacks("the application is not up").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    application.run();
    let result = queue.results_of(1).await["a"].clone();
    assert_eq!((result.body.as_str(), result.attempt.as_str()), ("back", "2"));
    assert_eq!(application.attempts("a"), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_longer_than_the_ack_wait_is_kept_alive() {
    let Some(nats) = NatsServer::start("") else { return };
    let application = Application::start(|_| reply(200, "done").after(5_000));
    let more = [
        "--application",
        &application.url(),
        "--ack-wait",
        "1s",
        "--concurrency",
        "1",
    ];
    // The second would get it, and the third item waits in line.
    let workers = [Worker::start(&nats.url(), &more), Worker::start(&nats.url(), &more)];
    let queue = Queue::connect(&nats.url()).await;
    for worker in &workers {
        worker.ready().await;
    }
    for id in ["a", "b", "c"] {
        queue.put(id, "").await;
    }
    queue.results_of(3).await;
    for id in ["a", "b", "c"] {
        assert_eq!(application.attempts(id), [1], "{id}");
    }
    queue.waits_for("orders", 0).await;
}
