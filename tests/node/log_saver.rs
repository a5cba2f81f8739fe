//! log-saver: every line of the application's files comes out of the helper, whose program is a stand-in.
use crate::applications;
use crate::room::Room;
use crate::stand_in;
use std::process::{Command, Stdio};

/// A web server that is asked once more for each of twenty pages when it is already told to end.
const DEPLOYMENT: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data:
  nginx.conf: |
    daemon off;
    error_log stderr;
    events {}
    http {
      log_format page $request_uri;
      access_log /var/log/nginx/access.log page;
      server { listen 8000; return 200; }
    }
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata:
      labels: {app: web}
      annotations:
        outrigger.dev/inject: log-saver
        log-saver.outrigger.dev/path: /var/log/nginx
    spec:
      containers:
        - name: web
          image: local/nginx:1
          args: [-c, /etc/conf/nginx.conf]
          readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}
          lifecycle: {preStop: {exec: {command: [sh, -c, 'for n in $(seq 20); do wget -qO- http://127.0.0.1:8000/last-$n; sleep 0.1; done']}}}
          volumeMounts: [{name: conf, mountPath: /etc/conf}]
      volumes: [{name: conf, configMap: {name: nginx}}]
"#;

fn job(lines: u32) -> String {
    format!(
        r#"
apiVersion: batch/v1
kind: Job
metadata: {{name: batch}}
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations:
        outrigger.dev/inject: log-saver
        log-saver.outrigger.dev/path: /var/log/batch
    spec:
      restartPolicy: Never
      containers:
        - name: batch
          image: local/busybox:1
          command: [sh, -c, 'for n in $(seq {lines}); do echo "line $n" >>/var/log/batch/app.log; done; sleep 1']
          securityContext: {{runAsUser: 1000, runAsNonRoot: true}}
"#
    )
}

#[tokio::test]
async fn a_job_completes_and_the_helper_has_seen_every_line() {
    let Some(room) = Room::with_outrigger("log-saver").await else {
        return;
    };
    stand_in::fluent_bit(room.node);
    room.apply(&job(2000)).await;
    let complete = "jsonpath={.status.conditions[?(@.type==\"Complete\")].status}";
    room.until(&["get", "job", "batch", "--output", complete], |status| {
        status == "True"
    })
    .await;
    let log = room
        .until(&["logs", "job/batch", "--container", "log-saver"], |log| {
            log.lines().count() >= 2000
        })
        .await;
    let expected: Vec<String> = (1..=2000).map(|n| format!("line {n}")).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_web_server_of_a_deployment_ends_before_the_helper_which_has_seen_its_last_line() {
    let Some(room) = Room::with_outrigger("log-saver").await else {
        return;
    };
    stand_in::fluent_bit(room.node);
    applications::nginx(room.node);
    room.apply(DEPLOYMENT).await;
    room.rolled_out("deployment/web").await;
    let pods = room.get(&["pods"]).await;
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let ask = "for n in $(seq 200); do wget -qO- http://127.0.0.1:8000/page-$n; done";
    room.exec(pod, "web", ask).await.unwrap();
    // It follows the log to the helper's end; afterwards kubelet deletes it.
    let follow = Command::new(room.node.programs().join("kubectl"))
        .arg("--kubeconfig")
        .arg(room.node.kubeconfig())
        .args([
            "--namespace",
            &room.namespace,
            "logs",
            "--follow",
            pod,
            "--container",
            "log-saver",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    room.run(&["delete", "deployment", "web", "--cascade=foreground"]).await;
    let log = follow.wait_with_output().unwrap().stdout;
    let log = String::from_utf8_lossy(&log).into_owned();
    let pages = (1..=200).map(|n| format!("/page-{n}"));
    let expected: Vec<String> = pages.chain((1..=20).map(|n| format!("/last-{n}"))).collect();
    assert_eq!(log.lines().collect::<Vec<_>>(), expected);
}
