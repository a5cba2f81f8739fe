//! What can be told of a policy without a Pod, for those who judge Pods without the engine: which Pods it selects, and
//! which containers a Pod has that carries it.

use serde_json::Value;

use crate::compile::{Body, CompiledPolicy};
use crate::policy::Enforcement;
use crate::selector::Selector;
use crate::settings::Settings;

/// See [`CompiledPolicy::outline`].
#[derive(Debug)]
pub struct Outline<'p> {
    /// How binding the policy is.
    pub enforcement: Enforcement,
    /// It injects nothing.
    pub paused: bool,
    /// On the namespace's labels; `None`: everywhere.
    pub allowed_namespaces: Option<&'p Selector>,
    /// The Pods that get it unasked.
    pub matches: Option<MatchOutline<'p>>,
    /// The containers that every Pod has that carries it; `None`: no Pod can, as the policy is broken.
    pub containers: Option<Vec<CertainContainer<'p>>>,
}

/// A policy's `match`. All that is given must hold.
#[derive(Debug)]
pub struct MatchOutline<'p> {
    /// On the namespace's labels.
    pub namespace_selector: Option<&'p Selector>,
    /// On the Pod's labels.
    pub pod_selector: Option<&'p Selector>,
    /// Name and CEL of each condition.
    pub conditions: Vec<(&'p str, &'p str)>,
}

/// A container that is in every Pod that carries a policy, with those of its fields that are the same in each.
#[derive(Debug, PartialEq, Eq)]
pub struct CertainContainer<'p> {
    /// The list of `spec` that it is in.
    pub list: &'static str,
    /// It has `restartPolicy: Always`.
    pub native: bool,
    /// `None` where an expression makes it.
    pub name: Option<&'p str>,
    /// `None` where an expression makes it.
    pub image: Option<&'p str>,
    /// `command`, empty where the policy has none: the image's own is meant then. `None` where an expression is in it.
    pub command: Option<Vec<&'p str>>,
    /// `args`, likewise.
    pub args: Option<Vec<&'p str>>,
}

impl CompiledPolicy {
    /// Which Pods the policy selects, and what they have to have, as far as that can be told without a Pod.
    pub fn outline(&self, settings: &Settings) -> Outline<'_> {
        let head = self.head();
        let matches = head.matches.as_ref().map(|matches| MatchOutline {
            namespace_selector: matches.namespace_selector.as_ref(),
            pod_selector: matches.pod_selector.as_ref(),
            conditions: matches
                .conditions
                .iter()
                .map(|condition| (condition.name.as_str(), condition.expression.source()))
                .collect(),
        });
        Outline {
            enforcement: head.enforcement,
            paused: head.paused,
            allowed_namespaces: head.allowed_namespaces.as_ref(),
            matches,
            containers: self.body().map(|body| containers(body, settings)),
        }
    }
}

fn containers<'p>(body: &'p Body, settings: &Settings) -> Vec<CertainContainer<'p>> {
    let certain = body.helpers().iter().filter(|helper| helper.is_certain());
    certain
        .map(|helper| {
            let (list, native) = helper.slot(settings);
            let text = |field| helper.constant(field).and_then(Value::as_str);
            let texts = |field| {
                if !helper.may_have(field) {
                    return Some(Vec::new());
                }
                let items = helper.constant(field)?.as_array()?.iter();
                items.map(Value::as_str).collect::<Option<Vec<_>>>()
            };
            CertainContainer {
                list: list.field(),
                native,
                name: text("name"),
                image: text("image"),
                command: texts("command"),
                args: texts("args"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::compile;

    fn policy(spec: &Value) -> CompiledPolicy {
        let policy = compile(
            &json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": "a"}, "spec": spec}),
        )
        .unwrap();
        assert!(policy.errors().is_empty(), "{:?}", policy.errors());
        policy
    }

    #[test]
    fn a_container_is_told_as_far_as_it_is_the_same_in_every_pod() {
        let policy = policy(&json!({
            "parameters": [{"name": "tag", "type": "string", "default": "1"}],
            "sidecars": [
                {"container": {"name": "plain", "image": "a:1", "command": ["run"], "args": ["--tag", "${params.tag}"]}},
                {"container": {"name": "tagged", "image": "a:${params.tag}", "args": ["$${x}"]}, "lifecycle": "Container"},
                {"container": {"name": "perhaps", "image": "a:1"}, "includeWhen": "${params.tag == '1'}"},
                {"container": {"name": "never", "image": "a:1"}, "includeWhen": "${1 == 2}"},
            ],
            "initContainers": [{"container": {"name": "first", "image": "a:1"}, "includeWhen": "${true}"}],
        }));
        let outline = policy.outline(&Settings::default());
        let certain = |list, native, name| CertainContainer {
            list,
            native,
            name: Some(name),
            image: Some("a:1"),
            command: Some(Vec::new()),
            args: Some(Vec::new()),
        };
        let plain = CertainContainer {
            command: Some(vec!["run"]),
            args: None,
            ..certain("initContainers", true, "plain")
        };
        let tagged = CertainContainer {
            image: None,
            args: Some(vec!["${x}"]),
            ..certain("containers", false, "tagged")
        };
        let first = certain("initContainers", false, "first");
        assert_eq!(outline.containers.unwrap(), [plain, tagged, first]);
        let old = Settings {
            kubernetes_minor: 28,
            ..Settings::default()
        };
        assert_eq!(policy.outline(&old).containers.unwrap()[0].list, "containers");
    }
}
