//! A namespace of the node for one test, and what is said to it by kubectl.
use crate::processes;
use outrigger_harness::Node;
use serde_json::Value;
use std::any::Any;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::RwLock;

static ROOMS: AtomicU32 = AtomicU32::new(0);
/// Read by who needs Outrigger, written by who takes it away.
static PRESENCE: RwLock<()> = RwLock::const_new(());
/// Longer than anything takes, also on a busy machine.
const LONG: Duration = Duration::from_secs(180);

/// A namespace; its Pods end with the test.
pub struct Room {
    pub node: &'static Node,
    pub namespace: String,
    _turn: Box<dyn Any + Send + Sync>,
}

impl Room {
    /// A new namespace whose name begins so, on a node with Outrigger; `None`: no node here, and that has been said.
    pub async fn with_outrigger(name: &str) -> Option<Room> {
        let node = crate::installed::node().await?;
        Room::on(node, name, Box::new(PRESENCE.read().await)).await
    }

    /// The same, while no other test needs Outrigger.
    pub async fn alone_with_outrigger(name: &str) -> Option<Room> {
        let node = crate::installed::node().await?;
        Room::on(node, name, Box::new(PRESENCE.write().await)).await
    }

    /// A new namespace on a node that may have nothing else yet.
    pub async fn new(name: &str) -> Option<Room> {
        Room::on(Node::shared()?, name, Box::new(())).await
    }

    async fn on(node: &'static Node, name: &str, turn: Box<dyn Any + Send + Sync>) -> Option<Room> {
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        let room = Room {
            node,
            namespace: format!("{name}-{number}"),
            _turn: turn,
        };
        room.cluster(&["create", "namespace", &room.namespace]).await;
        Some(room)
    }

    /// A directory of the node for `hostPath`, which everyone may write.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.node.directory().join("rooms").join(&self.namespace).join(name);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        path
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

    /// Runs kubectl in the namespace, which must succeed, and returns what it prints.
    pub async fn run(&self, arguments: &[&str]) -> String {
        let said = self.attempt(arguments, None).await;
        said.unwrap_or_else(|error| panic!("{error}"))
    }

    /// An object, or a list of them.
    pub async fn get(&self, what: &[&str]) -> Value {
        let said = self.run(&[&["get"], what, &["--output", "json"]].concat()).await;
        serde_json::from_str(&said).unwrap()
    }

    /// What a script prints in a container, or what is said when it fails.
    pub async fn exec(&self, pod: &str, container: &str, script: &str) -> Result<String, String> {
        let arguments = ["exec", pod, "--container", container, "--", "sh", "-c", script];
        self.attempt(&arguments, None).await
    }

    /// Runs a script in a container until `wanted` says yes to what it prints.
    pub async fn exec_until(&self, pod: &str, container: &str, script: &str, wanted: impl Fn(&str) -> bool) -> String {
        let arguments = ["exec", pod, "--container", container, "--", "sh", "-c", script];
        self.until(&arguments, wanted).await
    }

    /// Sends a signal to all processes of a container, past kubelet.
    pub async fn signal(&self, pod: &str, container: &str, signal: &str) {
        let pod = self.get(&["pod", pod]).await;
        let id = state(&pod, container)["containerID"].as_str().unwrap().to_owned();
        processes::signal(id.trim_start_matches("containerd://"), signal);
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: &str) {
        let applied = self.attempt(&["apply", "-f", "-"], Some(manifests)).await;
        applied.unwrap_or_else(|error| panic!("{error}\n{manifests}"));
    }

    /// Applies policies of this namespace, and waits until every replica has them.
    pub async fn policies(&self, manifests: &str) {
        self.apply(manifests).await;
        let wait = [
            "wait",
            "injectionpolicies",
            "--all",
            "--for=condition=Ready",
            "--timeout=60s",
        ];
        self.run(&wait).await;
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

    /// Waits until all Pods of a Deployment or StatefulSet are.
    pub async fn rolled_out(&self, workload: &str) {
        self.until(&["rollout", "status", workload, "--timeout=1s"], |_| true)
            .await;
    }
}

/// What the status of a Pod says of one of its containers.
pub fn state<'a>(pod: &'a Value, container: &str) -> &'a Value {
    let lists = ["initContainerStatuses", "containerStatuses"].map(|list| pod["status"][list].as_array());
    let all = lists.into_iter().flatten().flatten();
    let mut found = all.filter(|state| state["name"] == container);
    found
        .next()
        .unwrap_or_else(|| panic!("no container {container} in {pod}"))
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
