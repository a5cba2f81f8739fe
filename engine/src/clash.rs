//! Whether two policies can be in one Pod: which Pods both may select, and what both claim there.
//!
//! Everything is told from the policies alone. What they add only for some Pods, by an expression or a parameter without a
//! default, is not seen here; it is found when such a Pod comes.

mod index;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use crate::compile::{Body, CompiledPolicy, PolicyId};
use crate::render::{App, EnvVar, Helper, Mount, Rendered};
use crate::selector::{Requirement, Selector, Test, can_all_match};
use crate::snapshot::{NAME_LABEL, Snapshot};

pub use index::ClashIndex;

/// How two policies come to be in one Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meeting {
    /// Both may select it unasked.
    Unasked,
    /// Only if the Pod, or a label of its namespace, asks for one of them.
    OnRequest,
}

/// What one Pod cannot have from both policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The other policy.
    pub with: PolicyId,
    /// How they meet.
    pub meeting: Meeting,
    /// Each thing that both claim: `container "exporter"`, `port 9113/TCP`.
    pub over: Vec<String>,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let over = self.over.join(", ");
        let when = match self.meeting {
            Meeting::Unasked => "a Pod that both select gets one of them",
            Meeting::OnRequest => "a Pod cannot have both",
        };
        write!(f, "clashes with policy \"{}\" over {over}; {when}", self.with)
    }
}

/// The clashes of `policy` with the others of `snapshot`, those that need no request first.
pub fn clashes(policy: &CompiledPolicy, snapshot: &Snapshot) -> Vec<Clash> {
    let Some(body) = policy.body() else {
        return Vec::new();
    };
    let claims = Claims::of(body);
    let others = snapshot.policies().iter().filter(|other| other.id() != policy.id());
    let mut found: Vec<Clash> = others.filter_map(|other| clash_over(policy, &claims, other)).collect();
    found.sort_by(|a, b| (a.meeting, &a.with).cmp(&(b.meeting, &b.with)));
    found
}

/// What `policy` and `other` cannot both add to one Pod, if there is such a Pod.
pub fn clash(policy: &CompiledPolicy, other: &CompiledPolicy) -> Option<Clash> {
    clash_over(policy, &Claims::of(policy.body()?), other)
}

fn clash_over(policy: &CompiledPolicy, claims: &Claims<'_>, other: &CompiledPolicy) -> Option<Clash> {
    let meeting = meeting(policy, other)?;
    let over = disputed(claims, &Claims::of(other.body()?));
    (!over.is_empty()).then(|| Clash {
        with: other.id().clone(),
        meeting,
        over,
    })
}

/// How the two come to be in one Pod; `None`: never.
pub fn meeting(policy: &CompiledPolicy, other: &CompiledPolicy) -> Option<Meeting> {
    let both = [policy, other];
    // Of one name, the cluster's is meant.
    if policy.id().name == other.id().name {
        return None;
    }
    let homes: Vec<Selector> = both
        .iter()
        .filter_map(|policy| policy.id().namespace.as_deref())
        .map(named)
        .collect();
    let allowed = both
        .iter()
        .filter_map(|policy| policy.head().allowed_namespaces.as_ref());
    let places: Vec<&Selector> = homes.iter().chain(allowed).collect();
    if !can_all_match(&places) {
        return None;
    }
    let [Some(ours), Some(theirs)] = both.map(|policy| policy.head().matches.as_ref()) else {
        return Some(Meeting::OnRequest);
    };
    let namespaces = [&ours.namespace_selector, &theirs.namespace_selector]
        .into_iter()
        .flatten();
    let pods: Vec<&Selector> = [&ours.pod_selector, &theirs.pod_selector]
        .into_iter()
        .flatten()
        .collect();
    let namespaces: Vec<&Selector> = places.into_iter().chain(namespaces).collect();
    match can_all_match(&namespaces) && can_all_match(&pods) {
        true => Some(Meeting::Unasked),
        false => Some(Meeting::OnRequest),
    }
}

