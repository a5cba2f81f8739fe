//! The stage of a test in which policies are objects of the API server.
use crate::scene::Scene;
use outrigger_harness::{Answer, Cluster, Namespace, SCENE, Webhook};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub const OUTRIGGER: &str = env!("CARGO_BIN_EXE_outrigger");
pub const CLUSTER: &str = "/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies";

/// The path of a namespace's own policies.
pub fn own(namespace: &str) -> String {
    format!("/apis/outrigger.dev/v1alpha1/namespaces/{namespace}/injectionpolicies")
}

/// A namespace of the scene with the CRDs in the cluster; `None`: no API server here, and that has been said.
pub async fn namespace(name: &str) -> Option<Namespace> {
    let cluster = Cluster::shared()?;
    let namespace = cluster.namespace(name, json!({})).await;
    install_crds(&namespace).await;
    let labels = json!({"metadata": {"labels": {SCENE: namespace.name}}});
    let path = format!("/api/v1/namespaces/{}", namespace.name);
    namespace.merge(&path, &labels).await.object();
    Some(namespace)
}

/// Applies what `outrigger crds` prints, as the documents say.
pub async fn install_crds(namespace: &Namespace) {
    let crds = outrigger::crds::yaml().unwrap();
    let apply = ["apply", "--server-side", "-f", "-"];
    let output = namespace.kubectl_with(&apply, Some(crds)).await;
    assert!(output.success, "{}", output.stderr);
    let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd"];
    let names = [
        "clusterinjectionpolicies.outrigger.dev",
        "injectionpolicies.outrigger.dev",
    ];
    let output = namespace.kubectl_with(&[&established[..], &names].concat(), None).await;
    assert!(output.success, "{}", output.stderr);
}

/// A scene whose webhook reads policies from the cluster.
pub async fn scene(name: &str) -> Option<Scene> {
    let namespace = namespace(name).await?;
    let kubeconfig: PathBuf = namespace.cluster().kubeconfig().into();
    Some(with(namespace, &kubeconfig).await)
}

/// As [`scene`], with another way to the API server.
pub async fn with(namespace: Namespace, kubeconfig: &Path) -> Scene {
    let webhook = Webhook::in_cluster(Path::new(OUTRIGGER), &namespace, kubeconfig).await;
    Scene { webhook, namespace }
}

/// A policy that adds one sidecar.
pub fn policy(kind: &str, name: &str, image: &str) -> Value {
    json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind, "metadata": {"name": name},
        "spec": {"sidecars": [{"container": {"name": "helper", "image": image}}]}})
}

impl Scene {
    /// A name for a cluster policy of this test alone.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace.name)
    }

    /// Creates or replaces the cluster's policy.
    pub async fn put(&self, policy: &Value) -> Answer {
        let path = format!(
            "{CLUSTER}/{}?fieldManager=test&force=true",
            policy["metadata"]["name"].as_str().unwrap()
        );
        self.namespace.apply(&path, policy).await
    }

    /// Creates or replaces the cluster's policy of that name, and waits until it adds a sidecar with this image.
    pub async fn serve(&self, name: &str, image: &str) {
        self.put(&policy("ClusterInjectionPolicy", name, image)).await.object();
        self.wait_for(name, image).await;
    }

    /// Deletes the cluster's policy of that name.
    pub async fn delete(&self, name: &str) {
        let path = format!("{CLUSTER}/{name}");
        self.namespace.call("DELETE", &path, None).await.object();
    }

    /// The image of the helper in a Pod of this namespace that asks for this policy, or why there is none.
    pub async fn image(&self, policy: &str) -> String {
        let pod = crate::pods::asking(policy);
        let answer = self.namespace.dry_run(&pod).await;
        if answer.status != 201 {
            return answer.message().to_owned();
        }
        let pod = answer.object();
        let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array().cloned());
        let mut containers = lists.into_iter().flatten().flatten();
        let helper = containers.find(|container| container["name"] == "helper");
        helper.map_or_else(
            || "no helper".to_owned(),
            |helper| helper["image"].as_str().unwrap().to_owned(),
        )
    }

    /// Waits until [`Self::image`] holds this.
    pub async fn wait_for(&self, policy: &str, expected: &str) {
        let mut last = String::new();
        for _ in 0..400 {
            last = self.image(policy).await;
            if last.contains(expected) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("still {last:?}, not {expected:?}:\n{}", self.webhook.log().join("\n"));
    }
}
