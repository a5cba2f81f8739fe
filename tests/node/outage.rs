//! Replicas of the injector that are killed, one of them and then all: who asked is refused meanwhile, all others start, and
//! what was refused comes by itself once Outrigger is back.
use crate::injector::SYSTEM;
use crate::room::{Room, state};
use crate::stand_in;
use crate::stream;
use outrigger_harness::demand::say;
use outrigger_harness::stream::Lost;
use std::time::{Duration, Instant};

/// Until nobody is led to a replica that has been killed, unless the machine is so busy that it comes back later.
const NOTICED: Duration = Duration::from_secs(5);

fn pod(name: &str, annotations: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}", "annotations": {{{annotations}}}}},
            "spec": {{"terminationGracePeriodSeconds": 1, "containers": [{{"name": "app", "image": "local/busybox:1", "command": ["sleep", "100000"]}}]}}}}"#
    )
}

const ASKING: &str = r#""outrigger.dev/inject": "log-saver""#;
const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: waiting}
spec:
  selector: {matchLabels: {app: waiting}}
  template:
    metadata: {labels: {app: waiting}, annotations: {outrigger.dev/inject: log-saver}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: app, image: "local/busybox:1", command: [sleep, "100000"]}]
"#;

/// The names of the injector's Pods.
async fn replicas(room: &Room) -> Vec<String> {
    let names = ["get", "pods", "--output", "jsonpath={.items[*].metadata.name}"];
    let names = room.run(&[&SYSTEM[..], &names].concat()).await;
    names.split_whitespace().map(str::to_owned).collect()
}

async fn scale(room: &Room, replicas: &str) {
    let count = format!("--replicas={replicas}");
    room.run(&[&SYSTEM[..], &["scale", "deployment/outrigger", &count]].concat())
        .await;
}

async fn is_back(room: &Room) {
    let status = ["rollout", "status", "deployment/outrigger", "--timeout=1s"];
    room.until(&[&SYSTEM[..], &status].concat(), |_| true).await;
}

#[tokio::test]
async fn row_36_a_replica_that_is_killed_is_missed_for_moments() {
    let Some(room) = Room::alone_with_outrigger("killed").await else {
        return;
    };
    let stream = stream::start(&room).await;
    let victim = replicas(&room).await.remove(0);
    let killed = Instant::now();
    let in_system = [&SYSTEM[..], &["get", "pod", &victim, "--output", "json"]].concat();
    let pod: serde_json::Value = serde_json::from_str(&room.run(&in_system).await).unwrap();
    let id = state(&pod, "outrigger")["containerID"].as_str().unwrap().to_owned();
    crate::processes::signal(id.trim_start_matches("containerd://"), "KILL");
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}{.status.containerStatuses[0].ready}";
    let restarts = [&SYSTEM[..], &["get", "pod", &victim, "--output", restarts]].concat();
    room.until(&restarts, |said| said == "1true").await;
    let over = killed.elapsed().max(NOTICED);
    tokio::time::sleep(over.saturating_sub(killed.elapsed())).await;
    stream.flows().await;
    let tally = stream.end().await;
    let (bare, refused): (Vec<&Lost>, Vec<&Lost>) = tally.lost.iter().partition(|lost| lost.status == 201);
    say(&format!(
        "a replica killed: {} Pods sent, {} refused, {} without their helper",
        tally.sent,
        refused.len(),
        bare.len()
    ));
    for lost in &tally.lost {
        let after = lost.asked.saturating_duration_since(killed);
        assert!(after < over && lost.asked + NOTICED > killed, "{after:?}: {lost:?}");
    }
    // None that asked is lost in silence.
    assert!(bare.iter().all(|lost| lost.pod != stream::ASKS), "{tally:?}");
    let guarded = |lost: &&Lost| lost.message.contains("ValidatingAdmissionPolicy 'outrigger-requested'");
    assert!(refused.iter().all(guarded), "{tally:?}");
}

#[tokio::test]
async fn without_a_replica_who_asked_is_refused_and_all_others_start() {
    let Some(room) = Room::alone_with_outrigger("outage").await else {
        return;
    };
    stand_in::fluent_bit(room.node);
    scale(&room, "0").await;
    // Those that end still answer for a while.
    let began = Instant::now();
    while !replicas(&room).await.is_empty() {
        assert!(began.elapsed() < Duration::from_secs(120), "the replicas stay");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let refused = room
        .attempt(&["create", "-f", "-"], Some(&pod("asking", ASKING)))
        .await
        .unwrap_err();
    assert!(
        refused.contains("outrigger-requested") && refused.contains("log-saver"),
        "{refused}"
    );
    room.apply(&pod("plain", "")).await;
    room.ready("plain").await;
    room.apply(DEPLOYMENT).await;
    let events = ["get", "events", "--field-selector=reason=FailedCreate", "--output=name"];
    room.until(&events, |events| !events.is_empty()).await;

    scale(&room, "2").await;
    is_back(&room).await;
    // Its controller has tried again.
    room.rolled_out("deployment/waiting").await;
    let pods = room.get(&["pods", "--selector=app=waiting"]).await;
    assert_eq!(state(&pods["items"][0], "log-saver")["ready"], true);
    room.apply(&pod("asking", ASKING)).await;
    room.ready("asking").await;
    let asking = room.get(&["pod", "asking"]).await;
    assert_eq!(state(&asking, "log-saver")["ready"], true);
}
