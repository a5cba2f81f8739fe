//! log-saver: every line of the application's files comes out of the helper, whose program is a stand-in.
use crate::room::Room;
use crate::stand_in;

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
