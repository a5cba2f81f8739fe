//! Tables of selectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::{LabelSelector, Selector, can_all_match};

fn compile(value: &Value) -> Result<Selector, Vec<(String, String)>> {
    let selector: LabelSelector = serde_json::from_value(value.clone()).unwrap();
    Selector::compile(&selector, "spec.match.podSelector")
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]})
}

#[test]
fn selectors_match_as_in_kubernetes() {
    let labels = json!({"app": "web", "tier": "", "example.com/zone": "a"});
    let table = [
        (json!({}), true),
        (json!({"matchLabels": {}, "matchExpressions": []}), true),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "db"}}), false),
        (json!({"matchLabels": {"tier": ""}}), true),
        (json!({"matchLabels": {"absent": ""}}), false),
        (json!({"matchLabels": {"app": "web", "example.com/zone": "b"}}), false),
        (expression("app", "In", &["db", "web"]), true),
        (expression("app", "In", &["db"]), false),
        (expression("absent", "In", &["db"]), false),
        (expression("app", "NotIn", &["web"]), false),
        (expression("app", "NotIn", &["db"]), true),
        (expression("absent", "NotIn", &["db"]), true),
        (expression("example.com/zone", "Exists", &[]), true),
        (expression("absent", "Exists", &[]), false),
        (expression("app", "DoesNotExist", &[]), false),
        (expression("absent", "DoesNotExist", &[]), true),
    ];
    for (value, expected) in table {
        let selector = compile(&value).unwrap();
        assert_eq!(selector.matches(|key| labels[key].as_str()), expected, "{value}");
    }
}

#[test]
fn selectors_that_kubernetes_refuses_are_refused() {
    let long = "a".repeat(64);
    let table = [
        (
            expression("app", "in", &["a"]),
            ".matchExpressions[0].operator",
            "\"in\" is not an operator; use In",
        ),
        (
            expression("app", "In", &[]),
            ".matchExpressions[0].values",
            "In needs at least one value",
        ),
        (
            expression("app", "NotIn", &[]),
            ".matchExpressions[0].values",
            "NotIn needs at least one value",
        ),
        (
            expression("app", "Exists", &["a"]),
            ".matchExpressions[0].values",
            "Exists takes no values",
        ),
        (
            expression("app", "In", &["a", "-b"]),
            ".matchExpressions[0].values[1]",
            "is not a label's value",
        ),
        (
            expression("", "Exists", &[]),
            ".matchExpressions[0].key",
            "is not the key of a label",
        ),
        (
            expression("a/b/c", "Exists", &[]),
            ".matchExpressions[0].key",
            "is not the key of a label",
        ),
        (
            expression("/b", "Exists", &[]),
            ".matchExpressions[0].key",
            "is not the key of a label",
        ),
        (
            expression("Ex.com/b", "Exists", &[]),
            ".matchExpressions[0].key",
            "is not the key of a label",
        ),
        (
            json!({"matchLabels": {"a b": "c"}}),
            ".matchLabels[\"a b\"]",
            "is not the key of a label",
        ),
        (
            json!({"matchLabels": {"a": long}}),
            ".matchLabels[\"a\"]",
            "is not a label's value",
        ),
        (
            json!({"matchLabels": {"a": "b/c"}}),
            ".matchLabels[\"a\"]",
            "is not a label's value",
        ),
    ];
    for (value, path, message) in table {
        let errors = compile(&value).expect_err(&value.to_string());
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].0, format!("spec.match.podSelector{path}"));
        assert!(errors[0].1.contains(message), "{}", errors[0].1);
    }
    assert!(serde_json::from_value::<LabelSelector>(json!({"matchLabel": {}})).is_err());
}

#[test]
fn an_index_finds_the_labels_that_must_be_there() {
    let selector = compile(&json!({"matchLabels": {"a": "b"}, "matchExpressions": [
        {"key": "c", "operator": "DoesNotExist"}, {"key": "d", "operator": "Exists"}]}));
    let selector = selector.unwrap();
    let positive = selector
        .requirements()
        .iter()
        .filter(|requirement| requirement.is_positive());
    assert_eq!(
        positive.map(|requirement| requirement.key.as_str()).collect::<Vec<_>>(),
        ["a", "d"]
    );
    assert!(!selector.is_empty() && compile(&json!({})).unwrap().is_empty());
}

#[test]
fn whether_two_selectors_can_match_the_same_labels_is_told() {
    let table = [
        (json!({}), json!({"matchLabels": {"app": "web"}}), false),
        (
            json!({"matchLabels": {"app": "web"}}),
            json!({"matchLabels": {"app": "db"}}),
            true,
        ),
        (
            json!({"matchLabels": {"app": "web"}}),
            json!({"matchLabels": {"tier": "db"}}),
            false,
        ),
        (
            expression("app", "In", &["a", "b"]),
            expression("app", "In", &["b", "c"]),
            false,
        ),
        (
            expression("app", "In", &["a"]),
            expression("app", "NotIn", &["a"]),
            true,
        ),
        (
            expression("app", "In", &["a", "b"]),
            expression("app", "NotIn", &["a"]),
            false,
        ),
        (expression("app", "In", &["a"]), expression("app", "Exists", &[]), false),
        (
            expression("app", "In", &["a"]),
            expression("app", "DoesNotExist", &[]),
            true,
        ),
        (
            expression("app", "Exists", &[]),
            expression("app", "DoesNotExist", &[]),
            true,
        ),
        (
            expression("app", "NotIn", &["a"]),
            expression("app", "NotIn", &["b"]),
            false,
        ),
        (
            expression("app", "NotIn", &["a"]),
            expression("app", "DoesNotExist", &[]),
            false,
        ),
        (
            expression("app", "NotIn", &["a"]),
            expression("app", "Exists", &[]),
            false,
        ),
    ];
    for (left, right, expected) in table {
        let (left_compiled, right_compiled) = (compile(&left).unwrap(), compile(&right).unwrap());
        let both = [&left_compiled, &right_compiled];
        assert_eq!(can_all_match(&both), !expected, "{left} {right}");
        assert_eq!(can_all_match(&[both[1], both[0]]), !expected, "{right} {left}");
    }
}
