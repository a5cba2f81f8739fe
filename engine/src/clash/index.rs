//! Which policies clash, looked up by what they claim, so that it can be told of each of thousands.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Claims, Clash, clash_over};
use crate::compile::{CompiledPolicy, PolicyId};

/// As many policies as are compared with one: where more of them claim the same, what is told of it is of these.
const COMPARED: usize = 2_000;

/// Policies by what they claim.
#[derive(Debug, Default)]
pub struct ClashIndex {
    policies: HashMap<PolicyId, Entry>,
    by_claim: HashMap<u64, BTreeSet<PolicyId>>,
}

#[derive(Debug)]
struct Entry {
    policy: Arc<CompiledPolicy>,
    claims: Vec<u64>,
}

impl ClashIndex {
    /// Enters a policy, in place of its former version.
    pub fn put(&mut self, policy: Arc<CompiledPolicy>) {
        self.remove(policy.id());
        let claims = policy.body().map(|body| keys(&Claims::of(body))).unwrap_or_default();
        for claim in &claims {
            self.by_claim.entry(*claim).or_default().insert(policy.id().clone());
        }
        self.policies.insert(policy.id().clone(), Entry { policy, claims });
    }

    /// Takes a policy out.
    pub fn remove(&mut self, id: &PolicyId) {
        let Some(entry) = self.policies.remove(id) else { return };
        for claim in entry.claims {
            if let Some(claimants) = self.by_claim.get_mut(&claim) {
                claimants.remove(id);
                if claimants.is_empty() {
                    self.by_claim.remove(&claim);
                }
            }
        }
    }

    /// Policies that could clash with this one: they claim something of the same name, where it is. In the order of their
    /// ids.
    pub fn neighbours(&self, id: &PolicyId) -> BTreeSet<&PolicyId> {
        let mut found = BTreeSet::new();
        let claims = self.policies.get(id).map_or(&[][..], |entry| &entry.claims);
        for claimants in claims.iter().filter_map(|claim| self.by_claim.get(claim)) {
            found.extend(Self::near(claimants, id).take(COMPARED));
        }
        found.remove(id);
        found
    }

    /// Of those who claim the same: the cluster's policies, and those of the policy's own namespace.
    fn near<'a>(claimants: &'a BTreeSet<PolicyId>, id: &PolicyId) -> Box<dyn Iterator<Item = &'a PolicyId> + 'a> {
        let Some(namespace) = id.namespace.clone() else {
            return Box::new(claimants.iter());
        };
        let of_cluster = claimants.iter().take_while(|other| other.namespace.is_none());
        let first = PolicyId {
            namespace: Some(namespace.clone()),
            name: String::new(),
        };
        let own = claimants.range(first..);
        Box::new(of_cluster.chain(own.take_while(move |other| other.namespace.as_ref() == Some(&namespace))))
    }

    /// Clashes of a policy with others, not more than `at_most`; those that need no request first.
    pub fn clashes(&self, id: &PolicyId, at_most: usize) -> Vec<Clash> {
        let Some((policy, body)) = self
            .policies
            .get(id)
            .and_then(|entry| Some((&entry.policy, entry.policy.body()?)))
        else {
            return Vec::new();
        };
        let claims = Claims::of(body);
        let others = self.neighbours(id).into_iter().filter_map(|id| self.policies.get(id));
        let clashes = others.filter_map(|other| clash_over(policy, &claims, &other.policy));
        let mut found: Vec<Clash> = clashes.take(at_most).collect();
        found.sort_by(|a, b| (a.meeting, &a.with).cmp(&(b.meeting, &b.with)));
        found
    }
}

/// What two policies that clash have in common at least one of.
fn keys(claims: &Claims<'_>) -> Vec<u64> {
    let mut keys: Vec<u64> = claims.names.iter().map(|name| key("container", name)).collect();
    for helper in &claims.helpers {
        for port in &helper.ports {
            keys.push(key("port", &(port.number, &port.protocol)));
            keys.extend(port.name.as_ref().map(|name| key("port name", name)));
        }
        keys.extend(helper.shared_volumes.iter().map(|shared| key("shared", &shared.path)));
    }
    keys.extend(claims.things().keys().map(|name| key("thing", name)));
    keys.extend(claims.texts().keys().map(|name| key("text", name)));
    keys.extend(claims.variables().map(|variable| key("variable", &variable.name)));
    keys.extend(claims.rest.app.mounts.iter().map(|mount| key("mount", &mount.path)));
    keys.extend(claims.rest.pod.host_aliases.iter().map(|alias| key("host", &alias.ip)));
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn key(kind: &str, name: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn policy(name: &str, namespace: Option<&str>, spec: Value) -> Arc<CompiledPolicy> {
        let kind = namespace.map_or("ClusterInjectionPolicy", |_| "InjectionPolicy");
        let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        Arc::new(crate::compile(&document).unwrap())
    }

    fn exporter(name: &str, port: u16) -> Value {
        json!({"adapters": [{"container": {"name": name, "image": "i"}, "metrics": {"port": port}}]})
    }

    #[test]
    fn what_the_index_finds_is_what_comparing_all_finds() {
        let specs = [
            exporter("a", 9113),
            exporter("b", 9113),
            exporter("a", 9114),
            json!({"pod": {"labels": {"l": "1"}, "volumes": [{"name": "v", "emptyDir": {}}]}}),
            json!({"pod": {"labels": {"l": "2"}, "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}}),
            json!({"app": {"env": [{"name": "A", "value": "1"}]}}),
            json!({"app": {"env": [{"name": "A", "value": "2"}]}, "pod": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]}}),
            json!({"pod": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}]}}),
            json!({"sidecars": [{"container": {"name": "s", "image": "i"}, "sharedVolumes": [{"path": "/l", "emptyDir": {"sizeLimit": "1Gi"}}]}]}),
            json!({"sidecars": [{"container": {"name": "t", "image": "i"}, "sharedVolumes": [{"path": "/l", "emptyDir": {"sizeLimit": "2Gi"}}]}]}),
        ];
        let mut index = ClashIndex::default();
        let mut policies = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            for namespace in [None, Some("web"), Some("shop")] {
                policies.push(policy(
                    &format!("p{number}{}", namespace.unwrap_or("")),
                    namespace,
                    spec.clone(),
                ));
            }
        }
        policies.iter().for_each(|policy| index.put(Arc::clone(policy)));
        let snapshot = crate::Snapshot::new(policies.clone(), vec![], crate::Settings::default());
        let mut found = 0;
        for policy in &policies {
            let clashes = index.clashes(policy.id(), usize::MAX);
            assert_eq!(clashes, super::super::clashes(policy, &snapshot), "{}", policy.id());
            found += clashes.len();
        }
        assert!(found > 30, "{found}");
    }

    #[test]
    fn policies_come_and_go() {
        let mut index = ClashIndex::default();
        let (one, two) = (
            policy("one", None, exporter("a", 9113)),
            policy("two", None, exporter("b", 9113)),
        );
        index.put(Arc::clone(&one));
        index.put(Arc::clone(&two));
        assert_eq!(index.clashes(one.id(), 9).len(), 1);
        index.put(policy("two", None, json!({})));
        assert_eq!(index.clashes(one.id(), 9), []);
        index.put(two);
        index.remove(one.id());
        assert_eq!(index.clashes(one.id(), 9), []);
        assert!(index.by_claim.values().all(|claimants| claimants.len() == 1));
    }
}
