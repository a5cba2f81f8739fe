//! In which order the containers of a Pod begin and end, and what becomes of the others when a helper crashes. Each writes what it
//! does into one file, on a volume of the node that outlives the Pod.
use crate::room::{Room, state};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// An ambassador, a sidecar and an adapter. Each takes a moment to start, and is ready when it says so.
const POLICY: &str = r#"
apiVersion: outrigger.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: staged}
spec:
  ambassadors: [{container: {name: ambassador, @HELPER@}, sharedVolumes: [{path: /stages}]}]
  sidecars: [{container: {name: sidecar, @HELPER@}, sharedVolumes: [{path: /stages}]}]
  adapters: [{container: {name: adapter, @HELPER@}, sharedVolumes: [{path: /stages}]}]
"#;

const HELPER: &str = r#"image: "local/busybox:1", command: [sh, -c, @SCRIPT@],
  env: [{name: ME, value: @ME@}], startupProbe: {exec: {command: [test, -e, /tmp/up]}, periodSeconds: 1}"#;

const SCRIPT: &str = r#"
say() { echo "$ME $1" >>/stages/log; }
trap 'say ends; exit 0' TERM
say begins; sleep 1; say works; touch /tmp/up
while :; do sleep 1000 & wait $!; done"#;

/// The application works on for a while after it was told to end.
const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: shop, annotations: {outrigger.dev/inject: staged}}
spec:
  terminationGracePeriodSeconds: 20
  initContainers:
    - {name: first, image: "local/busybox:1", command: [sh, -c, 'echo first runs >>/stages/log'], volumeMounts: [{name: stages, mountPath: /stages}]}
    - {name: second, image: "local/busybox:1", command: [sh, -c, 'echo second runs >>/stages/log'], volumeMounts: [{name: stages, mountPath: /stages}]}
  containers:
    - name: application
      image: local/busybox:1
      command: [sh, -c, 'say() { echo "application $1" >>/stages/log; }; trap "say stops; sleep 2; say ends; exit 0" TERM; say begins; while :; do sleep 1000 & wait $!; done']
      volumeMounts: [{name: stages, mountPath: /stages}]
  volumes: [{name: stages, hostPath: {path: "@DIRECTORY@"}}]
"#;

fn lines(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

async fn says(log: &Path, line: &str) {
    let begin = Instant::now();
    while !lines(log).iter().any(|said| said == line) {
        assert!(begin.elapsed() < Duration::from_secs(60), "{line}: {:?}", lines(log));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// When they began, by kubelet's account, in seconds.
fn beginnings<'a>(pod: &'a Value, names: &[&str]) -> Vec<&'a str> {
    let began = |name: &&str| {
        let state = &state(pod, name)["state"];
        let stage = if state["running"].is_null() {
            "terminated"
        } else {
            "running"
        };
        state[stage]["startedAt"].as_str().unwrap()
    };
    names.iter().map(began).collect()
}

#[tokio::test]
async fn containers_begin_and_end_in_order_and_a_helper_that_crashes_is_its_own_affair() {
    let Some(room) = Room::with_outrigger("life").await else {
        return;
    };
    let directory = room.directory("stages");
    let log = directory.join("log");
    let mut policy = POLICY.to_owned();
    for name in ["ambassador", "sidecar", "adapter"] {
        let script = serde_json::to_string(SCRIPT).unwrap();
        let helper = HELPER.replace("@SCRIPT@", &script).replace("@ME@", name);
        policy = policy.replacen("@HELPER@", &helper, 1);
    }
    room.policies(&policy).await;
    room.apply(&POD.replace("@DIRECTORY@", &directory.display().to_string()))
        .await;
    room.ready("shop").await;
    says(&log, "application begins").await;
    let order = ["ambassador", "first", "second", "sidecar", "adapter", "application"];
    let begun = [
        "ambassador begins",
        "ambassador works",
        "first runs",
        "second runs",
        "sidecar begins",
        "sidecar works",
        "adapter begins",
        "adapter works",
        "application begins",
    ];
    assert_eq!(lines(&log), begun);
    let before = room.get(&["pod", "shop"]).await;
    let times = beginnings(&before, &order);
    assert!(times.is_sorted(), "{times:?}");

    room.signal("shop", "ambassador", "KILL").await;
    let restarts = "jsonpath={.status.initContainerStatuses[?(@.name==\"ambassador\")].restartCount}";
    room.until(&["get", "pod", "shop", "--output", restarts], |count| count == "1")
        .await;
    room.ready("shop").await;
    let after = room.get(&["pod", "shop"]).await;
    for name in &order[1..] {
        assert_eq!(state(&after, name)["restartCount"], 0, "{name}");
        assert_eq!(
            state(&after, name)["containerID"],
            state(&before, name)["containerID"],
            "{name}"
        );
    }
    let again = ["ambassador begins", "ambassador works"];
    assert_eq!(lines(&log)[begun.len()..], again);

    room.run(&["delete", "pod", "shop"]).await;
    let ended = [
        "application stops",
        "application ends",
        "adapter ends",
        "sidecar ends",
        "ambassador ends",
    ];
    assert_eq!(lines(&log)[begun.len() + again.len()..], ended);
}
