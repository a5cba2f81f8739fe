//! Everything that a decision depends on besides the Pod: policies, namespaces, settings; immutable and indexed, so that
//! the cost of an admission does not grow with the number of policies.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::CompiledPolicy;
use crate::names;
use crate::pod::PodView;
use crate::render::{Rendering, Renderings};
use crate::selector::{Selector, Test};
use crate::settings::Settings;

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
pub(crate) const NAME_LABEL: &str = "kubernetes.io/metadata.name";

impl Namespace {
    /// Whether a namespace can have this name: it is an RFC 1123 label.
    pub fn can_be_named(name: &str) -> bool {
        names::is_dns_label(name)
    }

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

/// An immutable set of compiled policies and namespaces, indexed for lookup. One that differs from another in a part of
/// it shares the rest.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    policies: Arc<Policies>,
    namespaces: Arc<HashMap<String, Arc<Namespace>>>,
    /// One that is not among `namespaces` yet.
    newcomer: Option<Arc<Namespace>>,
    settings: Arc<Settings>,
    renderings: Option<Arc<dyn Renderings>>,
}

/// Compiled policies, indexed.
#[derive(Debug, Default)]
struct Policies {
    all: Vec<Arc<CompiledPolicy>>,
    cluster: Index,
    namespaced: HashMap<String, Index>,
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

impl Policies {
    fn new(all: Vec<Arc<CompiledPolicy>>) -> Policies {
        let mut cluster = Index::default();
        let mut namespaced: HashMap<String, Index> = HashMap::new();
        for (position, policy) in all.iter().enumerate() {
            match &policy.id().namespace {
                None => cluster.enter(policy, position),
                Some(namespace) => namespaced.entry(namespace.clone()).or_default().enter(policy, position),
            }
        }
        Policies {
            all,
            cluster,
            namespaced,
        }
    }
}

impl Snapshot {
    /// Indexes `policies` and `namespaces`. The order of either does not matter; of two policies with one name and scope
    /// the first counts.
    pub fn new(policies: Vec<Arc<CompiledPolicy>>, namespaces: Vec<Namespace>, settings: Settings) -> Snapshot {
        Snapshot::default()
            .with_policies(policies)
            .with_namespaces(namespaces.into_iter().map(Arc::new))
            .with_settings(settings)
    }

    /// The same with these policies instead, and without a place for renderings.
    #[must_use]
    pub fn with_policies(self, policies: Vec<Arc<CompiledPolicy>>) -> Snapshot {
        let policies = Arc::new(Policies::new(policies));
        Snapshot {
            policies,
            renderings: None,
            ..self
        }
    }

    /// The same, with a place for renderings of these policies.
    #[must_use]
    pub fn keeping(self, renderings: Arc<dyn Renderings>) -> Snapshot {
        Snapshot {
            renderings: Some(renderings),
            ..self
        }
    }

    /// The same with these namespaces instead.
    #[must_use]
    pub fn with_namespaces(self, namespaces: impl IntoIterator<Item = Arc<Namespace>>) -> Snapshot {
        let namespaces = namespaces.into_iter().map(labelled);
        let namespaces = namespaces.map(|namespace| (namespace.name.clone(), namespace));
        Snapshot {
            namespaces: Arc::new(namespaces.collect()),
            newcomer: None,
            ..self
        }
    }

    /// The same with these settings instead.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Snapshot {
        let settings = Arc::new(settings);
        Snapshot { settings, ..self }
    }

    /// The same, knowing of one more namespace. It costs no more than a few pointers.
    #[must_use]
    pub fn with_newcomer(&self, namespace: Arc<Namespace>) -> Snapshot {
        Snapshot {
            newcomer: Some(labelled(namespace)),
            ..self.clone()
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
        &self.policies.all
    }

    /// What is known of a namespace.
    pub fn namespace(&self, name: &str) -> Option<&Namespace> {
        let newcomer = self.newcomer.as_ref().filter(|newcomer| newcomer.name == name);
        newcomer.or_else(|| self.namespaces.get(name)).map(AsRef::as_ref)
    }

    /// Whether a decision about Pods of a namespace would go by facts that are not known.
    pub fn lacks(&self, namespace: &str) -> bool {
        !self.is_protected(namespace) && self.namespace(namespace).is_none()
    }

    /// Whether the Pods of a namespace are never touched.
    pub fn is_protected(&self, namespace: &str) -> bool {
        self.settings.protected_namespaces.iter().any(|name| name == namespace)
    }

    /// What the operator has configured.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The policy that `name` means in `namespace`: the cluster's, or else the namespace's own.
    pub(crate) fn visible(&self, name: &str, namespace: &str) -> Option<&CompiledPolicy> {
        let policies = &self.policies;
        let own = || {
            policies
                .namespaced
                .get(namespace)
                .and_then(|index| index.by_name.get(name))
        };
        let position = policies.cluster.by_name.get(name).or_else(own)?;
        Some(&policies.all[*position])
    }

    /// The cluster's policy of that name.
    pub(crate) fn cluster_policy(&self, name: &str) -> Option<&CompiledPolicy> {
        let position = self.policies.cluster.by_name.get(name)?;
        Some(&self.policies.all[*position])
    }

    /// Names that [`Snapshot::visible`] knows in `namespace`.
    pub(crate) fn visible_names<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a str> {
        let own = self.policies.namespaced.get(namespace);
        let own = own.into_iter().flat_map(|index| index.by_name.keys());
        self.policies.cluster.by_name.keys().chain(own).map(String::as_str)
    }

    /// Policies whose `match` may hold; it is still to be checked.
    pub(crate) fn may_match<'a>(&'a self, namespace: &Namespace, pod: &PodView<'_>) -> Vec<&'a CompiledPolicy> {
        let Policies {
            all,
            cluster,
            namespaced,
        } = &*self.policies;
        let mut found = Vec::new();
        cluster.find(namespace, pod, &mut found);
        if let Some(own) = namespaced.get(&namespace.name) {
            let shadowed = found.len();
            own.find(namespace, pod, &mut found);
            let mut kept = shadowed;
            for candidate in shadowed..found.len() {
                if !cluster.by_name.contains_key(all[found[candidate]].name()) {
                    found[kept] = found[candidate];
                    kept += 1;
                }
            }
            found.truncate(kept);
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|position| &*all[position]).collect()
    }
}

/// The API server sets the label; a manifest need not have it.
fn labelled(namespace: Arc<Namespace>) -> Arc<Namespace> {
    match namespace.label(NAME_LABEL) == Some(&namespace.name) {
        true => namespace,
        false => Arc::new(Arc::unwrap_or_clone(namespace).labelled()),
    }
}
