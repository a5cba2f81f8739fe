//! Three NATS servers that keep each stream together, one of which dies at a time.
use crate::application::{Application, reply};
use crate::queue::Queue;
use crate::worker::{Worker, eventually};
use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::ClusterInfo;
use outrigger_harness::NatsServer;
use outrigger_harness::demand::say;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const SERVERS: usize = 3;
/// So many items are done while a server is away.
const MEANWHILE: u64 = 40;

/// From one item to the next, so that there are not too many to be read at the end.
const PACE: Duration = Duration::from_millis(5);

/// Starts them; each knows the others.
fn servers() -> Option<Vec<NatsServer>> {
    let listeners: Vec<TcpListener> = (0..SERVERS)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let routes: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    drop(listeners);
    let all: Vec<String> = routes.iter().map(|route| format!("\"nats://{route}\"")).collect();
    let settings = |number: usize| {
        format!(
            "server_name: n{number}\ncluster {{name: shop, listen: \"{}\", routes: [{}]}}\n",
            routes[number],
            all.join(", ")
        )
    };
    let mut servers: Vec<NatsServer> = (0..SERVERS)
        .map(|number| NatsServer::prepare(&settings(number)))
        .collect::<Option<_>>()?;
    servers.iter_mut().for_each(NatsServer::run);
    Some(servers)
}

/// Whether all servers have all that there is.
fn is_whole(group: Option<&ClusterInfo>) -> bool {
    let whole = |group: &ClusterInfo| {
        group.leader.is_some()
            && group.replicas.len() == SERVERS - 1
            && group.replicas.iter().all(|peer| peer.current && !peer.offline)
    };
    group.is_some_and(whole)
}

async fn become_whole(queue: &Queue) {
    for name in ["orders", "orders-results", "orders-dead", "orders-attempts"] {
        eventually(&format!("every server has stream {name}"), async || {
            is_whole(queue.stream(name).await.cached_info().cluster.as_ref()).then_some(())
        })
        .await;
    }
    eventually("every server has the consumer", async || {
        let items = queue.stream("orders").await;
        let consumer = items.get_consumer::<pull::Config>("workers").await.ok()?;
        is_whole(consumer.cached_info().cluster.as_ref()).then_some(())
    })
    .await;
}

/// Enqueues through the workers in turn, each item until it is taken, until told to stop.
async fn fill(workers: &[Worker], stop: &AtomicBool, put: &AtomicUsize) {
    while !stop.load(Ordering::SeqCst) {
        let item = put.load(Ordering::SeqCst);
        let key = format!("i{item}");
        let (status, _) = workers[item % workers.len()]
            .post("/items", &[("idempotency-key", &key)], &key)
            .await;
        if status == 202 {
            put.store(item + 1, Ordering::SeqCst);
        }
        tokio::time::sleep(PACE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_three_servers_may_die_and_work_goes_on_and_nothing_is_lost() {
    let Some(mut servers) = servers() else { return };
    let urls = servers.iter().map(NatsServer::url).collect::<Vec<_>>().join(",");
    let application = Application::start(|call| reply(200, format!("done {}", call.body)));
    let more = [
        "--application",
        &application.url(),
        "--replicas=3",
        "--ack-wait=2s",
        "--max-bytes=16MiB",
        "--results-max-bytes=16MiB",
        "--dead-max-bytes=16MiB",
    ];
    let workers = Arc::new([Worker::start(&urls, &more), Worker::start(&urls, &more)]);
    for worker in workers.iter() {
        worker.ready().await;
    }
    let queue = Queue::connect(&urls).await;
    become_whole(&queue).await;

    let (stop, put) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let filling = tokio::spawn({
        let (workers, stop, put) = (Arc::clone(&workers), Arc::clone(&stop), Arc::clone(&put));
        async move { fill(workers.as_slice(), &stop, &put).await }
    });
    for server in &mut servers {
        server.kill();
        let before = queue.count("orders-results").await;
        eventually("work goes on without the server", async || {
            (queue.count("orders-results").await >= before + MEANWHILE).then_some(())
        })
        .await;
        server.run();
        become_whole(&queue).await;
    }
    stop.store(true, Ordering::SeqCst);
    filling.await.unwrap();

    let put = put.load(Ordering::SeqCst);
    let results = queue.results_of(put).await;
    for item in 0..put {
        let id = format!("i{item}");
        assert_eq!(results[&id].body, format!("done {id}"));
    }
    // The one that was asked about last may have been taken although the answer got lost.
    assert!(results.len() <= put + 1, "{} results of {put} items", results.len());
    queue.waits_for("orders", 0).await;
    assert_eq!(queue.count("orders-dead").await, 0);
    let stored = queue.results().await.len();
    say(&format!(
        "{put} items while each of {SERVERS} servers was killed once: none lost, {} results stored twice",
        stored - results.len()
    ));
}
