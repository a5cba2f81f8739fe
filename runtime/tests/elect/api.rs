//! The real API server, as the electors and the tests reach it.
use crate::asking::now;
use futures_util::StreamExt;
use k8s_openapi::{ByteString, api::coordination::v1::Lease};
use kube::{
    Api,
    api::{WatchEvent, WatchParams},
};
use outrigger_harness::{Cluster, Namespace, claims::Version};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Mutex},
};

/// The cluster and a new namespace in it; `None`: there is no API server here, and that has been said.
pub async fn namespace(name: &str) -> Option<(&'static Cluster, Namespace)> {
    let cluster = Cluster::shared()?;
    Some((cluster, cluster.namespace(name, json!({})).await))
}

/// The path of a Lease.
pub fn lease(namespace: &Namespace, name: &str) -> String {
    format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases/{name}",
        namespace.name
    )
}

/// Every version of the Lease from now on, as watches tell of it.
pub fn history(namespace: &Namespace, name: &str) -> Arc<Mutex<Vec<Version>>> {
    let versions = Arc::<Mutex<Vec<Version>>>::default();
    let leases: Api<Lease> = Api::namespaced(namespace.client().clone(), &namespace.name);
    let this_one = WatchParams::default().fields(&format!("metadata.name={name}"));
    let kept = Arc::clone(&versions);
    tokio::spawn(async move {
        let mut last = String::new();
        loop {
            let mut events = pin!(leases.watch(&this_one, &last).await.unwrap());
            // It ends after some minutes, and goes on from where it was.
            while let Some(Ok(event)) = events.next().await {
                let (WatchEvent::Added(lease) | WatchEvent::Modified(lease)) = event else {
                    continue;
                };
                last = lease.metadata.resource_version.unwrap();
                kept.lock().unwrap().push(Version {
                    number: last.parse().unwrap(),
                    holder: lease.spec.unwrap().holder_identity.unwrap_or_default(),
                    seen: now(),
                });
            }
        }
    });
    versions
}

/// Files and variables as a Pod of the namespace's service account `default` has them.
pub struct ServiceAccount {
    pub directory: PathBuf,
    pub host: String,
    pub port: String,
}

impl ServiceAccount {
    pub async fn of(namespace: &Namespace) -> ServiceAccount {
        let path = namespace.path("serviceaccounts/default/token");
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}});
        let answer = namespace.call("POST", &path, Some(&request)).await.object();
        let kubeconfig = fs::read_to_string(namespace.cluster().kubeconfig()).unwrap();
        let kubeconfig: Value = serde_json::from_str(&kubeconfig).unwrap();
        let cluster = &kubeconfig["clusters"][0]["cluster"];
        let authority: ByteString = serde_json::from_value(cluster["certificate-authority-data"].clone()).unwrap();
        let directory = namespace.cluster().directory(&namespace.name);
        fs::write(directory.join("token"), answer["status"]["token"].as_str().unwrap()).unwrap();
        fs::write(directory.join("ca.crt"), authority.0).unwrap();
        fs::write(directory.join("namespace"), &namespace.name).unwrap();
        let address = cluster["server"].as_str().unwrap().trim_start_matches("https://");
        let (host, port) = address.split_once(':').unwrap();
        ServiceAccount {
            directory,
            host: host.to_owned(),
            port: port.to_owned(),
        }
    }

    /// The variables that kubelet sets, and the one that says where the files are.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("KUBERNETES_SERVICE_HOST", self.host.clone()),
            ("KUBERNETES_SERVICE_PORT", self.port.clone()),
            ("OUTRIGGER_SERVICE_ACCOUNT", self.directory.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// A file of the sources, by its path from their root.
pub fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Applies a file beside the policy to the namespace.
pub async fn apply(namespace: &Namespace, file: &str) {
    let text = source(&format!("policies/leader-elector/{file}"));
    let applied = namespace.kubectl_with(&["apply", "-f", "-"], Some(text)).await;
    assert!(applied.success, "{}", applied.stderr);
}
