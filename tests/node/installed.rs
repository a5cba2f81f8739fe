//! Outrigger on the node, installed by its chart as the README says, once for all tests.
use crate::images::own;
use outrigger_harness::{Helm, Node};
use serde_json::json;
use tokio::sync::OnceCell;

/// Renewed each minute, and not each twenty days; a new authority is given seconds, and not a minute, to be known.
const QUICK_CERTIFICATES: [&str; 2] = ["--certificate-life=90s", "--settling=5s"];

static INSTALLED: OnceCell<Option<&'static Node>> = OnceCell::const_new();

/// The node with Outrigger and its bundled policies; `None`: no node here, and that has been said.
pub async fn node() -> Option<&'static Node> {
    *INSTALLED.get_or_init(install).await
}

async fn install() -> Option<&'static Node> {
    let node = Node::shared()?;
    let helm = Helm::find()?.with(&node.kubeconfig());
    own::outrigger(node);
    // Everything that the injector needs is in the chart, down to the level of its namespace's Pods.
    let namespace = r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outrigger-system",
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}"#;
    let made = node.kubectl(&["apply", "-f", "-"], Some(namespace.into())).await;
    assert!(made.success, "{}", made.stderr);
    let bundled = [
        "log-saver",
        "content-sync",
        "memcached",
        "nginx-metrics",
        "leader-elector",
        "work-queue",
        "scatter-gather",
    ];
    let values = json!({"policies": {"bundled": bundled}, "extraArgs": QUICK_CERTIFICATES});
    let install = [
        "install",
        "outrigger",
        "charts/outrigger",
        "--namespace",
        "outrigger-system",
        "--values",
        "-",
        "--wait",
    ];
    let output = helm.run(&install, &values).await;
    assert!(output.success, "{}{}", output.stdout, output.stderr);
    Some(node)
}
