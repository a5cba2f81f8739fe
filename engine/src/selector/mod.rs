//! Kubernetes' label selectors (`meta/v1 LabelSelector`): `matchLabels` and `matchExpressions`, all of which must hold.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::names;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A selector as it is written. An empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelector {
    /// Labels and their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Conditions on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub match_expressions: Option<Vec<LabelSelectorRequirement>>,
}

/// A condition on a label as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelSelectorRequirement {
    /// The label.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    #[schemars(extend("enum" = ["In", "NotIn", "Exists", "DoesNotExist"]))]
    pub operator: String,
    /// For `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub values: Option<Vec<String>>,
}

/// A selector that is known to be valid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What must hold of it.
    pub test: Test,
}

/// What must hold of a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// It is there and has one of these values.
    In(Vec<String>),
    /// It is absent or has none of these values.
    NotIn(Vec<String>),
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl Selector {
    /// Compiles a selector, by the rules of Kubernetes' `ValidateLabelSelector`.
    ///
    /// # Errors
    ///
    /// Each with its field path below `path`.
    pub fn compile(selector: &LabelSelector, path: &str) -> Result<Selector, Vec<(String, String)>> {
        let mut errors = Vec::new();
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            let path = format!("{path}.matchLabels[{key:?}]");
            let checks = [names::qualified_name(key), names::label_value(value)];
            errors.extend(
                checks
                    .into_iter()
                    .filter_map(Result::err)
                    .map(|message| (path.clone(), message)),
            );
            requirements.push(Requirement {
                key: key.clone(),
                test: Test::In(vec![value.clone()]),
            });
        }
        for (index, requirement) in selector.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{index}]");
            requirements.extend(compile_requirement(requirement, &path, &mut errors));
        }
        if errors.is_empty() {
            Ok(Selector { requirements })
        } else {
            Err(errors)
        }
    }

    /// Whether labels match.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// Whether it matches everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The conditions, of which an index can take any that is [`Requirement::is_positive`].
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }
}

impl Requirement {
    /// Whether the label must be there, so that who lacks it need not be looked at.
    pub fn is_positive(&self) -> bool {
        matches!(self.test, Test::In(_) | Test::Exists)
    }

    /// Whether the condition holds of a label's value.
    pub fn matches(&self, value: Option<&str>) -> bool {
        match (&self.test, value) {
            (Test::In(values), Some(value)) => values.iter().any(|one| one == value),
            (Test::NotIn(values), Some(value)) => values.iter().all(|one| one != value),
            (Test::Exists, value) => value.is_some(),
            (Test::DoesNotExist, value) => value.is_none(),
            (Test::In(_), None) => false,
            (Test::NotIn(_), None) => true,
        }
    }
}

/// Whether there are labels that all of these match. That can always be told: every requirement is about one label, and a
/// label may have any value.
pub fn can_all_match(selectors: &[&Selector]) -> bool {
    let all = || selectors.iter().flat_map(|selector| &selector.requirements);
    all().all(|one| {
        let about: Vec<&Requirement> = all().filter(|requirement| requirement.key == one.key).collect();
        is_satisfiable(&about)
    })
}

impl From<Vec<Requirement>> for Selector {
    /// Of requirements that are known to be valid.
    fn from(requirements: Vec<Requirement>) -> Selector {
        Selector { requirements }
    }
}

/// Whether there is a value, or the absence of one, for which all of these hold.
fn is_satisfiable(about_one_label: &[&Requirement]) -> bool {
    let holds = |value: Option<&str>| about_one_label.iter().all(|requirement| requirement.matches(value));
    let listed = about_one_label.iter().find_map(|requirement| match &requirement.test {
        Test::In(values) => Some(values),
        _ => None,
    });
    match listed {
        Some(values) => values.iter().any(|value| holds(Some(value))),
        // No label has this value, so that it stands for all that nobody lists.
        None => holds(None) || holds(Some("/")),
    }
}

fn compile_requirement(
    written: &LabelSelectorRequirement,
    path: &str,
    errors: &mut Vec<(String, String)>,
) -> Option<Requirement> {
    if let Err(message) = names::qualified_name(&written.key) {
        errors.push((format!("{path}.key"), message));
    }
    let values = written.values.clone().unwrap_or_default();
    for (index, value) in values.iter().enumerate() {
        if let Err(message) = names::label_value(value) {
            errors.push((format!("{path}.values[{index}]"), message));
        }
    }
    let test = match (written.operator.as_str(), values.is_empty()) {
        ("In" | "NotIn", true) => Err(("values", format!("{} needs at least one value", written.operator))),
        ("In", false) => Ok(Test::In(values)),
        ("NotIn", false) => Ok(Test::NotIn(values)),
        ("Exists" | "DoesNotExist", false) => Err(("values", format!("{} takes no values", written.operator))),
        ("Exists", true) => Ok(Test::Exists),
        ("DoesNotExist", true) => Ok(Test::DoesNotExist),
        (other, _) => Err((
            "operator",
            format!("{other:?} is not an operator; use In, NotIn, Exists or DoesNotExist"),
        )),
    };
    match test {
        Ok(test) => Some(Requirement {
            key: written.key.clone(),
            test,
        }),
        Err((field, message)) => {
            errors.push((format!("{path}.{field}"), message));
            None
        }
    }
}
