//! Policies from the API server, each compiled when its spec changes and only then.
//!
//! A policy that broke serves on from its last good version. Objects are read as they are: one that nobody can make
//! sense of is reported, and keeps no other from being served.
use super::{
    observed::{Observed, ObservedPolicy},
    replica::Replica,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    core::{ApiResource, DynamicResourceScope},
    runtime::watcher::Event,
};
use outrigger_engine::{
    CompiledPolicy, PolicyId,
    policy::{API_VERSION, CLUSTER_KIND, CLUSTER_PLURAL, GROUP, NAMESPACED_KIND, NAMESPACED_PLURAL, VERSION},
    status::PolicyStatus,
};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

/// Which of the two kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cluster,
    Namespaced,
}

impl Kind {
    pub(super) const ALL: [Kind; 2] = [Kind::Cluster, Kind::Namespaced];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::Cluster => (CLUSTER_KIND, CLUSTER_PLURAL),
            Kind::Namespaced => (NAMESPACED_KIND, NAMESPACED_PLURAL),
        }
    }

    /// All policies of this kind.
    pub(super) fn api(self, client: Client) -> Api<RawPolicy> {
        let (kind, plural) = self.names();
        let resource = ApiResource {
            group: GROUP.into(),
            version: VERSION.into(),
            api_version: API_VERSION.into(),
            kind: kind.into(),
            plural: plural.into(),
        };
        Api::all_with(client, &resource)
    }
}

/// A policy as it came, whatever it is.
#[derive(Debug, Clone)]
pub(super) struct RawPolicy {
    metadata: ObjectMeta,
    document: Value,
}

impl<'de> Deserialize<'de> for RawPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let document = Value::deserialize(deserializer)?;
        let field = |name: &str| document.get("metadata").and_then(|metadata| metadata.get(name));
        let text = |name| field(name).and_then(Value::as_str).map(String::from);
        let metadata = ObjectMeta {
            name: text("name"),
            namespace: text("namespace"),
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            generation: field("generation").and_then(Value::as_i64),
            ..ObjectMeta::default()
        };
        Ok(RawPolicy { metadata, document })
    }
}

impl Resource for RawPolicy {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// What an event brought.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// There is something to serve that was not there before, or the reverse.
    pub(super) changed: bool,
    /// There is something new that is wrong.
    pub(super) failed: bool,
}

/// Which version of which object was compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    uid: Option<String>,
    /// The generation, which neither labels nor status change; or else the resource version.
    spec: Option<String>,
}

impl Version {
    fn of(metadata: &ObjectMeta) -> Version {
        let generation = metadata.generation.map(|generation| format!("generation {generation}"));
        Version {
            uid: metadata.uid.clone(),
            spec: generation.or_else(|| metadata.resource_version.clone()),
        }
    }
}

#[derive(Debug, Clone)]
struct Served {
    version: Version,
    policy: Arc<CompiledPolicy>,
}

/// The policies of one kind.
#[derive(Debug)]
pub(super) struct PolicyCache {
    kind: Kind,
    replica: Replica<PolicyId, Served>,
    observed: Arc<Observed>,
}

impl PolicyCache {
    pub(super) fn new(kind: Kind, observed: Arc<Observed>) -> PolicyCache {
        PolicyCache {
            kind,
            replica: Replica::default(),
            observed,
        }
    }

    /// Whether all have been seen once.
    pub(super) fn is_complete(&self) -> bool {
        self.replica.is_complete()
    }

    /// All of them.
    pub(super) fn policies(&self) -> impl Iterator<Item = Arc<CompiledPolicy>> {
        self.replica.values().map(|served| Arc::clone(&served.policy))
    }

    /// Takes up an event.
    pub(super) fn take(&mut self, event: Event<RawPolicy>) -> Seen {
        match event {
            Event::Init => self.replica.begin(),
            Event::InitApply(object) => return self.compile(object, Replica::arrive),
            Event::InitDone => {
                self.replica.end();
                self.observed.retain(self.kind, |id| self.replica.get(id).is_some());
                return Seen {
                    changed: true,
                    failed: false,
                };
            }
            Event::Apply(object) => return self.compile(object, Replica::put),
            Event::Delete(object) => {
                let id = self.id(&object.metadata);
                if let Some(id) = &id {
                    self.observed.remove(id);
                }
                return Seen {
                    changed: id.is_some_and(|id| self.replica.remove(&id)),
                    failed: false,
                };
            }
        }
        Seen::default()
    }

    fn id(&self, metadata: &ObjectMeta) -> Option<PolicyId> {
        let namespace = match self.kind {
            Kind::Cluster => None,
            Kind::Namespaced => Some(metadata.namespace.clone()?),
        };
        let name = metadata.name.clone()?;
        Some(PolicyId { namespace, name })
    }

    /// Compiles an object, unless this version of it was compiled before, and has it stored.
    fn compile(&mut self, object: RawPolicy, store: fn(&mut Replica<PolicyId, Served>, PolicyId, Served)) -> Seen {
        let Some(id) = self.id(&object.metadata) else {
            return self.undecodable("it has no name");
        };
        let version = Version::of(&object.metadata);
        let before = self.replica.get(&id);
        if let Some(same) = before.filter(|before| before.version == version && version.spec.is_some()) {
            let same = same.clone();
            self.observe(&id, &object.metadata, &object.document, &same.policy);
            store(&mut self.replica, id, same);
            return Seen::default();
        }
        let document = self.whole(object.document);
        let policy = match outrigger_engine::compile(&document) {
            Ok(policy) => policy,
            Err(error) => return self.undecodable(&error.to_string()),
        };
        // What was deleted and made anew has no earlier version.
        let before = before.filter(|before| before.version.uid == version.uid);
        report(&policy, before.is_some());
        let failed = !policy.errors().is_empty();
        let policy = Arc::new(policy.or_last_good(before.map(|before| &*before.policy)));
        self.observe(&id, &object.metadata, &document, &policy);
        store(&mut self.replica, id, Served { version, policy });
        Seen { changed: true, failed }
    }

    fn observe(&self, id: &PolicyId, metadata: &ObjectMeta, document: &Value, policy: &Arc<CompiledPolicy>) {
        let version = metadata.resource_version.as_deref().map(str::parse);
        let resource_version = version.and_then(Result::ok).unwrap_or_default();
        let status = document.get("status").cloned().unwrap_or_default();
        let seen = ObservedPolicy {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version,
            served_from: resource_version,
            policy: Arc::clone(policy),
            own: PolicyStatus::of(document, policy),
            status: serde_json::from_value(status).unwrap_or_default(),
        };
        self.observed.put(self.kind, id.clone(), seen);
    }

    /// Items of a list need not say what they are.
    fn whole(&self, mut document: Value) -> Value {
        if let Some(members) = document.as_object_mut() {
            let (kind, _) = self.kind.names();
            members.entry("apiVersion").or_insert_with(|| API_VERSION.into());
            members.entry("kind").or_insert_with(|| kind.into());
        }
        document
    }

    fn undecodable(&self, why: &str) -> Seen {
        let (kind, _) = self.kind.names();
        tracing::error!(kind, "ignored an object of the API server: {why}");
        Seen {
            changed: false,
            failed: true,
        }
    }
}

fn report(policy: &CompiledPolicy, served_before: bool) {
    for error in policy.errors() {
        tracing::error!(served_before, "{error}");
    }
    for warning in policy.warnings() {
        tracing::warn!("{warning}");
    }
}