/// A namespace as the label says that the API server sets.
fn named(namespace: &str) -> Selector {
    Selector::from(vec![Requirement {
        key: NAME_LABEL.to_owned(),
        test: Test::In(vec![namespace.to_owned()]),
    }])
}

/// What a policy adds, as far as it is known without a Pod.
struct Claims<'a> {
    names: Vec<&'a str>,
    helpers: Vec<&'a Helper>,
    rest: &'a Rendered,
}

impl<'a> Claims<'a> {
    fn of(body: &'a Body) -> Claims<'a> {
        let rest = body.known_additions();
        let helpers: Vec<&Helper> = rest.helpers.iter().chain(body.known_helpers()).collect();
        let constant = body.constant_names().iter().map(String::as_str);
        let mut names: Vec<&str> = helpers
            .iter()
            .map(|helper| helper.name.as_str())
            .chain(constant)
            .collect();
        names.sort_unstable();
        names.dedup();
        Claims { names, helpers, rest }
    }

    /// Things that are equal or a clash, by what they are called.
    fn things(&self) -> BTreeMap<String, &'a Value> {
        let volumes = self.helpers.iter().flat_map(|helper| &helper.volumes);
        volumes
            .chain(&self.rest.pod.volumes)
            .map(|volume| (format!("volume \"{}\"", volume.name), &*volume.value))
            .collect()
    }

    fn texts(&self) -> BTreeMap<String, &'a str> {
        let annotations = self.helpers.iter().flat_map(|helper| &helper.annotations);
        let annotations = annotations.chain(&self.rest.pod.annotations);
        let annotations = annotations.map(|(key, value)| (format!("annotation {key}"), value.as_str()));
        let labels = self.rest.pod.labels.iter();
        annotations
            .chain(labels.map(|(key, value)| (format!("label {key}"), value.as_str())))
            .collect()
    }

    fn variables(&self) -> impl Iterator<Item = &'a EnvVar> {
        let endpoints = self.helpers.iter().flat_map(|helper| &helper.endpoint_env);
        endpoints.chain(&self.rest.app.env)
    }
}

fn disputed(ours: &Claims<'_>, theirs: &Claims<'_>) -> Vec<String> {
    let mut over: Vec<String> = Vec::new();
    let names = ours
        .names
        .iter()
        .filter(|name| theirs.names.binary_search(name).is_ok());
    over.extend(names.map(|name| format!("container \"{name}\"")));
    over.extend(ports(ours, theirs));
    over.extend(differing(&ours.things(), &theirs.things()));
    over.extend(differing(&ours.texts(), &theirs.texts()));
    over.extend(shared_directories(ours, theirs));
    if have_containers_in_common(&ours.rest.app, &theirs.rest.app) {
        over.extend(variables(ours, theirs));
        over.extend(mounts(&ours.rest.app.mounts, &theirs.rest.app.mounts));
    }
    over.extend(host_aliases(ours.rest, theirs.rest));
    over
}

fn differing<T: PartialEq>(ours: &BTreeMap<String, T>, theirs: &BTreeMap<String, T>) -> Vec<String> {
    let differs = |(name, value): &(&String, &T)| theirs.get(*name).is_some_and(|there| there != *value);
    ours.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}

fn ports(ours: &Claims<'_>, theirs: &Claims<'_>) -> Vec<String> {
    let mut over = Vec::new();
    for claim in ours.helpers.iter().flat_map(|helper| &helper.ports) {
        for other in theirs.helpers.iter().flat_map(|helper| &helper.ports) {
            if (claim.number, &claim.protocol) == (other.number, &other.protocol) {
                over.push(format!("port {}/{}", claim.number, claim.protocol));
            } else if let Some(name) = claim.name.as_ref().filter(|name| other.name.as_ref() == Some(*name)) {
                over.push(format!("the port name {name}"));
            }
        }
    }
    over
}

