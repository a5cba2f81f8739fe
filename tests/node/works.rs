//! The node itself is what the other tests take it for.
use crate::room::Room;

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: web}}
spec:
  containers:
    - name: web
      image: local/busybox:1
      command: [sh, -c, 'echo begun; mkdir /tmp/w; hostname >/tmp/w/index.html; exec httpd -f -p 8000 -h /tmp/w']
      readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}
      securityContext: {runAsUser: 1000, runAsNonRoot: true}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8000}]}
"#;

#[tokio::test]
async fn a_pod_runs_says_something_and_is_found_by_the_name_of_its_service() {
    let Some(room) = Room::new("works").await else {
        return;
    };
    room.apply(POD).await;
    room.ready("server").await;
    room.until(&["logs", "server"], |log| log == "begun\n").await;
    let get = "timeout 3 wget -qO- http://web/";
    room.until(&["exec", "server", "--", "sh", "-c", get], |page| page == "server\n")
        .await;
}
