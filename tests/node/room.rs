//! A namespace of the node for one test, and what is said to it by kubectl.
use outrigger_harness::Node;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

static ROOMS: AtomicU32 = AtomicU32::new(0);
/// Longer than anything takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// A namespace; its Pods end with the test.
pub struct Room {
    pub node: &'static Node,
    pub namespace: String,
}

impl Room {
    /// A new namespace whose name begins so, on a node with Outrigger; `None`: no node here, and that has been said.
    pub async fn with_outrigger(name: &str) -> Option<Room> {
        Room::on(crate::installed::node().await?, name).await
    }

    /// A new namespace on a node that may have nothing else yet.
    pub async fn new(name: &str) -> Option<Room> {
        Room::on(Node::shared()?, name).await
    }

    async fn on(node: &'static Node, name: &str) -> Option<Room> {
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        let room = Room {
            node,
            namespace: format!("{name}-{number}"),
        };
        room.cluster(&["create", "namespace", &room.namespace]).await;
        Some(room)
    }

    /// Runs kubectl without a namespace of its own, and returns what it prints.
    pub async fn cluster(&self, arguments: &[&str]) -> String {
        let output = self.node.kubectl(arguments, None).await;
        assert!(output.success, "kubectl {arguments:?}: {}", output.stderr);
        output.stdout
    }

    /// Runs kubectl in the namespace, and returns what it prints, or what it says when it fails.
    pub async fn attempt(&self, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
        let arguments = [&["--namespace", &self.namespace], arguments].concat();
        let output = self.node.kubectl(&arguments, input.map(str::to_owned)).await;
        match output.success {
            true => Ok(output.stdout),
            false => Err(format!("kubectl {arguments:?}: {}", output.stderr)),
        }
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: &str) {
        let applied = self.attempt(&["apply", "-f", "-"], Some(manifests)).await;
        applied.unwrap_or_else(|error| panic!("{error}\n{manifests}"));
    }

    /// Asks again and again until `wanted` says yes to what kubectl prints.
    pub async fn until(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let begin = Instant::now();
        loop {
            let said = self.attempt(arguments, None).await;
            match said {
                Ok(text) if wanted(&text) => return text,
                said if begin.elapsed() > LONG => {
                    let pods = self.attempt(&["describe", "pods"], None).await.unwrap_or_default();
                    panic!("kubectl {arguments:?} still says {said:?}\n{pods}");
                }
                _ => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Waits until a Pod is ready.
    pub async fn ready(&self, pod: &str) {
        let query = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        self.until(&["get", "pod", pod, "--output", query], |status| status == "True")
            .await;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // Nobody waits for it: the node goes away as a whole in the end.
        let kubectl = self.node.programs().join("kubectl");
        let mut delete = std::process::Command::new(kubectl);
        delete.arg("--kubeconfig").arg(self.node.kubeconfig());
        delete.args(["delete", "namespace", &self.namespace, "--wait=false"]);
        let _ = delete.output();
    }
}
