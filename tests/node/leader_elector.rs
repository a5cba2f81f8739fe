//! leader-elector: three replicas agree on one leader, whose Pod ends in an orderly way, and is killed; no two ever claim the same term.
use crate::images::own;
use crate::room::Room;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const REPLICAS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 3
  selector: {matchLabels: {app: shop}}
  template:
    metadata:
      labels: {app: shop}
      annotations:
        outrigger.dev/inject: leader-elector
        leader-elector.outrigger.dev/elections: shop
        leader-elector.outrigger.dev/leaseDurationSeconds: "6"
        leader-elector.outrigger.dev/renewDeadlineMs: "4000"
        leader-elector.outrigger.dev/retryPeriodMs: "500"
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      containers:
        - {name: shop, image: "local/busybox:1", command: [sleep, "100000"]}
"#;

/// Which Pod led which term.
type Terms = BTreeMap<String, String>;

struct Replicas {
    room: Room,
    terms: Terms,
}

impl Replicas {
    /// The Pods whose containers are all ready.
    async fn ready(&self) -> Vec<String> {
        let pods = ["get", "pods", "--selector", "app=shop", "--output", "json"];
        let pods: Value = serde_json::from_str(&self.room.attempt(&pods, None).await.unwrap()).unwrap();
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array();
            let ready = conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            ready && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let ready = pods["items"].as_array().unwrap().iter().filter(is_ready);
        ready
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The Pod that says of itself that it leads; each such claim is compared with all earlier ones.
    async fn leader(&mut self) -> Option<String> {
        let mut leader = None;
        for pod in self.ready().await {
            let ask = [
                "exec",
                &pod,
                "--container",
                "shop",
                "--",
                "sh",
                "-c",
                "wget -qO- $LEADER_ELECTION_URL",
            ];
            let Ok(answer) = self.room.attempt(&ask, None).await else {
                continue;
            };
            let answer: Value = serde_json::from_str(&answer).unwrap();
            if answer["leader"] == true {
                let holder = self
                    .terms
                    .entry(answer["fencingToken"].to_string())
                    .or_insert_with(|| pod.clone());
                assert_eq!(*holder, pod, "two claim the term {answer}");
                leader = Some(pod);
            }
        }
        leader
    }

    async fn another_than(&mut self, former: &str) -> String {
        let begin = Instant::now();
        loop {
            match self.leader().await {
                Some(leader) if leader != former => return leader,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "no leader after {former:?}");
        }
    }
}

#[tokio::test]
async fn replicas_agree_on_a_leader_and_on_another_when_its_pod_ends_or_is_killed() {
    let Some(room) = Room::with_outrigger("elector").await else {
        return;
    };
    own::runtime(room.node);
    room.apply(include_str!("../../policies/leader-elector/rbac.yaml"))
        .await;
    room.apply(REPLICAS).await;
    let mut replicas = Replicas {
        room,
        terms: Terms::new(),
    };
    let first = replicas.another_than("").await;
    replicas
        .room
        .attempt(&["delete", "pod", &first, "--wait=false"], None)
        .await
        .unwrap();
    let second = replicas.another_than(&first).await;
    let kill = ["delete", "pod", &second, "--grace-period=0", "--force"];
    replicas.room.attempt(&kill, None).await.unwrap();
    replicas.another_than(&second).await;
    assert!(replicas.terms.len() >= 3, "{:?}", replicas.terms);
}
