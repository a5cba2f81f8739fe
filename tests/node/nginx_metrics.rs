//! nginx-metrics: a real Prometheus scrapes the exporter where the Pod's annotations say, and has `nginx_up 1` of it. Debian's Prometheus
//! is built without the discovery of Pods, so the test reads the annotations for it.
use crate::images::{Image, own};
use crate::room::Room;
use outrigger_harness::Node;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

const NGINX: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: nginx}
data:
  nginx.conf: |
    daemon off;
    error_log stderr;
    pid /tmp/nginx.pid;
    events {}
    http {
      access_log off;
      client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c; uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
      server { listen 127.0.0.1:8080; location /stub_status { stub_status; } }
    }
---
apiVersion: v1
kind: Pod
metadata:
  name: nginx
  annotations: {outrigger.dev/inject: nginx-metrics}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - name: nginx
      image: local/nginx:1
      args: [-c, /etc/conf/nginx.conf]
      volumeMounts: [{name: conf, mountPath: /etc/conf}]
  volumes: [{name: conf, configMap: {name: nginx}}]
"#;

const PROMETHEUS: &str = r#"
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: pods, scheme: "@SCHEME@", metrics_path: "@PATH@", static_configs: [{targets: ["@ADDRESS@"]}]}
"#;

/// What a Prometheus does that goes by annotations.
async fn config(room: &Room) -> String {
    let pod = room
        .attempt(&["get", "pod", "nginx", "--output", "json"], None)
        .await
        .unwrap();
    let pod: Value = serde_json::from_str(&pod).unwrap();
    let said = |key: &str| {
        pod["metadata"]["annotations"][format!("prometheus.io/{key}")]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(said("scrape"), "true");
    let address = format!("{}:{}", pod["status"]["podIP"].as_str().unwrap(), said("port"));
    PROMETHEUS
        .replace("@SCHEME@", &said("scheme"))
        .replace("@PATH@", &said("path"))
        .replace("@ADDRESS@", &address)
}

#[tokio::test]
async fn a_prometheus_has_nginx_up_from_where_the_annotations_say() {
    let Some(room) = Room::with_outrigger("nginx").await else {
        return;
    };
    own::nginx_exporter(room.node);
    Image {
        name: "local/nginx:1",
        programs: &[(Path::new("/usr/sbin/nginx"), "/usr/sbin/nginx")],
        copies: &[],
        shell: false,
        entrypoint: &["/usr/sbin/nginx"],
        user: "",
    }
    .import(room.node);
    room.apply(NGINX).await;
    room.ready("nginx").await;
    let prometheus = Prometheus::start(room.node, &config(&room).await);
    let begin = Instant::now();
    loop {
        let found = prometheus.query("nginx_up");
        if found.contains(r#""1"]"#) {
            return;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(120),
            "{found}\n{}",
            prometheus.log()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Debian's Prometheus, inside the node's network; it ends when this is dropped.
struct Prometheus {
    node: &'static Node,
    process: std::process::Child,
    directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(node: &'static Node, config: &str) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut command = node.inside("prometheus");
        command.args([
            format!("--config.file={}", path("prometheus.yml")),
            format!("--storage.tsdb.path={}", path("data")),
            "--web.listen-address=127.0.0.1:9099".into(),
        ]);
        let process = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Prometheus {
            node,
            process,
            directory,
        }
    }

    fn query(&self, query: &str) -> String {
        let url = format!("http://127.0.0.1:9099/api/v1/query?query={query}");
        let output = self
            .node
            .inside("curl")
            .args(["--silent", "--max-time", "5", &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
