//! What a policy must be beyond the types of its fields: defaults, and rules in CEL with the engine's messages.
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// A rule about the value at a path of properties; `[]` is for the items of a list.
struct Rule {
    path: &'static str,
    rule: &'static str,
    message: &'static str,
}

/// What holds for both kinds.
const BOTH: &[Rule] = &[
    Rule {
        path: "",
        rule: "!(self.metadata.name in ['inject', 'true', 'false'])",
        message: "metadata.name is reserved for the annotation outrigger.dev/inject; choose another name",
    },
    Rule {
        path: "",
        rule: "size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",
        message: "metadata.name is not a DNS label; use at most 63 lower-case letters, digits and '-'",
    },
    Rule {
        path: "spec.sidecars",
        rule: "self.all(helper, !has(helper.endpoints) || size(helper.endpoints) == 0)",
        message: "endpoints belong to an ambassador; move the entry to ambassadors",
    },
    Rule {
        path: "spec.adapters",
        rule: "self.all(helper, !has(helper.endpoints) || size(helper.endpoints) == 0)",
        message: "endpoints belong to an ambassador; move the entry to ambassadors",
    },
    Rule {
        path: "spec.initContainers",
        rule: "self.all(helper, !has(helper.endpoints) || size(helper.endpoints) == 0)",
        message: "endpoints belong to an ambassador; move the entry to ambassadors",
    },
    Rule {
        path: "spec.initContainers",
        rule: "self.all(helper, !has(helper.lifecycle) || helper.lifecycle == 'Auto')",
        message: "lifecycle is for helpers that run beside the application; drop it, or move the entry to sidecars",
    },
    Rule {
        path: "spec.parameters[]",
        rule: "!(self.name in ['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', \
               'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return', 'var', 'void', 'while'])",
        message: "the name is a word that CEL reserves; choose another name",
    },
    Rule {
        path: "spec.parameters[]",
        rule: "!has(self.minimum) && !has(self.maximum) || self.type in ['integer', 'number']",
        message: "minimum and maximum are for integer and number",
    },
    Rule {
        path: "spec.parameters[]",
        rule: "!has(self.minimum) || !has(self.maximum) || self.minimum <= self.maximum",
        message: "the minimum is above the maximum",
    },
    Rule {
        path: "spec.parameters[]",
        rule: "!has(self.pattern) || self.type in ['string', 'stringList']",
        message: "pattern is for string and stringList",
    },
    Rule {
        path: "spec.match.podSelector.matchExpressions[]",
        rule: VALUES_FIT,
        message: VALUES_FIT_MESSAGE,
    },
];

/// What holds for ClusterInjectionPolicies.
const CLUSTER: &[Rule] = &[
    Rule {
        path: "spec",
        rule: "!has(self.enforcement) || self.enforcement != 'Required' || has(self.match) && \
               has(self.match.namespaceSelector) && (has(self.match.namespaceSelector.matchLabels) && \
               size(self.match.namespaceSelector.matchLabels) > 0 || \
               has(self.match.namespaceSelector.matchExpressions) && \
               size(self.match.namespaceSelector.matchExpressions) > 0)",
        message: "a Required policy must say in which namespaces; write a match.namespaceSelector that is not empty",
    },
    Rule {
        path: "spec.match.namespaceSelector.matchExpressions[]",
        rule: VALUES_FIT,
        message: VALUES_FIT_MESSAGE,
    },
    Rule {
        path: "spec.allowedNamespaces.matchExpressions[]",
        rule: VALUES_FIT,
        message: VALUES_FIT_MESSAGE,
    },
];

/// What holds for InjectionPolicies. The fields are there, so that writing one is an error and not silently undone.
const NAMESPACED: &[Rule] = &[
    Rule {
        path: "spec",
        rule: "!has(self.enforcement) || self.enforcement != 'Required'",
        message: "enforcement: Required is the cluster's alone; drop it, or write a ClusterInjectionPolicy",
    },
    Rule {
        path: "spec",
        rule: "!has(self.allowedNamespaces)",
        message: "allowedNamespaces is the cluster's alone; drop it, or write a ClusterInjectionPolicy",
    },
    Rule {
        path: "spec.match",
        rule: "!has(self.namespaceSelector)",
        message: "match.namespaceSelector is the cluster's alone; drop it, or write a ClusterInjectionPolicy",
    },
];

const VALUES_FIT: &str = "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)";
const VALUES_FIT_MESSAGE: &str = "In and NotIn need at least one value, Exists and DoesNotExist take none";

/// What is written into a policy that does not say. The hash of what a policy renders does not cover these.
const DEFAULTS: &[(&str, &str)] = &[("spec.enforcement", "\"BestEffort\""), ("spec.paused", "false")];

/// Adds rules and defaults to the schema of a whole policy.
///
/// # Errors
/// When a path leads nowhere.
pub(super) fn add(schema: &mut Value, namespaced: bool) -> Result<()> {
    let own = if namespaced { NAMESPACED } else { CLUSTER };
    for rule in BOTH.iter().chain(own) {
        let at = at(schema, rule.path)?;
        let rules = &mut at["x-kubernetes-validations"];
        let entry = json!({"rule": rule.rule, "message": rule.message});
        match rules.as_array_mut() {
            Some(rules) => rules.push(entry),
            None => *rules = json!([entry]),
        }
    }
    for (path, default) in DEFAULTS {
        let default: Value = serde_json::from_str(default).context("a default is not JSON")?;
        at(schema, path)?["default"] = default;
    }
    Ok(())
}

fn at<'a>(schema: &'a mut Value, path: &str) -> Result<&'a mut Value> {
    let mut here = schema;
    for step in path.split('.').filter(|step| !step.is_empty()) {
        let (name, items) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let lost = || format!("a rule is for {path}, and there is no {name}");
        here = here["properties"].get_mut(name).with_context(lost)?;
        if items {
            here = here.get_mut("items").with_context(lost)?;
        }
    }
    Ok(here)
}
