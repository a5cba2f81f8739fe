//! CEL as text.
use outrigger_engine::selector::{Requirement, Selector, Test};
use serde_json::Value;

/// A string literal: JSON's escapes are CEL's.
pub(super) fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// A list of strings.
pub(super) fn texts<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let items: Vec<String> = items.into_iter().map(text).collect();
    format!("[{}]", items.join(", "))
}

/// What begins with `prefix` and stands for this policy: names of policies have no `_`, so two never become one.
pub(super) fn identifier(prefix: &str, policy: &str) -> String {
    format!("{prefix}_{}", policy.replace('-', "_"))
}

/// All of these; `true` where there is none.
pub(super) fn all(conditions: &[String]) -> String {
    match conditions {
        [] => "true".to_owned(),
        conditions => conditions.join(" && "),
    }
}

/// What a selector says of the labels in `labels`, a map; a condition for each requirement.
pub(super) fn selector<'s>(selector: Option<&'s Selector>, labels: &'s str) -> impl Iterator<Item = String> + 's {
    let requirements = selector.into_iter().flat_map(Selector::requirements);
    requirements.map(move |requirement| self::requirement(requirement, labels))
}

fn requirement(requirement: &Requirement, labels: &str) -> String {
    let key = text(&requirement.key);
    let one_of = |values: &[String]| {
        let values = texts(values.iter().map(String::as_str));
        format!("({key} in {labels} && {labels}[{key}] in {values})")
    };
    match &requirement.test {
        Test::In(values) => one_of(values),
        Test::NotIn(values) => format!("!{}", one_of(values)),
        Test::Exists => format!("({key} in {labels})"),
        Test::DoesNotExist => format!("!({key} in {labels})"),
    }
}