/// Those who share a directory must agree on the volume that is added for it.
fn shared_directories(ours: &Claims<'_>, theirs: &Claims<'_>) -> Vec<String> {
    let all = |claims: &Claims<'_>| -> BTreeMap<String, Value> {
        let shared = claims.helpers.iter().flat_map(|helper| &helper.shared_volumes);
        shared
            .map(|shared| {
                let limits = shared.empty_dir.clone().unwrap_or_default();
                (
                    format!("the limits of shared directory {}", shared.path),
                    Value::Object(limits),
                )
            })
            .collect()
    };
    differing(&all(ours), &all(theirs))
}

fn have_containers_in_common(ours: &App, theirs: &App) -> bool {
    let (ours, theirs) = (&ours.containers, &theirs.containers);
    ours.is_empty() || theirs.is_empty() || ours.iter().any(|name| theirs.contains(name))
}

fn variables(ours: &Claims<'_>, theirs: &Claims<'_>) -> Vec<String> {
    let name = |variable: &EnvVar| format!("variable {}", variable.name);
    let ours: BTreeMap<String, &Value> = ours.variables().map(|one| (name(one), &*one.value)).collect();
    let theirs: BTreeMap<String, &Value> = theirs.variables().map(|one| (name(one), &*one.value)).collect();
    differing(&ours, &theirs)
}

fn mounts(ours: &[Mount], theirs: &[Mount]) -> Vec<String> {
    let path = |mount: &Mount| format!("what is mounted at {}", mount.path);
    let ours: BTreeMap<String, &Value> = ours.iter().map(|mount| (path(mount), &*mount.value)).collect();
    let theirs: BTreeMap<String, &Value> = theirs.iter().map(|mount| (path(mount), &*mount.value)).collect();
    differing(&ours, &theirs)
}

