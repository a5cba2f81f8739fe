//! scatter-gather: the shards are the Pods of a StatefulSet, and the answer says which of them is missing.
use crate::images::own;
use crate::room::Room;
use serde_json::Value;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: programs}
data:
  leaf.py: |
    import http.server, json, socket
    class Leaf(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps([socket.gethostname()]).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
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
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: leaf}
spec:
  serviceName: leaf
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: leaf}}
  template:
    metadata: {labels: {app: leaf}}
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
metadata: {name: leaf}
spec: {clusterIP: None, selector: {app: leaf}, ports: [{port: 8080}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: search
  labels: {app: search}
  annotations:
    outrigger.dev/inject: scatter-gather
    scatter-gather.outrigger.dev/shards: "statefulset:leaf:3"
    scatter-gather.outrigger.dev/replicas: "dns:{shard}.leaf:8080"
    scatter-gather.outrigger.dev/require: "60%"
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
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {name: client, image: "local/busybox:1", command: [sleep, "100000"]}
"#;

const ASK: [&str; 6] = [
    "exec",
    "client",
    "--",
    "sh",
    "-c",
    "timeout 10 wget -qO- http://search/?q=a",
];

#[tokio::test]
async fn a_client_gets_the_merged_answers_and_is_told_which_shard_is_missing() {
    let Some(room) = Room::with_outrigger("gather").await else {
        return;
    };
    own::runtime(room.node);
    own::python(room.node);
    room.apply(MANIFESTS).await;
    room.ready("search").await;
    room.ready("client").await;
    let answer = |said: &str| serde_json::from_str::<Value>(said).unwrap_or_default();
    let all = |said: &str| answer(said)["leaves"] == serde_json::json!(["leaf-0", "leaf-1", "leaf-2"]);
    let said = room.until(&ASK, all).await;
    assert_eq!(answer(&said)["without"], "", "{said}");
    // A shard that has gone is missing, not forgotten.
    room.attempt(&["scale", "statefulset/leaf", "--replicas=2"], None)
        .await
        .unwrap();
    let two = |said: &str| answer(said)["leaves"] == serde_json::json!(["leaf-0", "leaf-1"]);
    let said = room.until(&ASK, two).await;
    assert!(answer(&said)["without"].as_str().unwrap().contains("leaf-2"), "{said}");
    room.attempt(&["scale", "statefulset/leaf", "--replicas=3"], None)
        .await
        .unwrap();
    room.until(&ASK, all).await;
}
