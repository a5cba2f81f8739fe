//! Outrigger as it is installed by hand: in a namespace of a test, with the rights that the operations page lists and no
//! others.
use crate::answer::Answer;
use crate::balancer::Balancer;
use crate::namespace::Namespace;
use crate::page::Page;
use crate::replica::Replica;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Flags that make waiting short, unless a test gives them itself.
const QUICK: [[&str; 2]; 3] = [["--lease-duration", "6s"], ["--settling", "2s"], ["--drain", "0"]];

/// All but the replicas.
pub struct Installation {
    /// Where it is.
    pub system: Namespace,
    /// What the Service leads to.
    pub balancer: Balancer,
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Installation {
    /// Makes it: the definitions `crds`, a Service with nobody behind it, and the rights.
    ///
    /// # Panics
    /// When the API server does not take something.
    pub async fn new(system: Namespace, binary: &Path, crds: String) -> Installation {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        system.kubectl_with(&apply, Some(crds)).await.ok();
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"];
        system.kubectl(&established, None).await.ok();
        let balancer = Balancer::start().await;
        let service = json!({"metadata": {"name": "outrigger"}, "spec": {"type": "ExternalName", "externalName": "localhost",
            "ports": [{"port": balancer.port()}]}});
        let path = system.path("services");
        system.call("POST", &path, Some(&service)).await.object();
        let kubeconfig = grant(&system).await;
        Installation {
            system,
            balancer,
            binary: binary.to_owned(),
            kubeconfig,
        }
    }

    /// Starts a replica with these flags besides the usual ones. It is not behind the Service yet.
    ///
    /// # Panics
    /// When it does not serve.
    pub fn start(&self, flags: &[&str]) -> Replica {
        let service = format!("{}/outrigger:{}", self.system.name, self.balancer.port());
        let kubeconfig = self.kubeconfig.display().to_string();
        let usual = [
            "--kubeconfig",
            &kubeconfig,
            "--service",
            &service,
            "--owner",
            "outrigger",
        ];
        let quick = QUICK.iter().filter(|[flag, _]| !flags.contains(flag)).flatten();
        let arguments = usual.iter().chain(quick).chain(flags);
        let arguments: Vec<String> = arguments.map(ToString::to_string).collect();
        Replica::start(&self.binary, &arguments)
    }

    /// Makes a ClusterInjectionPolicy, or changes it to this.
    pub async fn put(&self, name: &str, spec: Value) -> Answer {
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": name}, "spec": spec});
        let path = format!("/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies/{name}?fieldManager=test&force=true");
        self.system.apply(&path, &policy).await
    }

    /// Lets it count Pods, as the operations page says.
    ///
    /// # Panics
    /// When the API server does not take the binding.
    pub async fn let_it_count_pods(&self) {
        bind(
            &self.system,
            "clusterrolebinding",
            &format!("{}-pods", self.system.name),
            "--clusterrole=outrigger-pods",
        )
        .await;
    }
}

/// Gives the ServiceAccount `outrigger` of this namespace the rights that the operations page lists; a kubeconfig of it.
///
/// # Panics
/// When the API server does not take something.
pub async fn grant(system: &Namespace) -> PathBuf {
    let blocks = Page::read("docs/operations.md").blocks("yaml");
    let roles = blocks
        .into_iter()
        .filter(|block| block.contains("rbac.authorization.k8s.io"));
    let roles = roles
        .collect::<Vec<_>>()
        .join("---\n")
        .replace("outrigger-system", &system.name);
    assert!(
        roles.contains("kind: ClusterRole\n") && roles.contains("kind: Role\n"),
        "{roles}"
    );
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    system.kubectl_with(&apply, Some(roles)).await.ok();
    system
        .kubectl(&["create", "serviceaccount", "outrigger"], None)
        .await
        .ok();
    bind(system, "clusterrolebinding", &system.name, "--clusterrole=outrigger").await;
    bind(system, "rolebinding", "outrigger", "--role=outrigger").await;
    let token = system.kubectl(&["create", "token", "outrigger"], None).await.ok();
    system.cluster().kubeconfig_with_token(token.trim(), &system.name)
}

async fn bind(system: &Namespace, kind: &str, name: &str, role: &str) {
    let account = format!("--serviceaccount={}:outrigger", system.name);
    system.kubectl(&["create", kind, name, role, &account], None).await.ok();
}
