//! memcached: an application that knows only `MEMCACHED_ADDR`, from its first init container on, in front of shards that are Pods.
use crate::images::{Image, own};
use crate::room::Room;
use std::path::Path;

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
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
    - name: first
      image: local/busybox:1
      command: [sh, -c, 'printf "set first 0 0 4\r\nhere\r\n" | nc -w 2 $MEMCACHED_HOST $MEMCACHED_PORT | grep STORED']
  containers:
    - name: application
      image: local/busybox:1
      command: [sleep, "100000"]
"#;

const ALL_KEYS: &str = r#"
stored=0
for n in $(seq 40); do
  answer=$(printf "set key-$n 0 0 2\r\nhi\r\nget key-$n\r\nquit\r\n" | nc -w 2 $MEMCACHED_HOST $MEMCACHED_PORT | tr -d '\r' | tr '\n' ' ')
  case "$answer" in *STORED*hi*) stored=$((stored + 1));; esac
done
echo $stored"#;

fn memcached() -> &'static Path {
    Path::new("/usr/bin/memcached")
}

#[tokio::test]
async fn an_application_uses_shards_that_come_and_go_by_one_local_address() {
    let Some(room) = Room::with_outrigger("memcached").await else {
        return;
    };
    own::twemproxy(room.node);
    Image {
        name: "local/memcached:1",
        programs: &[(memcached(), "/usr/bin/memcached")],
        copies: &[],
        shell: false,
        entrypoint: &["/usr/bin/memcached"],
        user: "",
    }
    .import(room.node);
    room.apply(SHARDS).await;
    room.ready("shard-0").await;
    room.ready("shard-1").await;
    room.apply(&APPLICATION.replace("@NS@", &room.namespace)).await;
    room.ready("application").await;
    let in_application = |script: &'static str| {
        [
            "exec",
            "application",
            "--container",
            "application",
            "--",
            "sh",
            "-c",
            script,
        ]
    };
    let first = "printf 'get first\\r\\nquit\\r\\n' | nc -w 2 $MEMCACHED_HOST $MEMCACHED_PORT";
    let said = room.until(&in_application(first), |said| said.contains("here")).await;
    assert!(said.contains("VALUE first"), "{said}");
    room.until(&in_application(ALL_KEYS), |stored| stored.trim() == "40")
        .await;
    // Each shard has some of them.
    for shard in ["shard-0", "shard-1"] {
        assert!(items(&room, shard).await > 0, "{shard} has none");
    }
    // Without one of them all keys still find a place; it gets its own again when it is back.
    room.attempt(&["scale", "statefulset/shard", "--replicas=1"], None)
        .await
        .unwrap();
    room.until(&in_application(ALL_KEYS), |stored| stored.trim() == "40")
        .await;
    room.attempt(&["scale", "statefulset/shard", "--replicas=2"], None)
        .await
        .unwrap();
    room.ready("shard-1").await;
    for _ in 0..60 {
        room.until(&in_application(ALL_KEYS), |stored| stored.trim() == "40")
            .await;
        if items(&room, "shard-1").await > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    panic!("the shard that came back gets no key");
}

/// How many keys a shard holds, asked from the application past the helper.
async fn items(room: &Room, shard: &str) -> u32 {
    let host = format!("{shard}.shards.{}.svc.cluster.local", room.namespace);
    let ask = format!("printf 'stats\\r\\nquit\\r\\n' | nc -w 2 {host} 11211");
    let arguments = [
        "exec",
        "application",
        "--container",
        "application",
        "--",
        "sh",
        "-c",
        &ask,
    ];
    let stats = room.until(&arguments, |stats| stats.contains("curr_items")).await;
    let line = stats.lines().find_map(|line| line.strip_prefix("STAT curr_items "));
    line.and_then(|number| number.trim().parse().ok()).unwrap()
}
