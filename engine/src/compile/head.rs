//! The part of a policy that says which Pods it selects and how binding it is.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::expr::{Expression, Vocabulary};
use crate::field::FieldError;
use crate::policy::{Condition, Enforcement, MatchSpec};
use crate::render::decode;
use crate::selector::{LabelSelector, Selector};

/// Which Pods a policy selects. Read leniently: a policy that is broken elsewhere still selects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) enforcement: Enforcement,
    pub(crate) paused: bool,
    pub(crate) allowed_namespaces: Option<Selector>,
    pub(crate) matches: Option<Match>,
}

/// A policy's `match`, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) namespace_selector: Option<Selector>,
    pub(crate) pod_selector: Option<Selector>,
    pub(crate) conditions: Vec<Arc<CompiledCondition>>,
}

/// A named condition, compiled.
#[derive(Debug)]
pub(crate) struct CompiledCondition {
    pub(crate) name: String,
    pub(crate) expression: Expression,
}

/// As many conditions as Kubernetes allows in a webhook configuration.
const MAX_CONDITIONS: usize = 64;

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadSpec {
    enforcement: Enforcement,
    paused: bool,
    allowed_namespaces: Option<LabelSelector>,
    #[serde(rename = "match")]
    matches: Option<MatchSpec>,
}

/// Compiles the head of `spec`. What is wrong selects nothing.
pub(super) fn compile(spec: &Value, namespaced: bool) -> (Head, Vec<FieldError>) {
    let mut errors = Vec::new();
    let spec: HeadSpec = match decode(spec, "spec") {
        Ok(spec) => spec,
        Err(error) => return (Head::default(), vec![error]),
    };
    if namespaced {
        refuse_cluster_fields(&spec, &mut errors);
    }
    let namespace_selector = spec
        .matches
        .as_ref()
        .and_then(|matches| matches.namespace_selector.as_ref());
    let required = spec.enforcement == Enforcement::Required && !namespaced;
    if required && namespace_selector.is_none_or(is_empty_selector) {
        let message = "a Required policy must say in which namespaces; write a namespaceSelector that is not empty";
        errors.push(FieldError::new("spec.match.namespaceSelector", message));
    }
    let allowed_namespaces = selector(spec.allowed_namespaces.as_ref(), "spec.allowedNamespaces", &mut errors);
    let matches = spec.matches.as_ref().map(|matches| compile_match(matches, &mut errors));
    if !errors.is_empty() {
        let enforcement = if namespaced {
            Enforcement::BestEffort
        } else {
            spec.enforcement
        };
        return (
            Head {
                enforcement,
                paused: spec.paused,
                ..Head::default()
            },
            errors,
        );
    }
    (
        Head {
            enforcement: spec.enforcement,
            paused: spec.paused,
            allowed_namespaces,
            matches,
        },
        errors,
    )
}

fn is_empty_selector(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

fn refuse_cluster_fields(spec: &HeadSpec, errors: &mut Vec<FieldError>) {
    let mut refuse = |path: &str, what: &str| {
        let message = format!("{what} is the cluster's alone; drop it, or write a ClusterInjectionPolicy");
        errors.push(FieldError::new(path, message));
    };
    if spec.enforcement == Enforcement::Required {
        refuse("spec.enforcement", "Required");
    }
    if spec.allowed_namespaces.is_some() {
        refuse("spec.allowedNamespaces", "this field");
    }
    if spec
        .matches
        .as_ref()
        .is_some_and(|matches| matches.namespace_selector.is_some())
    {
        refuse("spec.match.namespaceSelector", "this field");
    }
}

fn compile_match(spec: &MatchSpec, errors: &mut Vec<FieldError>) -> Match {
    if spec.conditions.len() > MAX_CONDITIONS {
        let message = format!(
            "{} conditions are too many; write at most {MAX_CONDITIONS}",
            spec.conditions.len()
        );
        errors.push(FieldError::new("spec.match.conditions", message));
    }
    let mut conditions = Vec::with_capacity(spec.conditions.len());
    for (index, condition) in spec.conditions.iter().enumerate().take(MAX_CONDITIONS) {
        let path = format!("spec.match.conditions[{index}]");
        if let Err(message) = condition_name(condition, &spec.conditions[..index]) {
            errors.push(FieldError::new(format!("{path}.name"), message));
        }
        // Parameters are values for what is injected; which Pods are selected must not depend on the Pod's own wishes.
        match Expression::compile(&condition.expression, &Vocabulary { params: &[] }) {
            Ok(expression) => {
                conditions.push(Arc::new(CompiledCondition {
                    name: condition.name.clone(),
                    expression,
                }));
            }
            Err(message) => errors.push(FieldError::new(
                format!("{path}.expression"),
                condition_hint(&condition.expression, message),
            )),
        }
    }
    Match {
        namespace_selector: selector(spec.namespace_selector.as_ref(), "spec.match.namespaceSelector", errors),
        pod_selector: selector(spec.pod_selector.as_ref(), "spec.match.podSelector", errors),
        conditions,
    }
}

fn condition_name(condition: &Condition, earlier: &[Condition]) -> Result<(), String> {
    let name = &condition.name;
    if name.is_empty() {
        return Err("is empty; write a name for messages".into());
    }
    match earlier.iter().any(|other| other.name == *name) {
        true => Err(format!("two conditions are named \"{name}\"; names must differ")),
        false => Ok(()),
    }
}

/// What authors of templates get wrong in conditions.
fn condition_hint(expression: &str, message: String) -> String {
    if expression.contains("${") {
        return format!("{message}; a condition is an expression as a whole: write it without ${{ and }}");
    }
    match message.contains("unknown parameter") || message.contains("params can be read") {
        true => "a condition cannot read params, which the Pod may set itself; \
                 read object, namespaceObject or request.namespace"
            .to_owned(),
        false => message,
    }
}

fn selector(spec: Option<&LabelSelector>, path: &str, errors: &mut Vec<FieldError>) -> Option<Selector> {
    match Selector::compile(spec?, path) {
        Ok(selector) => Some(selector),
        Err(found) => {
            errors.extend(found.into_iter().map(FieldError::from));
            None
        }
    }
}
