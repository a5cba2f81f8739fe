//! Everything that a decision depends on besides the Pod: policies, namespaces, settings.
use crate::CompiledPolicy;
use std::{collections::BTreeMap, sync::Arc};

/// What the engine knows of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Namespace {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// What an operator configures; fixed for the life of a snapshot.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Minor version of the cluster's Kubernetes 1.x.
    pub kubernetes_minor: u32,
    /// Namespaces whose Pods are never touched.
    pub protected_namespaces: Vec<String>,
    /// Names of containers that a service mesh adds; they do not count as the application's.
    pub mesh_containers: Vec<String>,
    /// Fields of a container (`image`, …) that others may change in helpers of `Required` policies.
    pub foreign_changes: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            kubernetes_minor: 37,
            protected_namespaces: ["kube-system", "kube-public", "kube-node-lease"]
                .map(String::from)
                .to_vec(),
            mesh_containers: ["istio-proxy", "istio-init", "linkerd-proxy", "linkerd-init"]
                .map(String::from)
                .to_vec(),
            foreign_changes: Vec::new(),
        }
    }
}

/// An immutable set of compiled policies and namespaces, indexed for lookup.
#[derive(Debug, Default)]
pub struct Snapshot {
    policies: Vec<Arc<CompiledPolicy>>,
}

impl Snapshot {
    /// Indexes `policies` and `namespaces`. The order of either does not matter.
    pub fn new(policies: Vec<Arc<CompiledPolicy>>, namespaces: Vec<Namespace>, settings: Settings) -> Snapshot {
        let _ = (namespaces, settings);
        Snapshot { policies }
    }

    /// All policies, in no particular order.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }
}
