//! Many items through three workers, while workers, applications and the NATS server are killed and started again, and workers paused for
//! longer than the ack wait: every item has a result at least once, and none is lost.
//!
//! 10,000 items; 100,000 where everything is demanded. `OUTRIGGER_CHAOS_SEED` tries another order of events.
use crate::application::{Application, Reply, reply};
use crate::queue::Queue;
use crate::worker::Worker;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use futures_util::StreamExt;
use outrigger_harness::NatsServer;
use outrigger_harness::demand::say;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Every thousandth item fails whenever it is tried.
const POISON: usize = 1_000;
const WORKERS: usize = 3;

fn everything_is_demanded() -> bool {
    std::env::var("OUTRIGGER_TEST_DEMAND").is_ok_and(|demand| demand == "all")
}

fn decide(call: &crate::application::Call) -> Reply {
    match call.body.as_str() {
        "poison" => reply(500, "poison"),
        body => reply(200, format!("done {body}")).after(2),
    }
}

fn worker(nats: &NatsServer, application: &Application) -> Worker {
    let url = application.url();
    let more = [
        "--application",
        &url,
        "--concurrency",
        "32",
        "--ack-wait",
        "3s",
        "--max-attempts",
        "10",
        "--max-backoff",
        "1s",
        "--log-level",
        "info",
    ];
    Worker::start(&nats.url(), &more)
}

/// Puts all items in, each until it is confirmed, spread over the time.
async fn fill(queue: Queue, items: usize, time: Duration, put: Arc<AtomicUsize>) {
    let start = Instant::now();
    let each = |item: usize| {
        let (queue, put) = (&queue, &put);
        async move {
            let due = time.mul_f64(item as f64 / items as f64);
            tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
            let body = if item % POISON == 7 {
                "poison".to_owned()
            } else {
                item.to_string()
            };
            loop {
                let message = PublishMessage::build()
                    .message_id(format!("i{item}"))
                    .payload(body.clone().into());
                let Ok(sent) = queue.context.send_publish("orders.items", message).await else {
                    continue;
                };
                if sent.await.is_ok() {
                    put.fetch_add(1, Ordering::SeqCst);
                    return;
                }
            }
        }
    };
    futures_util::stream::iter(0..items)
        .for_each_concurrent(256, each)
        .await;
}

struct Scene {
    nats: NatsServer,
    applications: Vec<Application>,
    workers: Vec<Option<Worker>>,
    events: BTreeMap<&'static str, usize>,
}

impl Scene {
    /// Something breaks, and comes back.
    async fn strike(&mut self, random: &mut StdRng) {
        let victim = random.random_range(0..WORKERS);
        let outage = Duration::from_millis(random.random_range(50..800));
        let event = match random.random_range(0..10) {
            0..4 => {
                if let Some(victim) = self.workers[victim].take() {
                    victim.kill();
                }
                tokio::time::sleep(outage).await;
                self.workers[victim] = Some(worker(&self.nats, &self.applications[victim]));
                "workers killed"
            }
            4..7 => {
                self.applications[victim].kill();
                tokio::time::sleep(outage).await;
                self.applications[victim].run();
                "applications killed"
            }
            7..9 => {
                self.nats.kill();
                tokio::time::sleep(outage).await;
                self.nats.run();
                "servers killed"
            }
            _ => {
                let paused = self.workers[victim].as_ref().unwrap();
                paused.pause();
                tokio::time::sleep(Duration::from_millis(3_500)).await;
                paused.resume();
                "workers paused"
            }
        };
        *self.events.entry(event).or_default() += 1;
    }
}

/// All messages of a stream: how often each id, with its body.
async fn read(queue: &Queue, stream: &str) -> BTreeMap<String, Vec<String>> {
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        ..pull::Config::default()
    };
    let stream = queue.stream(stream).await;
    let count = usize::try_from(stream.cached_info().state.messages).unwrap();
    let consumer = stream.create_consumer(config).await.unwrap();
    let mut messages = consumer.messages().await.unwrap().take(count);
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(message) = messages.next().await {
        let message = message.unwrap();
        let id = message
            .headers
            .as_ref()
            .unwrap()
            .get("Outrigger-Item-Id")
            .unwrap()
            .to_string();
        let body = String::from_utf8_lossy(&message.payload).into_owned();
        found.entry(id).or_default().push(body);
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_item_is_lost_while_everything_is_killed_at_random() {
    let Some(nats) = NatsServer::start("") else { return };
    let (items, time) = match everything_is_demanded() {
        true => (100_000, Duration::from_secs(60)),
        false => (10_000, Duration::from_secs(15)),
    };
    let seed = std::env::var("OUTRIGGER_CHAOS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let applications: Vec<_> = (0..WORKERS).map(|_| Application::start(decide)).collect();
    let workers = applications
        .iter()
        .map(|application| Some(worker(&nats, application)))
        .collect();
    let mut scene = Scene {
        nats,
        applications,
        workers,
        events: BTreeMap::new(),
    };
    let queue = Queue::connect(&scene.nats.url()).await;
    queue.stream("orders-attempts").await;

    let (start, put) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let filling = Queue::connect(&scene.nats.url()).await;
    let filling = tokio::spawn(fill(filling, items, time.mul_f64(0.8), Arc::clone(&put)));
    while start.elapsed() < time {
        tokio::time::sleep(Duration::from_millis(random.random_range(100..900))).await;
        scene.strike(&mut random).await;
    }
    filling.await.unwrap();
    assert_eq!(put.load(Ordering::SeqCst), items);
    // Calm now: whatever is left is done.
    let calm = Instant::now();
    loop {
        let left = queue.count("orders").await;
        if left == 0 {
            break;
        }
        let patience = Duration::from_secs(if everything_is_demanded() { 600 } else { 120 });
        assert!(
            calm.elapsed() < patience,
            "{left} items are left\n{}",
            scene.workers[0].as_ref().unwrap().log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let took = start.elapsed();
    let (results, dead) = (read(&queue, "orders-results").await, read(&queue, "orders-dead").await);
    let is_poison = |item: &usize| item % POISON == 7;
    let (poison, good): (Vec<usize>, Vec<usize>) = (0..items).partition(is_poison);
    let lost: Vec<_> = good
        .iter()
        .filter(|item| !results.contains_key(&format!("i{item}")))
        .collect();
    assert_eq!(lost, Vec::<&usize>::new(), "these have no result");
    for item in &poison {
        assert!(
            dead.contains_key(&format!("i{item}")),
            "poison {item} is no dead letter"
        );
    }
    assert_eq!((results.len(), dead.len()), (good.len(), poison.len()));
    // Whatever came twice came under the same id, with the same result.
    for (id, bodies) in &results {
        let expected = format!("done {}", &id[1..]);
        assert!(bodies.iter().all(|body| *body == expected), "{id}: {bodies:?}");
    }
    let stored: usize = results.values().map(Vec::len).sum();
    let calls: usize = scene
        .applications
        .iter()
        .map(|application| application.calls().iter().filter(|call| call.body != "poison").count())
        .sum();
    let (again, twice) = (calls - good.len(), stored - good.len());
    say(&format!(
        "{items} items in {} s, {:?}: none lost, {} poison dead, {again} handed over again, {twice} results stored twice",
        took.as_secs(),
        scene.events,
        poison.len()
    ));
}
