//! memcached: an application that knows only `MEMCACHED_ADDR`, from its first init container on, in front of shards that are Pods.
use crate::applications;
use crate::images::own;
use crate::room::Room;

const SHARDS: &str = r#"
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: shard}
spec:
  serviceName: shards
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: shard}}
  template:
    metadata: {labels: {app: shard}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: memcached
          image: local/memcached:1
          args: [-u, nobody]
          readinessProbe: {tcpSocket: {port: 11211}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: shards}
spec: {clusterIP: None, publishNotReadyAddresses: true, selector: {app: shard}, ports: [{port: 11211}]}
"#;

/// It stores and fetches; what it cannot do it says.
const APPLICATION: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: application
  annotations:
    outrigger.dev/inject: memcached
    memcached.outrigger.dev/servers: "shard-0.shards.@NS@.svc.cluster.local:11211, shard-1.shards.@NS@.svc.cluster.local:11211"
    memcached.outrigger.dev/retryTimeoutMs: "1000"
    # The machine may be busy.
    memcached.outrigger.dev/timeoutMs: "2000"
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - name: first
      image: local/busybox:1
      command: [sh, -c, 'printf "set first 0 0 4\r\nhere\r\n" | nc -w 5 $MEMCACHED_HOST $MEMCACHED_PORT | grep STORED']
  containers:
    - name: application
      image: local/busybox:1
      command: [sleep, "100000"]
"#;

/// Keys that differ in more than their last letters: of such, the hash makes neighbours, which all go to one shard.
const ALL_KEYS: &str = r#"
stored=0
for n in $(seq 40); do
  key=$(echo $n | md5sum | cut -c 1-8)
  answer=$(printf "set $key 0 0 2\r\nhi\r\nget $key\r\nquit\r\n" | nc -w 5 $MEMCACHED_HOST $MEMCACHED_PORT | tr -d '\r' | tr '\n' ' ')
  case "$answer" in *STORED*hi*) stored=$((stored + 1));; esac
done
echo $stored"#;

#[tokio::test]
async fn an_application_uses_shards_that_come_and_go_by_one_local_address() {
    let Some(room) = Room::with_outrigger("memcached").await else {
        return;
    };
    own::twemproxy(room.node);
    applications::memcached(room.node);
    room.apply(SHARDS).await;
    room.ready("shard-0").await;
    room.ready("shard-1").await;
    room.apply(&APPLICATION.replace("@NS@", &room.namespace)).await;
    room.ready("application").await;
    let first = "printf 'get first\\r\\nquit\\r\\n' | nc -w 5 $MEMCACHED_HOST $MEMCACHED_PORT";
    let said = room.exec_until("application", "application", first, |said| said.contains("here"));
    let said = said.await;
    assert!(said.contains("VALUE first"), "{said}");
    all_keys_find_a_place(&room).await;
    // Each shard has some of them.
    for shard in ["shard-0", "shard-1"] {
        assert!(items(&room, shard).await > 0, "{shard} has none");
    }
    // One that is killed has nothing when it is back.
    room.signal("shard-1", "memcached", "KILL").await;
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    room.until(&["get", "pod", "shard-1", "--output", restarts], |count| count == "1")
        .await;
    room.ready("shard-1").await;
    gets_its_keys_again(&room, "shard-1").await;
    // While one of them is not there at all, the other gets its keys.
    room.run(&["scale", "statefulset/shard", "--replicas=1"]).await;
    room.run(&["wait", "pod/shard-1", "--for=delete", "--timeout=60s"])
        .await;
    all_keys_find_a_place(&room).await;
    room.run(&["scale", "statefulset/shard", "--replicas=2"]).await;
    room.ready("shard-1").await;
    gets_its_keys_again(&room, "shard-1").await;
}

async fn all_keys_find_a_place(room: &Room) {
    room.exec_until("application", "application", ALL_KEYS, |stored| stored.trim() == "40")
        .await;
}

async fn gets_its_keys_again(room: &Room, shard: &str) {
    for _ in 0..60 {
        all_keys_find_a_place(room).await;
        if items(room, shard).await > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    let proxy = room.run(&["logs", "application", "--container", "memcached"]).await;
    let stats = "nc -w 5 127.0.0.1 22222";
    let stats = room.exec_until("application", "application", stats, |stats| !stats.is_empty());
    let pods = room.run(&["get", "pods", "--output=wide"]).await;
    panic!("{shard}, which is back, gets no key:\n{proxy}{}\n{pods}", stats.await);
}

/// How many keys a shard holds, asked from the application past the helper.
async fn items(room: &Room, shard: &str) -> u32 {
    let host = format!("{shard}.shards.{}.svc.cluster.local", room.namespace);
    let ask = format!("printf 'stats\\r\\nquit\\r\\n' | nc -w 5 {host} 11211");
    let stats = room.exec_until("application", "application", &ask, |stats| stats.contains("curr_items"));
    let stats = stats.await;
    let line = stats.lines().find_map(|line| line.strip_prefix("STAT curr_items "));
    line.and_then(|number| number.trim().parse().ok()).unwrap()
}
