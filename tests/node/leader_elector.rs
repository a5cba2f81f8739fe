//! leader-elector: three replicas agree on one leader, whatever becomes of it: its Pod ends in an orderly way or at once, its elector is
//! killed, or stopped for longer than the lease. No two ever claim to lead at one time, and a Service leads to the one that does.
use crate::images::own;
use crate::room::Room;
use outrigger_harness::claims::{Claim, contradictions};
use outrigger_harness::demand::say;
use serde_json::Value;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_secs(6);

/// The application asks ten times a second, and writes down what it is answered, on a volume of the node that outlives its Pod. Over
/// HTTP it tells its name while it leads.
const REPLICAS: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: program}
data:
  shop.py: |
    import http.server, json, os, socket, sys, threading, time, urllib.request
    me, url = socket.gethostname(), os.environ["LEADER_ELECTION_URL"]
    def now():
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    def ask(timeout):
        return json.load(urllib.request.urlopen(url, timeout=timeout))
    def record():
        with open("/answers/" + me, "a", buffering=1) as answers:
            while True:
                asked = now()
                try:
                    answer = ask(30)
                except (OSError, ValueError):
                    continue
                finally:
                    time.sleep(0.1)
                answers.write(json.dumps({"by": me, "asked": asked, "answered": now(), **answer}) + "\n")
    class Shop(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            try:
                leads = ask(1)["leader"]
            except OSError:
                leads = False
            self.send_response(200 if leads else 503)
            self.end_headers()
            self.wfile.write(me.encode())
    threading.Thread(target=record, daemon=True).start()
    http.server.ThreadingHTTPServer(("", 8080), Shop).serve_forever()
---
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
        leader-elector.outrigger.dev/labelPod: "true"
        leader-elector.outrigger.dev/leaseDurationSeconds: "6"
        leader-elector.outrigger.dev/renewDeadlineMs: "4000"
        leader-elector.outrigger.dev/retryPeriodMs: "500"
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      containers:
        - name: shop
          image: local/python:1
          args: [/program/shop.py]
          volumeMounts: [{name: program, mountPath: /program}, {name: answers, mountPath: /answers}]
      volumes:
        - {name: program, configMap: {name: program}}
        - {name: answers, hostPath: {path: "@DIRECTORY@"}}
---
apiVersion: v1
kind: Service
metadata: {name: shop-leader}
spec:
  selector: {app: shop, outrigger.dev/leader: shop}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: client, image: "local/busybox:1", command: [sleep, "100000"]}]
"#;

struct Replicas {
    room: Room,
    answers: PathBuf,
}

impl Replicas {
    async fn start(room: Room) -> Replicas {
        let answers = room.directory("answers");
        for permission in [
            include_str!("../../policies/leader-elector/rbac.yaml"),
            include_str!("../../policies/leader-elector/rbac-label.yaml"),
        ] {
            room.apply(permission).await;
        }
        room.apply(&REPLICAS.replace("@DIRECTORY@", &answers.display().to_string()))
            .await;
        room.ready("client").await;
        Replicas { room, answers }
    }

    /// What the application of a Pod was answered so far.
    fn answers_to(&self, pod: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.answers.join(pod)).unwrap();
        // The last line of a Pod that was killed may be half there.
        let lines = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.collect()
    }

    fn claims(&self) -> Vec<Claim> {
        let seconds = |value: &Value| Duration::from_secs_f64(value.as_f64().unwrap());
        let pods = std::fs::read_dir(&self.answers).unwrap().flatten();
        let answers = pods.flat_map(|file| self.answers_to(file.file_name().to_str().unwrap()));
        let leading = answers.filter(|answer| answer["leader"] == true);
        let claim = |answer: Value| Claim {
            by: answer["by"].as_str().unwrap().to_owned(),
            token: answer["fencingToken"].as_u64().unwrap(),
            asked: seconds(&answer["asked"]),
            answered: seconds(&answer["answered"]),
            valid_for: Duration::from_millis(answer["validForMs"].as_u64().unwrap()),
        };
        leading.map(claim).collect()
    }

    /// The latest claim, when there is one of a later term than this.
    async fn after(&self, token: u64) -> Claim {
        let begin = Instant::now();
        loop {
            let latest = self.claims().into_iter().max_by_key(|claim| claim.token);
            match latest {
                Some(claim) if claim.token > token => return claim,
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
            assert!(begin.elapsed() < Duration::from_secs(120), "no leader after {token}");
        }
    }

    /// Waits until the Service leads to this Pod.
    async fn serves(&self, leader: &str) {
        let ask = "timeout 3 wget -qO- http://shop-leader/";
        self.room
            .exec_until("client", "client", ask, |name| name == leader)
            .await;
    }

    /// Does something to the leader, and returns the next one, which the Service leads to.
    async fn succeeded(&self, leader: &Claim, what: impl AsyncFnOnce(&str)) -> Claim {
        what(&leader.by).await;
        let next = self.after(leader.token).await;
        self.serves(&next.by).await;
        next
    }
}

#[tokio::test]
async fn replicas_agree_on_a_leader_whatever_becomes_of_it_and_a_service_follows() {
    let Some(room) = Room::with_outrigger("elector").await else {
        return;
    };
    own::runtime(room.node);
    own::python(room.node);
    let replicas = Replicas::start(room).await;
    let room = &replicas.room;
    let first = replicas.after(0).await;
    replicas.serves(&first.by).await;
    room.rolled_out("deployment/shop").await;
    let ends = async |pod: &str| drop(room.run(&["delete", "pod", pod, "--wait=false"]).await);
    let second = replicas.succeeded(&first, ends).await;
    assert_ne!(second.by, first.by);
    room.rolled_out("deployment/shop").await;
    let gone = async |pod: &str| drop(room.run(&["delete", "pod", pod, "--grace-period=0", "--force"]).await);
    let third = replicas.succeeded(&second, gone).await;
    assert_ne!(third.by, second.by);
    room.rolled_out("deployment/shop").await;
    // kubelet starts it anew, as another candidate.
    let killed = async |pod: &str| room.signal(pod, "leader-elector", "KILL").await;
    let fourth = replicas.succeeded(&third, killed).await;
    let stopped = async |pod: &str| room.signal(pod, "leader-elector", "STOP").await;
    let begin = Instant::now();
    let fifth = replicas.succeeded(&fourth, stopped).await;
    assert_ne!(fifth.by, fourth.by);
    tokio::time::sleep((LEASE * 2).saturating_sub(begin.elapsed())).await;
    // Its application has waited for an answer since.
    let before = replicas.answers_to(&fourth.by).len();
    room.signal(&fourth.by, "leader-elector", "CONT").await;
    let woken = Instant::now();
    while replicas.answers_to(&fourth.by).len() < before + 5 {
        assert!(woken.elapsed() < Duration::from_secs(60), "the elector answers no more");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let claims = replicas.claims();
    let mut terms: Vec<u64> = claims.iter().map(|claim| claim.token).collect();
    terms.sort_unstable();
    terms.dedup();
    say(&format!(
        "leader-elector: {} claims in {} terms",
        claims.len(),
        terms.len()
    ));
    assert!(terms.len() >= 5, "{terms:?}");
    let wrong = contradictions(&claims, &[]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
