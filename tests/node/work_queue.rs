//! work-queue: a nats-server in the cluster, 10,000 items, and a Deployment of workers that is scaled up and down, and whose Pods are
//! deleted meanwhile. Every item has its result.
use crate::applications;
use crate::forward::Forward;
use crate::images::own;
use crate::room::Room;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use outrigger_harness::demand::{available, say};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ITEMS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(180);

pub const NATS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: nats, labels: {app: nats}, annotations: {outrigger.dev/inject: "false"}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: nats
      image: local/nats:1
      args: [--jetstream, --store_dir, /tmp/store]
      readinessProbe: {tcpSocket: {port: 4222}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: nats}
spec: {selector: {app: nats}, ports: [{port: 4222}]}
"#;

/// The application takes a moment for each item, and breaks off what it is at when it is told to end.
const WORKERS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: program}
data:
  app.py: |
    import http.server, signal, sys, time
    class App(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_POST(self):
            item = self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(0.02)
            self.send_response(200)
            self.send_header("Content-Length", str(len(item)))
            self.end_headers()
            self.wfile.write(item.upper())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    http.server.ThreadingHTTPServer(("127.0.0.1", 8080), App).serve_forever()
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shouter}
spec:
  replicas: 2
  selector: {matchLabels: {app: shouter}}
  template:
    metadata:
      labels: {app: shouter}
      annotations:
        outrigger.dev/inject: work-queue
        work-queue.outrigger.dev/queue: orders
        work-queue.outrigger.dev/nats: nats://nats:4222
        work-queue.outrigger.dev/concurrency: "4"
        work-queue.outrigger.dev/ackWaitSeconds: "5"
        work-queue.outrigger.dev/stopSeconds: "5"
    spec:
      terminationGracePeriodSeconds: 10
      containers:
        - name: shouter
          image: local/python:1
          args: [/app/app.py]
          volumeMounts: [{name: app, mountPath: /app}]
      volumes: [{name: app, configMap: {name: program}}]
"#;

/// The queue as others see it.
struct Queue {
    context: Context,
    /// The way to it.
    _forward: Forward,
}

impl Queue {
    async fn of(room: &Room) -> Queue {
        let forward = Forward::start(room, "nats", 4222);
        let client = async_nats::connect(format!("nats://127.0.0.1:{}", forward.port)).await;
        Queue {
            context: jetstream::new(client.unwrap()),
            _forward: forward,
        }
    }

    /// How many messages a stream has; `None`: that is not known at this moment.
    async fn count(&self, stream: &str) -> Option<u64> {
        let stream = self.context.get_stream(stream).await.ok()?;
        Some(stream.cached_info().state.messages)
    }

    async fn until(&self, what: &str, wanted: impl AsyncFn(&Queue) -> bool) {
        let begin = Instant::now();
        while !wanted(self).await {
            assert!(begin.elapsed() < PATIENCE, "in vain: {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn put_all(&self) {
        let each = async |item: usize| {
            let message = PublishMessage::build().payload(format!("item {item}").into());
            let message = message.message_id(format!("i{item}"));
            let sent = self.context.send_publish("orders.items", message).await.unwrap();
            sent.await.unwrap();
        };
        let all = futures_util::stream::iter(0..ITEMS);
        all.for_each_concurrent(256, each).await;
    }

    /// The results: how often each item has one, and what.
    async fn results(&self) -> BTreeMap<String, Vec<String>> {
        let stream = self.context.get_stream("orders-results").await.unwrap();
        let count = usize::try_from(stream.cached_info().state.messages).unwrap();
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            ..pull::Config::default()
        };
        let consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap().take(count);
        let mut found = BTreeMap::<String, Vec<String>>::new();
        while let Some(message) = messages.next().await {
            let message = message.unwrap();
            let id = message
                .headers
                .as_ref()
                .and_then(|headers| headers.get("Outrigger-Item-Id"));
            let body = String::from_utf8_lossy(&message.payload).into_owned();
            found.entry(id.unwrap().to_string()).or_default().push(body);
        }
        found
    }
}

async fn workers(room: &Room) -> Vec<String> {
    let running = [
        "get",
        "pods",
        "--selector=app=shouter",
        "--field-selector=status.phase=Running",
    ];
    let names = ["--output", "jsonpath={.items[*].metadata.name}"];
    let pods = room.run(&[&running[..], &names].concat()).await;
    pods.split_whitespace().map(str::to_owned).collect()
}

#[tokio::test]
async fn no_item_of_a_queue_is_lost_while_workers_are_scaled_up_and_down_and_deleted() {
    let Some(room) = Room::with_outrigger("work").await else {
        return;
    };
    own::runtime(room.node);
    own::python(room.node);
    if available(applications::nats(room.node)).is_none() {
        return;
    }
    room.apply(NATS).await;
    room.ready("nats").await;
    room.apply(WORKERS).await;
    let queue = Queue::of(&room).await;
    // The first worker makes the streams.
    queue
        .until("streams", async |queue| {
            queue.context.get_stream("orders-attempts").await.is_ok()
        })
        .await;
    let begin = Instant::now();
    queue.put_all().await;

    let scale = async |count: &str| drop(room.run(&["scale", "deployment/shouter", count]).await);
    let delete = async |how: &[&str]| {
        let worker = workers(&room).await.remove(0);
        room.run(&[&["delete", "pod", worker.as_str(), "--wait=false"], how].concat())
            .await;
    };
    for step in 1..=6_u64 {
        let done = step * 1_300;
        queue
            .until("results", async |queue| {
                queue.count("orders-results").await >= Some(done)
            })
            .await;
        match step {
            1 => scale("--replicas=5").await,
            2 | 5 => delete(&[]).await,
            3 => delete(&["--grace-period=0", "--force"]).await,
            4 => scale("--replicas=1").await,
            _ => scale("--replicas=4").await,
        }
        assert!(
            queue.count("orders").await != Some(0),
            "all was done before step {step}"
        );
    }
    queue
        .until("an empty queue", async |queue| queue.count("orders").await == Some(0))
        .await;
    let results = queue.results().await;
    let lost: Vec<usize> = (0..ITEMS)
        .filter(|item| !results.contains_key(&format!("i{item}")))
        .collect();
    assert!(lost.is_empty(), "{} have no result: {lost:?}", lost.len());
    for (id, bodies) in &results {
        let expected = format!("ITEM {}", &id[1..]);
        assert!(bodies.iter().all(|body| *body == expected), "{id}: {bodies:?}");
    }
    assert_eq!((results.len(), queue.count("orders-dead").await), (ITEMS, Some(0)));
    let twice = results.values().filter(|bodies| bodies.len() > 1).count();
    let took = begin.elapsed().as_secs();
    say(&format!(
        "work-queue: {ITEMS} items in {took} s, {twice} with two results"
    ));
}
