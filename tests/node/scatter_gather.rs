//! scatter-gather: the shards are the Pods of a StatefulSet, and the answer says which of them is missing; or each is one of its own, whose
//! replicas come and go. The container that merges is the developer's.
use crate::images::own;
use crate::room::Room;
use serde_json::{Value, json};

/// Leaves say who they are; those that the query calls slow take longer than anybody waits.
pub const PROGRAMS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: programs}
data:
  leaf.py: |
    import http.server, json, socket, time
    class Leaf(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            if "slow=" + socket.gethostname() in self.path:
                time.sleep(20)
            body = json.dumps([socket.gethostname()]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    http.server.ThreadingHTTPServer(("", 8080), Leaf).serve_forever()
  merge.py: |
    import http.server, json
    class Merge(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            answers = json.loads(self.rfile.read(int(self.headers["content-length"])))
            leaves = sorted(leaf for answer in answers for leaf in answer["body"])
            body = json.dumps({"leaves": leaves, "without": self.headers.get("outrigger-missing", "")}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(body)
    http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Merge).serve_forever()
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: client, image: "local/busybox:1", command: [sleep, "100000"]}
"#;

const LEAVES: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: @NAME@}
spec:
  serviceName: @NAME@
  replicas: @COUNT@
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: @NAME@}}
  template:
    metadata: {labels: {app: @NAME@}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: leaf
          image: local/python:1
          args: [/programs/leaf.py]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
          volumeMounts: [{name: programs, mountPath: /programs}]
      volumes: [{name: programs, configMap: {name: programs}}]
---
apiVersion: v1
kind: Service
metadata: {name: @NAME@}
spec: {clusterIP: None, selector: {app: @NAME@}, ports: [{port: 8080}]}
"#;

const ROOT: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: search
  labels: {app: search}
  annotations:
    outrigger.dev/inject: scatter-gather
    @PARAMETERS@
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: merge
      image: local/python:1
      args: [/programs/merge.py]
      volumeMounts: [{name: programs, mountPath: /programs}]
  volumes: [{name: programs, configMap: {name: programs}}]
---
apiVersion: v1
kind: Service
metadata: {name: search}
spec: {selector: {app: search}, ports: [{name: http, port: 80, targetPort: 4042}]}
"#;

/// A StatefulSet of so many, and its Service.
pub fn leaves(name: &str, count: u32) -> String {
    LEAVES.replace("@NAME@", name).replace("@COUNT@", &count.to_string())
}

/// Starts all of it, and waits until it is ready.
async fn start(room: &Room, leaves: &[String], parameters: &[(&str, &str)]) {
    own::runtime(room.node);
    own::python(room.node);
    let line = |(name, value): &(&str, &str)| format!("scatter-gather.outrigger.dev/{name}: \"{value}\"");
    let parameters: Vec<String> = parameters.iter().map(line).collect();
    let root = ROOT.replace("@PARAMETERS@", &parameters.join("\n    "));
    let manifests = [&[PROGRAMS.to_owned(), root], leaves].concat();
    room.apply(&manifests.join("---")).await;
    room.ready("search").await;
    room.ready("client").await;
}

/// The query of a client, which is answered by the Service.
fn asking(query: &str) -> String {
    format!("timeout 10 wget -qO- 'http://search/?{query}'")
}

fn answer(said: &str) -> Value {
    serde_json::from_str(said).unwrap_or_default()
}

#[tokio::test]
async fn a_client_gets_the_merged_answers_and_is_told_which_shard_is_missing() {
    let Some(room) = Room::with_outrigger("gather").await else {
        return;
    };
    let parameters = [
        ("shards", "statefulset:leaf:3"),
        ("replicas", "dns:{shard}.leaf:8080"),
        ("require", "60%"),
        ("deadlineMs", "3000"),
    ];
    start(&room, &[leaves("leaf", 3)], &parameters).await;
    let ask = asking("q=a");
    let all = |said: &str| answer(said)["leaves"] == json!(["leaf-0", "leaf-1", "leaf-2"]);
    let said = room.exec_until("client", "client", &ask, all).await;
    assert_eq!(answer(&said)["without"], "", "{said}");
    // Nobody waits for a shard that is slow.
    let said = room.exec("client", "client", &asking("slow=leaf-1")).await.unwrap();
    let expected = json!({"leaves": ["leaf-0", "leaf-2"], "without": "leaf-1=timeout"});
    assert_eq!(answer(&said), expected);
    // A shard that has gone is missing, not forgotten.
    room.run(&["scale", "statefulset/leaf", "--replicas=2"]).await;
    let two = |said: &str| answer(said)["leaves"] == json!(["leaf-0", "leaf-1"]);
    let said = room.exec_until("client", "client", &ask, two).await;
    assert!(answer(&said)["without"].as_str().unwrap().contains("leaf-2"), "{said}");
    // Two of three shards are enough, one is not.
    let refused = room.exec("client", "client", &asking("slow=leaf-1")).await.unwrap_err();
    assert!(refused.contains("504"), "{refused}");
    room.run(&["scale", "statefulset/leaf", "--replicas=3"]).await;
    room.exec_until("client", "client", &ask, all).await;
}

#[tokio::test]
async fn while_a_replica_is_slow_or_goes_another_one_answers_for_the_shard() {
    let Some(room) = Room::with_outrigger("replicas").await else {
        return;
    };
    let parameters = [
        ("shards", "a,b"),
        ("replicas", "dns:{shard}:8080"),
        ("dnsIntervalMs", "500"),
        ("deadlineMs", "3000"),
        ("hedgeAfter", "100ms"),
        ("hedgePercent", "50"),
    ];
    start(&room, &[leaves("a", 2), leaves("b", 2)], &parameters).await;
    for pod in ["a-0", "a-1", "b-0", "b-1"] {
        room.ready(pod).await;
    }
    let whole = |said: &str| {
        answer(said)["leaves"]
            .as_array()
            .is_some_and(|leaves| leaves.len() == 2)
    };
    // Until the root knows all of them.
    let seen = |said: &str| ["a-0", "a-1", "b-0", "b-1"].iter().all(|pod| said.contains(pod));
    let often =
        |times: u32, query: &str| format!("for n in $(seq {times}); do {} || echo none; echo; done", asking(query));
    room.exec_until("client", "client", &often(20, "q=a"), seen).await;
    let said = room.exec("client", "client", &often(20, "slow=a-0")).await.unwrap();
    assert!(said.lines().all(whole) && !said.contains("a-0"), "{said}");
    // It is asked on while the Pod ends, is away, and comes back.
    let many = often(150, "q=a");
    let asked = room.exec("client", "client", &many);
    let deleted = async { room.run(&["delete", "pod", "a-0"]).await };
    let (said, _) = tokio::join!(asked, deleted);
    let said = said.unwrap();
    let broken: Vec<&str> = said.lines().filter(|said| !whole(said)).collect();
    assert!(broken.is_empty() && said.lines().count() == 150, "{broken:?}");
    room.exec_until("client", "client", &often(20, "q=a"), seen).await;
}
