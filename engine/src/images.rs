//! Other images for helpers than their policies name, where a cluster has a registry of its own.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::render::Kind;

/// What the names of Outrigger's own images begin with in policies.
const OWN: &str = "outrigger/";

/// Which images are taken instead of those that policies name. By default, none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Put before Outrigger's own images, without a slash at the end.
    pub registry: Option<String>,
    /// The tag of Outrigger's own images.
    pub tag: Option<String>,
    /// From an image, exactly as a policy names it, to the one that is taken; this has the last word.
    pub others: BTreeMap<String, String>,
}

impl Images {
    /// Puts them into a policy, before it is compiled. Comes back with the images that were named there.
    pub fn put_into(&self, policy: &mut Value) -> Vec<String> {
        let mut named = Vec::new();
        for list in Kind::ALL.map(Kind::list) {
            let entries = policy
                .pointer_mut(&format!("/spec/{list}"))
                .and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                let Some(Value::String(image)) = entry.pointer_mut("/container/image") else {
                    continue;
                };
                let other = self.instead_of(image);
                named.push(std::mem::replace(image, other));
            }
        }
        named
    }

    fn instead_of(&self, image: &str) -> String {
        match self.others.get(image) {
            Some(other) => other.clone(),
            None if image.starts_with(OWN) => self.own(image),
            None => image.to_owned(),
        }
    }

    fn own(&self, image: &str) -> String {
        let version = image.find(['@', ':']).unwrap_or(image.len());
        let (name, version) = image.split_at(version);
        let registry = self
            .registry
            .as_ref()
            .map_or_else(String::new, |registry| format!("{registry}/"));
        match &self.tag {
            Some(tag) => format!("{registry}{name}:{tag}"),
            None => format!("{registry}{name}{version}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn own_images_follow_registry_and_tag_and_others_are_named_one_by_one() {
        let (own, digest) = ("outrigger/runtime:0.1.0", "outrigger/runtime@sha256:0a");
        for (registry, tag, image, taken) in [
            ("", "", own, own),
            ("r.example:5000/m", "", own, "r.example:5000/m/outrigger/runtime:0.1.0"),
            ("", "0.2", own, "outrigger/runtime:0.2"),
            ("r", "0.2", "outrigger/runtime", "r/outrigger/runtime:0.2"),
            ("r", "", digest, "r/outrigger/runtime@sha256:0a"),
            ("r", "0.2", digest, "r/outrigger/runtime:0.2"),
            (
                "r",
                "0.2",
                "docker.io/outrigger/runtime:1",
                "docker.io/outrigger/runtime:1",
            ),
            ("r", "0.2", "fluent/fluent-bit:4.0", "r/log:4"),
            ("r", "0.2", "outrigger/twemproxy:0.1.0", "local/twemproxy"),
            ("r", "0.2", "fluent/fluent-bit:4.1", "fluent/fluent-bit:4.1"),
            ("r", "0.2", "${params.image}", "${params.image}"),
        ] {
            let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
            let others = [
                ("fluent/fluent-bit:4.0", "r/log:4"),
                ("outrigger/twemproxy:0.1.0", "local/twemproxy"),
            ];
            let images = Images {
                registry: given(registry),
                tag: given(tag),
                others: others.map(|(from, to)| (from.to_owned(), to.to_owned())).into(),
            };
            for list in Kind::ALL.map(Kind::list) {
                let mut policy = json!({"spec": {list: [{"container": {"name": "a", "image": image}}]}});
                assert_eq!(images.put_into(&mut policy), [image]);
                assert_eq!(
                    policy["spec"][list][0]["container"]["image"], taken,
                    "{registry} {tag} {image}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_policy_stays_as_it_is() {
        let images = Images {
            registry: Some("r".to_owned()),
            ..Images::default()
        };
        for wrong in [
            json!({}),
            json!(null),
            json!([]),
            json!({"spec": 1}),
            json!({"spec": {"sidecars": {"container": {}}}}),
            json!({"spec": {"sidecars": [1, {}, {"container": {"image": 1}}, {"container": []}]}}),
        ] {
            let mut policy = wrong.clone();
            assert_eq!(images.put_into(&mut policy), [""; 0]);
            assert_eq!(policy, wrong);
        }
    }
}
