//! nginx-metrics: a real Prometheus, configured as the policy's page says, finds the Pod by its annotations, and has `nginx_up 1` of it.
use crate::applications;
use crate::images::own;
use crate::room::Room;
use outrigger_harness::Node;
use outrigger_harness::assets::{self, Program};
use outrigger_harness::demand::available;
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
    events {}
    http {
      access_log off;
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

/// A Pod that does not want to be scraped.
const OTHER: &str = r#"
---
apiVersion: v1
kind: Pod
metadata: {name: other}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: other, image: "local/busybox:1", command: [sleep, "100000"], ports: [{containerPort: 9113}]}]
"#;

/// What the page has Prometheus do, in this namespace, and often.
fn configuration(room: &Room) -> String {
    let page = include_str!("../../policies/nginx-metrics/README.md");
    let begin = page.find("scrape_configs:").unwrap();
    let block = page[begin..].split("```").next().unwrap();
    let here = format!(
        "{{role: pod, kubeconfig_file: '{}', namespaces: {{names: [{}]}}}}",
        room.node.directory().join("kubeconfig").display(),
        room.namespace
    );
    let found = block.replace("{role: pod}", &here);
    assert_ne!(found, block);
    format!("global: {{scrape_interval: 1s}}\n{found}")
}

#[tokio::test]
async fn a_prometheus_finds_the_pod_by_its_annotations_and_has_nginx_up() {
    let Some(room) = Room::with_outrigger("nginx").await else {
        return;
    };
    let Some(program) = available(assets::program(Program::Prometheus)) else {
        return;
    };
    own::nginx_exporter(room.node);
    applications::nginx(room.node);
    let prometheus = Prometheus::start(room.node, &program, &configuration(&room));
    room.apply(&format!("{NGINX}{OTHER}")).await;
    room.ready("nginx").await;
    room.ready("other").await;
    let begin = Instant::now();
    let up = r#"nginx_up{pod="nginx"}"#;
    while !prometheus.query(up).contains(r#""1"]"#) {
        let waited = begin.elapsed();
        assert!(
            waited < Duration::from_secs(120),
            "{}\n{}",
            prometheus.query("up"),
            prometheus.log()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let all = prometheus.query("count(up)");
    assert!(all.contains(r#""1"]"#), "{}", prometheus.query("up"));
}

/// Inside the node's network; it ends when this is dropped.
struct Prometheus {
    node: &'static Node,
    process: std::process::Child,
    directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(node: &'static Node, program: &Path, config: &str) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut command = node.inside(&program.display().to_string());
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
        let query = format!("query={query}");
        let url = "http://127.0.0.1:9099/api/v1/query";
        let output = self
            .node
            .inside("curl")
            .args(["--silent", "--max-time", "5", "--get", "--data-urlencode", &query, url])
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
