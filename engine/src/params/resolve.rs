//! Which value holds: the Pod's before the namespace's before the default, as far as `settableBy` allows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Parameter;

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The policy's default.
    Default,
    /// An annotation of the namespace.
    Namespace,
    /// An annotation of the Pod.
    Pod,
}

/// The values of a policy's parameters for one Pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values {
    values: BTreeMap<String, Value>,
    sources: BTreeMap<String, Source>,
    warnings: Vec<String>,
}

impl Values {
    /// Values by name, for [`crate::expr::Scope::params`].
    pub fn map(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Where the value of a parameter came from.
    pub fn source(&self, name: &str) -> Option<Source> {
        self.values
            .contains_key(name)
            .then(|| self.sources.get(name).copied().unwrap_or(Source::Default))
    }

    /// Whether no annotation sets anything, so that what was rendered with the defaults holds.
    pub fn all_default(&self) -> bool {
        self.sources.is_empty()
    }

    /// Annotations that were ignored, and why.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

/// The key of the annotation that sets a parameter: `<policy>.outrigger.dev/<parameter>`.
pub fn annotation_key(policy: &str, parameter: &str) -> String {
    format!("{policy}.outrigger.dev/{parameter}")
}

/// Decides the value of every parameter from the annotations of the namespace and of the Pod.
///
/// An annotation for a parameter that its owner may not set is ignored with a warning. Annotations for parameters that do
/// not exist are for the caller to find, who sees all keys.
///
/// # Errors
///
/// A value that breaks its parameter's rule, with the annotation's key, the value and the rule; a required parameter
/// without a value, with the key to set.
pub fn resolve<'a>(
    policy: &str,
    parameters: &[Parameter],
    namespace: impl Fn(&str) -> Option<&'a str>,
    pod: impl Fn(&str) -> Option<&'a str>,
) -> Result<Values, String> {
    let mut values = Values::default();
    for parameter in parameters {
        let key = annotation_key(policy, &parameter.name);
        let pod = values.allowed(pod(&key), parameter.settable_by_pod, &key, "Pod");
        let namespace = values.allowed(namespace(&key), parameter.settable_by_namespace, &key, "namespace");
        let (value, source) = match (pod, namespace) {
            (Some(text), _) => (parse(parameter, &key, text, "Pod")?, Source::Pod),
            (None, Some(text)) => (parse(parameter, &key, text, "namespace")?, Source::Namespace),
            (None, None) => (default(parameter, &key)?, Source::Default),
        };
        if source != Source::Default {
            values.sources.insert(parameter.name.clone(), source);
        }
        values.values.insert(parameter.name.clone(), value);
    }
    Ok(values)
}

impl Values {
    fn allowed<'a>(&mut self, text: Option<&'a str>, settable: bool, key: &str, owner: &str) -> Option<&'a str> {
        if text.is_some() && !settable {
            self.warnings.push(format!(
                "annotation {key} of the {owner} is ignored: a {owner} may not set this parameter"
            ));
        }
        text.filter(|_| settable)
    }
}

fn parse(parameter: &Parameter, key: &str, text: &str, owner: &str) -> Result<Value, String> {
    parameter.parse(text).map_err(|message| {
        let shown: String = text.chars().take(100).collect();
        let dots = if shown.len() < text.len() { "…" } else { "" };
        format!("annotation {key} of the {owner}: the value {shown:?}{dots} {message}")
    })
}

fn default(parameter: &Parameter, key: &str) -> Result<Value, String> {
    parameter.default.clone().ok_or_else(|| {
        let owner = match (parameter.settable_by_pod, parameter.settable_by_namespace) {
            (true, true) => "the Pod or its namespace",
            (true, false) => "the Pod",
            (false, true) => "the namespace",
            (false, false) => "nobody (settableBy is empty: give it a default)",
        };
        format!(
            "the parameter {:?} is required: set the annotation {key} on {owner}",
            parameter.name
        )
    })
}
