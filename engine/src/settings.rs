//! What an operator configures for the engine.

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

/// The first minor version with native sidecars on by default (KEP-753).
const NATIVE_SIDECARS_SINCE: u32 = 29;

impl Settings {
    pub(crate) fn native_sidecars(&self) -> bool {
        self.kubernetes_minor >= NATIVE_SIDECARS_SINCE
    }
}

impl Default for Settings {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Settings {
            kubernetes_minor: 37,
            protected_namespaces: names(&[
                "kube-system",
                "kube-public",
                "kube-node-lease",
                "outrigger-system",
                "calico-system",
                "calico-apiserver",
                "tigera-operator",
                "cilium",
                "kube-flannel",
                "kube-router",
                "metallb-system",
                "multus",
                "longhorn-system",
                "rook-ceph",
                "openebs",
                "topolvm-system",
            ]),
            mesh_containers: names(&[
                "istio-proxy",
                "istio-init",
                "istio-validation",
                "linkerd-proxy",
                "linkerd-init",
                "linkerd-network-validator",
                "kuma-sidecar",
                "kuma-init",
                "consul-dataplane",
                "envoy-sidecar",
            ]),
            foreign_changes: Vec::new(),
        }
    }
}