fn host_aliases(ours: &Rendered, theirs: &Rendered) -> Vec<String> {
    let mut over = Vec::new();
    for alias in &ours.pod.host_aliases {
        for other in theirs.pod.host_aliases.iter().filter(|other| other.ip == alias.ip) {
            let names = |names: &[String]| {
                let mut names = names.to_vec();
                names.sort_unstable();
                names
            };
            if names(&alias.hostnames) != names(&other.hostnames) {
                over.push(format!("the names of host {}", alias.ip));
            }
        }
    }
    over
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(name: &str, namespace: Option<&str>, spec: Value) -> CompiledPolicy {
        let kind = namespace.map_or("ClusterInjectionPolicy", |_| "InjectionPolicy");
        let document = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": kind,
            "metadata": {"name": name, "namespace": namespace}, "spec": spec});
        let policy = crate::compile(&document).unwrap();
        assert_eq!(policy.errors(), [], "{document}");
        policy
    }

    #[test]
    fn whether_two_policies_meet_is_told_from_their_selectors() {
        let team = |team: &str| json!({"matchLabels": {"team": team}});
        let named = |name: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
        let unasked = Some(Meeting::Unasked);
        let asked = Some(Meeting::OnRequest);
        for (ours, theirs, expected) in [
            ((None, json!({})), (None, json!({})), asked),
            ((None, json!({"match": {}})), (None, json!({})), asked),
            ((None, json!({"match": {}})), (None, json!({"match": {}})), unasked),
            (
                (None, json!({"match": {"podSelector": team("a")}})),
                (None, json!({"match": {"podSelector": team("b")}})),
                asked,
            ),
            (
                (None, json!({"match": {"namespaceSelector": team("a")}})),
                (None, json!({"match": {"podSelector": team("b")}})),
                unasked,
            ),
            (
                (None, json!({"allowedNamespaces": team("a")})),
                (None, json!({"allowedNamespaces": team("b")})),
                None,
            ),
            (
                (None, json!({"allowedNamespaces": team("a"), "match": {}})),
                (None, json!({"match": {"namespaceSelector": team("b")}})),
                asked,
            ),
            ((Some("x"), json!({})), (Some("y"), json!({})), None),
            (
                (Some("x"), json!({"match": {}})),
                (Some("x"), json!({"match": {}})),
                unasked,
            ),
            (
                (None, json!({"allowedNamespaces": named("y")})),
                (Some("x"), json!({})),
                None,
            ),
            (
                (None, json!({"match": {"namespaceSelector": named("y")}})),
                (Some("x"), json!({"match": {}})),
                asked,
            ),
            (
                (None, json!({"match": {"namespaceSelector": named("x")}})),
                (Some("x"), json!({"match": {}})),
                unasked,
            ),
        ] {
            let (a, b) = (
                policy("a", ours.0, ours.1.clone()),
                policy("b", theirs.0, theirs.1.clone()),
            );
            assert_eq!(meeting(&a, &b), expected, "{ours:?} {theirs:?}");
            assert_eq!(meeting(&b, &a), expected, "{theirs:?} {ours:?}");
        }
    }

    #[test]
    fn what_both_claim_is_named() {
        let helper = |name: &str| json!({"container": {"name": name, "image": "i"}});
        let exporter = |name: &str, port: u16| json!({"adapters": [{"container": {"name": name, "image": "i"}, "metrics": {"port": port}}]});
        let with_port = |name: &str, port: Value| json!({"sidecars": [{"container": {"name": name, "image": "i", "ports": [port]}}]});
        let shared = |limit: &str| {
            json!({"sidecars": [{"container": {"name": limit.to_lowercase(), "image": "i"},
            "sharedVolumes": [{"path": "/logs", "emptyDir": {"sizeLimit": limit}}]}]})
        };
        let env = |value: &str, containers: Value| json!({"app": {"env": [{"name": "A", "value": value}], "containers": containers}});
        let mount = |volume: &str| {
            json!({"app": {"volumeMounts": [{"name": volume, "mountPath": "/data"}]},
            "pod": {"volumes": [{"name": volume, "emptyDir": {}}]}})
        };
        for (ours, theirs, expected) in [
            (
                json!({"sidecars": [helper("a")]}),
                json!({"sidecars": [helper("b")]}),
                &[][..],
            ),
            (
                json!({"sidecars": [helper("a")]}),
                json!({"adapters": [helper("a")]}),
                &["container \"a\""],
            ),
            (exporter("a", 9113), exporter("b", 9113), &["port 9113/TCP"]),
            (
                with_port("a", json!({"containerPort": 80, "protocol": "UDP"})),
                with_port("b", json!({"containerPort": 80})),
                &[],
            ),
            (
                with_port("a", json!({"containerPort": 80, "name": "web"})),
                with_port("b", json!({"containerPort": 81, "name": "web"})),
                &["the port name web"],
            ),
            (
                json!({"pod": {"labels": {"l": "1"}, "annotations": {"a": "1", "b": "1"}}}),
                json!({"pod": {"labels": {"l": "2"}, "annotations": {"a": "2", "b": "1"}}}),
                &["annotation a", "label l"],
            ),
            (
                json!({"pod": {"volumes": [{"name": "v", "emptyDir": {}}]}}),
                json!({"pod": {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}}),
                &["volume \"v\""],
            ),
            (shared("1Gi"), shared("2Gi"), &["the limits of shared directory /logs"]),
            (env("1", json!([])), env("2", json!(["web"])), &["variable A"]),
            (env("1", json!(["db"])), env("2", json!(["web"])), &[]),
            (env("1", json!([])), env("1", json!([])), &[]),
            (mount("v"), mount("w"), &["what is mounted at /data"]),
            (
                json!({"pod": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}]}}),
                json!({"pod": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["b"]}]}}),
                &["the names of host 10.0.0.1"],
            ),
            // A part that depends on the Pod does not hide the rest.
            (
                json!({"parameters": [{"name": "p", "type": "string"}],
                    "adapters": [{"container": {"name": "x", "image": "i"}, "metrics": {"port": 9113}}],
                    "sidecars": [{"container": {"name": "y", "image": "${params.p}"}}]}),
                exporter("b", 9113),
                &["port 9113/TCP"],
            ),
        ] {
            let (a, b) = (policy("one", None, ours.clone()), policy("two", None, theirs.clone()));
            for (first, second) in [(&a, &b), (&b, &a)] {
                let over = clash(first, second).map_or_else(Vec::new, |clash| clash.over);
                assert_eq!(over, expected, "{ours} {theirs}");
            }
        }
    }
}
