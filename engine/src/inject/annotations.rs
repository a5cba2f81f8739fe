//! Warnings of annotations and labels that were meant for us and do nothing.

use super::answer::Answer;
use super::{Inputs, record};
use crate::params::Parameter;
use crate::request::INJECT;
use crate::select::{Choices, LABEL_PREFIX};

/// As many as are read: the API server lets 4096 characters of warnings through, and a Pod can have many more
/// annotations that deserve one.
const MAX_WARNINGS: usize = 40;

/// Warns of what looks like a wish or a parameter, and is none.
pub(super) fn warn(inputs: &Inputs<'_>, choices: &Choices<'_>, answer: &mut Answer) {
    if inputs.pod.label(INJECT).is_some() {
        answer.warn(format!(
            "label {INJECT} has no effect on a Pod; write it as an annotation"
        ));
    }
    let of_pod = inputs
        .pod
        .annotations()
        .filter_map(|(key, _)| of_pod(key, inputs, choices));
    let of_namespace = inputs
        .namespace
        .annotations
        .keys()
        .filter_map(|key| of_namespace(key, inputs, choices));
    let mut warnings = of_pod.chain(of_namespace);
    warnings
        .by_ref()
        .take(MAX_WARNINGS)
        .for_each(|warning| answer.warn(warning));
    if warnings.next().is_some() {
        answer.warn("there are more annotations like these".into());
    }
}

fn of_pod(key: &str, inputs: &Inputs<'_>, choices: &Choices<'_>) -> Option<String> {
    let (domain, name) = key.split_once('/')?;
    if domain == "outrigger.dev" && !matches!(key, INJECT | record::INJECTED | record::SKIPPED) {
        return Some(format!("annotation {key} is not known; did you mean {INJECT}?"));
    }
    if key.starts_with(LABEL_PREFIX) {
        return Some(format!(
            "annotation {key} has no effect on a Pod: it is a label of namespaces; write {INJECT}: {name}"
        ));
    }
    let policy = policy_of(domain)?;
    if inputs.snapshot.visible(policy, &inputs.namespace.name).is_none() {
        return Some(format!(
            "annotation {key}: there is no policy \"{policy}\" in this namespace"
        ));
    }
    let unknown = unknown_parameter(key, inputs);
    unknown.or_else(|| {
        let has_no_effect = !is_selected(policy, choices);
        has_no_effect.then(|| format!("annotation {key} has no effect: the Pod does not get policy \"{policy}\""))
    })
}

fn of_namespace(key: &str, inputs: &Inputs<'_>, choices: &Choices<'_>) -> Option<String> {
    let policy = policy_of(key.split_once('/')?.0)?;
    is_selected(policy, choices)
        .then(|| unknown_parameter(key, inputs))
        .flatten()
}

/// The policy in `<policy>.outrigger.dev`.
fn policy_of(domain: &str) -> Option<&str> {
    domain
        .strip_suffix(".outrigger.dev")
        .filter(|policy| !policy.contains('.'))
}

fn is_selected(policy: &str, choices: &Choices<'_>) -> bool {
    let failed = choices.failed.iter().map(|(choice, _)| choice);
    choices
        .selected
        .iter()
        .chain(failed)
        .any(|choice| choice.policy.name() == policy)
}

fn unknown_parameter(key: &str, inputs: &Inputs<'_>) -> Option<String> {
    let (domain, name) = key.split_once('/')?;
    let policy = policy_of(domain)?;
    let body = inputs.snapshot.visible(policy, &inputs.namespace.name)?.body()?;
    if body.parameters.iter().any(|known| known.name() == name) {
        return None;
    }
    let names: Vec<&str> = body.parameters.iter().map(Parameter::name).collect();
    let hint = match names[..] {
        [] => "it has none".to_owned(),
        _ => format!("it has {}", names.join(", ")),
    };
    Some(format!(
        "annotation {key}: policy \"{policy}\" has no parameter \"{name}\"; {hint}"
    ))
}
