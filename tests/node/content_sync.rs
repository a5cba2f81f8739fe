//! content-sync: a web server serves what is in a git repository, also what is committed while it runs. git-sync's program is a
//! stand-in over Debian's git.
use crate::room::Room;
use crate::stand_in;

/// The files of a repository, over HTTP.
pub const REPOSITORY: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: git, labels: {app: git}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: git
      image: local/git:1
      env: [{name: HOME, value: /tmp}]
      command:
        - sh
        - -c
        - |
          git init --quiet /srv/content && cd /srv/content && git config user.name t && git config user.email t@example.com
          echo one >index.html && git add . && git commit --quiet -m one && git update-server-info
          ln -s content/.git /srv/repository && exec httpd -f -p 8000 -h /srv
      readinessProbe: {httpGet: {path: /repository/info/refs, port: 8000}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: git}
spec: {selector: {app: git}, ports: [{port: 80, targetPort: 8000}]}
"#;

const SERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations:
    outrigger.dev/inject: content-sync
    content-sync.outrigger.dev/repository: http://git.@NS@.svc.cluster.local/repository
    content-sync.outrigger.dev/period: 1s
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: web
      image: local/busybox:1
      # By the link, not in what it leads to when the server starts.
      command: [httpd, -f, -p, "8000", -h, /srv/content]
      readinessProbe: {httpGet: {path: /current/index.html, port: 8000}, periodSeconds: 1}
"#;

const COMMIT: &str = "cd /srv/content && echo two >index.html && git commit --quiet -am two && git update-server-info";

#[tokio::test]
async fn a_web_server_serves_what_is_committed_while_it_runs() {
    let Some(room) = Room::with_outrigger("content-sync").await else {
        return;
    };
    stand_in::git_sync(room.node);
    room.apply(REPOSITORY).await;
    room.ready("git").await;
    room.apply(&SERVER.replace("@NS@", &room.namespace)).await;
    room.ready("web").await;
    let get = [
        "exec",
        "web",
        "--container",
        "web",
        "--",
        "wget",
        "-qO-",
        "http://127.0.0.1:8000/current/index.html",
    ];
    room.until(&get, |page| page == "one\n").await;
    room.attempt(&["exec", "git", "--", "sh", "-c", COMMIT], None)
        .await
        .unwrap();
    room.until(&get, |page| page == "two\n").await;
}
