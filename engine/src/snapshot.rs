//! Everything that a decision depends on besides the Pod: policies, namespaces, settings; immutable and indexed, so that
//! the cost of an admission does not grow with the number of policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::CompiledPolicy;
use crate::pod::PodView;
use crate::render::{Rendering, Renderings};
use crate::selector::{Selector, Test};

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

/// The label that the API server sets on every namespace, to its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Namespace {
    /// A namespace of which only the name is known.
    pub fn named(name: &str) -> Namespace {
        Namespace {
            name: name.to_owned(),
            ..Namespace::default()
        }
        .labelled()
    }

    fn labelled(mut self) -> Namespace {
        self.labels.insert(NAME_LABEL.to_owned(), self.name.clone());
        self
    }

    pub(crate) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }
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

/// An immutable set of compiled policies and namespaces, indexed for lookup.
#[derive(Debug, Default)]
pub struct Snapshot {
    policies: Vec<Arc<CompiledPolicy>>,
    namespaces: HashMap<String, Namespace>,
    settings: Settings,
    cluster: Index,
    namespaced: HashMap<String, Index>,
    renderings: Option<Box<dyn Renderings>>,
}

/// Policies of one scope by name, and by one thing that a Pod or its namespace must have for them to match.
#[derive(Debug, Default)]
struct Index {
    by_name: HashMap<String, usize>,
    by_namespace_label: Labels,
    by_pod_label: Labels,
    /// Policies whose `match` demands no label to be there.
    any: Vec<usize>,
}

/// Policies by a label that their selector demands.
#[derive(Debug, Default)]
struct Labels {
    by_pair: HashMap<String, HashMap<String, Vec<usize>>>,
    by_key: HashMap<String, Vec<usize>>,
}

impl Labels {
    fn find<'a>(&self, labels: impl Iterator<Item = (&'a str, &'a str)>, found: &mut Vec<usize>) {
        if self.by_pair.is_empty() && self.by_key.is_empty() {
            return;
        }
        for (key, value) in labels {
            found.extend(
                self.by_pair
                    .get(key)
                    .and_then(|values| values.get(value))
                    .into_iter()
                    .flatten(),
            );
            found.extend(self.by_key.get(key).into_iter().flatten());
        }
    }

    /// Enters a policy under one requirement of its selector, if there is one to look it up by.
    fn enter(&mut self, selector: Option<&Selector>, policy: usize) -> bool {
        let mut requirements = selector.into_iter().flat_map(Selector::requirements);
        let Some(requirement) = requirements.find(|requirement| requirement.is_positive()) else {
            return false;
        };
        match &requirement.test {
            Test::In(values) => {
                let by_value = self.by_pair.entry(requirement.key.clone()).or_default();
                values
                    .iter()
                    .for_each(|value| by_value.entry(value.clone()).or_default().push(policy));
            }
            _ => self.by_key.entry(requirement.key.clone()).or_default().push(policy),
        }
        true
    }
}

impl Index {
    fn enter(&mut self, policy: &CompiledPolicy, position: usize) {
        self.by_name.entry(policy.name().to_owned()).or_insert(position);
        let Some(matches) = &policy.head().matches else { return };
        let indexed = self
            .by_namespace_label
            .enter(matches.namespace_selector.as_ref(), position)
            || self.by_pod_label.enter(matches.pod_selector.as_ref(), position);
        if !indexed {
            self.any.push(position);
        }
    }

    fn find(&self, namespace: &Namespace, pod: &PodView<'_>, found: &mut Vec<usize>) {
        let labels = namespace
            .labels
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        self.by_namespace_label.find(labels, found);
        self.by_pod_label.find(pod.labels(), found);
        found.extend(&self.any);
    }
}

impl Snapshot {
    /// Indexes `policies` and `namespaces`. The order of either does not matter; of two policies with one name and scope
    /// the first counts.
    pub fn new(policies: Vec<Arc<CompiledPolicy>>, namespaces: Vec<Namespace>, settings: Settings) -> Snapshot {
        let mut cluster = Index::default();
        let mut namespaced: HashMap<String, Index> = HashMap::new();
        for (position, policy) in policies.iter().enumerate() {
            match &policy.id().namespace {
                None => cluster.enter(policy, position),
                Some(namespace) => namespaced.entry(namespace.clone()).or_default().enter(policy, position),
            }
        }
        let namespaces = namespaces.into_iter().map(|n| (n.name.clone(), n.labelled())).collect();
        Snapshot {
            policies,
            namespaces,
            settings,
            cluster,
            namespaced,
            renderings: None,
        }
    }

    /// The same, with a place for renderings, which live as long as the snapshot.
    pub fn keeping(self, renderings: Box<dyn Renderings>) -> Snapshot {
        Snapshot {
            renderings: Some(renderings),
            ..self
        }
    }

    pub(crate) fn recall(&self, key: &str) -> Option<Rendering> {
        self.renderings.as_ref()?.recall(key)
    }

    pub(crate) fn keep(&self, key: String, rendering: &Rendering) {
        if let Some(renderings) = &self.renderings {
            renderings.keep(key, rendering.clone());
        }
    }

    /// All policies, in no particular order.
    pub fn policies(&self) -> &[Arc<CompiledPolicy>] {
        &self.policies
    }

    /// What is known of a namespace.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        self.namespaces.get(name)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policy that `name` means in `namespace`: the cluster's, or else the namespace's own.
    pub(crate) fn visible(&self, name: &str, namespace: &str) -> Option<&CompiledPolicy> {
        let own = || self.namespaced.get(namespace).and_then(|index| index.by_name.get(name));
        self.cluster
            .by_name
            .get(name)
            .or_else(own)
            .map(|position| &*self.policies[*position])
    }

    /// Names that [`Snapshot::visible`] knows in `namespace`.
    pub(crate) fn visible_names<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a str> {
        let own = self
            .namespaced
            .get(namespace)
            .into_iter()
            .flat_map(|index| index.by_name.keys());
        self.cluster.by_name.keys().chain(own).map(String::as_str)
    }

    /// Policies whose `match` may hold; it is still to be checked.
    pub(crate) fn may_match<'a>(&'a self, namespace: &Namespace, pod: &PodView<'_>) -> Vec<&'a CompiledPolicy> {
        let mut found = Vec::new();
        self.cluster.find(namespace, pod, &mut found);
        if let Some(own) = self.namespaced.get(&namespace.name) {
            let shadowed = found.len();
            own.find(namespace, pod, &mut found);
            let mut kept = shadowed;
            for candidate in shadowed..found.len() {
                if !self
                    .cluster
                    .by_name
                    .contains_key(self.policies[found[candidate]].name())
                {
                    found[kept] = found[candidate];
                    kept += 1;
                }
            }
            found.truncate(kept);
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|position| &*self.policies[position]).collect()
    }
}
