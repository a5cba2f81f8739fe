//! All bundled policies at once, by the labels of a namespace: each Pod of a Deployment has all seven helpers, and its application
//! uses every one of them.
use crate::applications;
use crate::images::own;
use crate::room::Room;
use crate::scatter_gather::{PROGRAMS, leaves};
use crate::{content_sync, stand_in, work_queue};
use outrigger_harness::demand::available;
use std::time::{Duration, Instant};

const POLICIES: [&str; 7] = [
    "content-sync",
    "leader-elector",
    "log-saver",
    "memcached",
    "nginx-metrics",
    "scatter-gather",
    "work-queue",
];

/// What holds for all Pods of the namespace.
const PARAMETERS: [&str; 12] = [
    "log-saver.outrigger.dev/path=/var/log/nginx",
    "content-sync.outrigger.dev/repository=http://git.@NS@.svc.cluster.local/repository",
    "content-sync.outrigger.dev/period=1s",
    "memcached.outrigger.dev/servers=cache.@NS@.svc.cluster.local:11211",
    "leader-elector.outrigger.dev/elections=shop",
    "work-queue.outrigger.dev/queue=orders",
    "work-queue.outrigger.dev/nats=nats://nats:4222",
    "work-queue.outrigger.dev/applicationPort=8081",
    "scatter-gather.outrigger.dev/shards=statefulset:leaf:2",
    "scatter-gather.outrigger.dev/replicas=dns:{shard}.leaf:8080",
    "scatter-gather.outrigger.dev/merge=http://127.0.0.1:8081/merge",
    "nginx-metrics.outrigger.dev/path=/status",
];

const CACHE: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: cache, labels: {app: cache}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: cache, image: "local/memcached:1", args: [-u, nobody]}]
---
apiVersion: v1
kind: Service
metadata: {name: cache}
spec: {selector: {app: cache}, ports: [{port: 11211}]}
"#;

