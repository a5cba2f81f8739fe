//! The release and what stands in for a node: replicas of the Deployment's Pod template behind the Service.
use outrigger_harness::{Balancer, Cluster, Helm, Namespace, Replica};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::time::sleep;

pub const CHART: &str = "charts/outrigger";
const PATIENCE: Duration = Duration::from_secs(180);
/// Written by the test: where the process listens, and how it logs.
const ADAPTED: [&str; 3] = ["--listen=", "--admin=", "--log-format="];

pub struct Release {
    pub cluster: &'static Cluster,
    pub namespace: Namespace,
    pub balancer: Balancer,
    pub replicas: Vec<Replica>,
    helm: Helm,
    kubeconfig: Option<PathBuf>,
}

impl Release {
    /// A namespace for it, which enforces the level `restricted`; `None`: a tool is missing, and that has been said.
    pub async fn prepare() -> Option<Release> {
        let (cluster, helm) = (Cluster::shared()?, Helm::find()?);
        let labels = json!({"labels": {"pod-security.kubernetes.io/enforce": "restricted"}});
        let namespace = cluster.namespace("release", labels).await;
        Some(Release::of(cluster, namespace, helm).await)
    }

    /// The release of this namespace, whether it is there already or not.
    pub async fn of(cluster: &'static Cluster, namespace: Namespace, helm: Helm) -> Release {
        Release {
            cluster,
            namespace,
            balancer: Balancer::start().await,
            replicas: Vec::new(),
            helm: helm.with(cluster.kubeconfig()),
            kubeconfig: None,
        }
    }

    /// Runs helm for the release; it must succeed. What it prints.
    pub async fn helm(&self, arguments: &[&str]) -> String {
        let place = ["--namespace", &self.namespace.name];
        let output = self.helm.run(&[arguments, &place].concat(), &self.values()).await;
        assert!(output.success, "helm {arguments:?}: {}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// The Service's port is that of the balancer: an ExternalName has no other.
    fn values(&self) -> Value {
        json!({"service": {"port": self.balancer.port()}, "drainSeconds": 3, "policies": {"bundled": ["log-saver"]}})
    }

    pub async fn kubectl(&self, arguments: &[&str], input: Option<String>) -> String {
        let output = self.namespace.kubectl_with(arguments, input).await;
        assert!(output.success, "kubectl {arguments:?}: {}", output.stderr);
        output.stdout
    }

    /// What the network does in a cluster: the Service leads to the balancer. Its ServiceAccount gets a token.
    pub async fn connect(&mut self) {
        let elsewhere = r#"{"spec": {"type": "ExternalName", "externalName": "localhost"}}"#;
        self.kubectl(&["patch", "service", "outrigger", "--patch", elsewhere], None)
            .await;
        let token = self.kubectl(&["create", "token", "outrigger"], None).await;
        self.kubeconfig = Some(self.cluster.kubeconfig_with_token(token.trim(), &self.namespace.name));
    }

    /// Starts a replica as the Deployment says, waits until it is ready, and puts it behind the Service.
    pub async fn start_replica(&mut self) {
        let deployment = self
            .kubectl(&["get", "deployment", "outrigger", "--output", "json"], None)
            .await;
        let deployment: Value = serde_json::from_str(&deployment).unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| argument.as_str().unwrap());
        let arguments = arguments
            .skip(1)
            .filter(|argument| !ADAPTED.iter().any(|adapted| argument.starts_with(adapted)));
        let kubeconfig = self.kubeconfig.as_ref().unwrap().display().to_string();
        let kubeconfig = ["--kubeconfig".to_owned(), kubeconfig];
        let arguments: Vec<String> = arguments.map(str::to_owned).chain(kubeconfig).collect();
        let replica = Replica::start(Path::new(env!("CARGO_BIN_EXE_outrigger")), &arguments);
        replica.wait_until_ready().await;
        self.balancer.add(replica.address());
        self.replicas.push(replica);
    }

    /// What kubelets and the Deployment's controller do in a cluster: all replicas that it asks for, and word of it in its status.
    pub async fn run_deployment(&mut self) {
        self.connect().await;
        let deployment = format!("/apis/apps/v1/namespaces/{}/deployments/outrigger", self.namespace.name);
        let found = self.namespace.call("GET", &deployment, None).await.object();
        let replicas = found["spec"]["replicas"].as_u64().unwrap();
        for _ in 0..replicas {
            self.start_replica().await;
        }
        let status = json!({"status": {"observedGeneration": found["metadata"]["generation"], "replicas": replicas,
            "updatedReplicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}});
        self.namespace
            .merge(&format!("{deployment}/status"), &status)
            .await
            .object();
    }

    /// Ends all replicas as a power cut does.
    pub fn end_all(&mut self) {
        for replica in self.replicas.drain(..) {
            self.balancer.remove(replica.address());
            replica.signal("KILL");
        }
    }

    /// Ends the oldest replica as kubelet does; the Service hears of it a little later, as nodes do.
    pub async fn stop_oldest(&mut self) {
        let replica = self.replicas.remove(0);
        replica.signal("TERM");
        sleep(Duration::from_millis(500)).await;
        self.balancer.remove(replica.address());
        replica.logs("stopping");
        self.until("the old replica has ended", async || replica.has_ended())
            .await;
    }

    /// Whether there is such an object, by a kubectl resource and a name.
    pub async fn has(&self, resource: &str, name: &str) -> bool {
        let found = ["get", resource, name, "--ignore-not-found", "--output", "name"];
        !self.kubectl(&found, None).await.is_empty()
    }

    pub async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            let logs: Vec<String> = self.replicas.iter().flat_map(|replica| replica.log()).collect();
            assert!(begun.elapsed() < PATIENCE, "not in time: {what}\n{}", logs.join("\n"));
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A Pod that asks for this policy.
pub fn asking(policy: &str) -> Value {
    json!({
        "metadata": {"generateName": "web-", "annotations": {"outrigger.dev/inject": policy}},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    })
}