/// A web server, and beside it the program that works off the queue and merges.
const SHOP: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: shop}
data:
  nginx.conf: |
    daemon off;
    error_log stderr;
    events {}
    http {
      access_log /var/log/nginx/access.log;
      server { listen 8000; root /srv/content/current; }
      server { listen 127.0.0.1:8080; access_log off; location = /status { stub_status; } }
    }
  shop.py: |
    import http.server, json
    class Shop(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/merge":
                asked = json.dumps(sorted(leaf for answer in json.loads(asked) for leaf in answer["body"])).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(asked.upper())
    http.server.ThreadingHTTPServer(("127.0.0.1", 8081), Shop).serve_forever()
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 3
      containers:
        - name: web
          image: local/nginx:1
          args: [-c, /shop/nginx.conf]
          volumeMounts: [{name: shop, mountPath: /shop}]
        - name: app
          image: local/python:1
          args: [/shop/shop.py]
          volumeMounts: [{name: shop, mountPath: /shop}]
      volumes: [{name: shop, configMap: {name: shop}}]
"#;

/// What the application does with each helper, and what it sees then.
const USES: [(&str, &str); 5] = [
    ("wget -qO- http://127.0.0.1:8000/index.html", "one"),
    ("wget -qO- http://127.0.0.1:9113/metrics", "nginx_up 1"),
    (
        "printf 'set key 0 0 4\\r\\nhere\\r\\nget key\\r\\nquit\\r\\n' | nc -w 2 $MEMCACHED_HOST $MEMCACHED_PORT",
        "here",
    ),
    ("wget -qO- $SCATTER_GATHER_URL/", r#"["LEAF-0", "LEAF-1"]"#),
    (
        "wget -qO- --header \"Idempotency-Key: $HOSTNAME\" --post-data 'two apples' $WORK_QUEUE_URL/items",
        "sequence",
    ),
];

/// Everything that the helpers go to.
async fn servers(room: &Room) -> Option<()> {
    own::runtime(room.node);
    own::python(room.node);
    own::twemproxy(room.node);
    applications::memcached(room.node);
    applications::nginx(room.node);
    own::nginx_exporter(room.node);
    available(applications::nats(room.node))?;
    stand_in::fluent_bit(room.node);
    stand_in::git_sync(room.node);
    let leaves = leaves("leaf", 2);
    let permission = include_str!("../../policies/leader-elector/rbac.yaml");
    let manifests = [
        PROGRAMS,
        content_sync::REPOSITORY,
        work_queue::NATS,
        CACHE,
        &leaves,
        permission,
    ];
    room.apply(&manifests.join("---\n")).await;
    for pod in ["client", "git", "nats", "cache", "leaf-0", "leaf-1"] {
        room.ready(pod).await;
    }
    Some(())
}

/// Labels and annotates the namespace, and waits until the replicas know it.
async fn switch_on(room: &Room) {
    let parameters = PARAMETERS.map(|parameter| parameter.replace("@NS@", &room.namespace));
    let labels = POLICIES.map(|policy| format!("inject.outrigger.dev/{policy}=enabled"));
    for (verb, pairs) in [("annotate", &parameters[..]), ("label", &labels[..])] {
        let pairs = pairs.iter().map(String::as_str);
        let arguments: Vec<&str> = [verb, "namespace", &room.namespace].into_iter().chain(pairs).collect();
        room.cluster(&arguments).await;
    }
    let record = "jsonpath={.metadata.annotations.outrigger\\.dev/injected}";
    let image = "--image=local/busybox:1";
    let try_out = ["run", "tried", image, "--dry-run=server", "--output", record];
    // Each of two replicas.
    for _ in 0..8 {
        room.until(&try_out, |record| POLICIES.iter().all(|policy| record.contains(policy)))
            .await;
    }
}

/// What a helper counts, in all Pods together.
async fn sum(room: &Room, pods: &[String], ask: &str, line: &str) -> usize {
    let mut sum = 0;
    for pod in pods {
        let said = room.exec(pod, "app", ask).await.unwrap();
        let number = said.lines().find_map(|said| said.strip_prefix(line));
        sum += number.map_or(0, |number| number.trim().parse().unwrap());
    }
    sum
}

#[tokio::test]
async fn a_namespace_has_all_policies_by_label_and_one_application_uses_all_helpers() {
    let Some(room) = Room::with_outrigger("together").await else {
        return;
    };
    let Some(()) = servers(&room).await else { return };
    switch_on(&room).await;
    room.apply(SHOP).await;
    room.rolled_out("deployment/shop").await;
    let found = room.get(&["pods", "--selector=app=shop"]).await;
    let mut pods = Vec::new();
    for pod in found["items"].as_array().unwrap() {
        let annotations = &pod["metadata"]["annotations"];
        let record = annotations["outrigger.dev/injected"].as_str().unwrap();
        let names: Vec<&str> = record
            .split(',')
            .map(|policy| policy.split('@').next().unwrap())
            .collect();
        assert_eq!(names, POLICIES);
        assert!(annotations["outrigger.dev/skipped"].is_null(), "{annotations}");
        pods.push(pod["metadata"]["name"].as_str().unwrap().to_owned());
    }
    for pod in &pods {
        for (use_it, expected) in USES {
            room.exec_until(pod, "app", use_it, |said| said.contains(expected))
                .await;
        }
        let log = ["logs", pod, "--container", "log-saver"];
        room.until(&log, |log| log.contains("GET /index.html")).await;
    }
    let leads = r#"wget -qO- $LEADER_ELECTION_URL | grep -c '"leader":true' | sed 's/^/leads /'"#;
    let begin = Instant::now();
    while sum(&room, &pods, leads, "leads").await != 1 {
        assert!(begin.elapsed() < Duration::from_secs(60), "there is not one leader");
    }
    // Each has put one item into the queue, which any of them works off.
    let metrics = "wget -qO- $WORK_QUEUE_URL/metrics";
    let published = r#"outrigger_work_results_total{outcome="published"}"#;
    while sum(&room, &pods, metrics, published).await != pods.len() {
        assert!(begin.elapsed() < Duration::from_secs(60), "items without a result");
    }
}
