use serde_json::json;

use super::{compile, spec};
use crate::params::{Parameter, ParameterSpec};

#[test]
fn contradictions_are_refused_when_the_policy_is_loaded() {
    let table = [
        (
            json!({"name": "a-b", "type": "string"}),
            ".name: \"a-b\" is not a parameter's name",
        ),
        (json!({"name": "1a", "type": "string"}), ".name"),
        (json!({"name": "a_", "type": "string"}), ".name"),
        (json!({"name": "", "type": "string"}), ".name"),
        (
            json!({"name": "a".repeat(64), "type": "string"}),
            "has 64 characters; 63 are allowed",
        ),
        (
            json!({"name": "in", "type": "string"}),
            "\"in\" is a word that CEL reserves",
        ),
        (
            json!({"name": "a", "type": "string", "minimum": 1}),
            ".minimum: minimum is for integer and number, not for string",
        ),
        (
            json!({"name": "a", "type": "boolean", "pattern": "x"}),
            ".pattern: pattern is for string and stringList",
        ),
        (
            json!({"name": "a", "type": "boolean", "enum": [true]}),
            ".enum: enum is not for boolean",
        ),
        (
            json!({"name": "a", "type": "integer", "minimum": 2, "maximum": 1}),
            "the minimum 2 is above the maximum 1",
        ),
        (
            json!({"name": "a", "type": "string", "pattern": "("}),
            ".pattern: the pattern \"(\" is not valid: unclosed group",
        ),
        (json!({"name": "a", "type": "string", "pattern": "a)(b"}), ".pattern"),
        (
            json!({"name": "a", "type": "string", "pattern": "(a{1000}){1000}"}),
            "is too large",
        ),
        (
            json!({"name": "a", "type": "string", "enum": []}),
            ".enum: the enum is empty",
        ),
        (
            json!({"name": "a", "type": "string", "enum": ["b", 1]}),
            ".enum[1]: 1 is not a string",
        ),
        (
            json!({"name": "a", "type": "integer", "enum": [1, 9], "maximum": 5}),
            ".enum[1]: 9 is more than the maximum 5",
        ),
        (
            json!({"name": "a", "type": "string", "enum": ["b"], "default": "c"}),
            ".default: \"c\" is not one of \"b\"",
        ),
        (
            json!({"name": "a", "type": "string", "pattern": "[a-z]+", "default": "aB"}),
            "does not match the pattern [a-z]+",
        ),
        (
            json!({"name": "a", "type": "string", "default": 1}),
            ".default: 1 is not a string",
        ),
        (
            json!({"name": "a", "type": "integer", "default": 1.5}),
            ".default: 1.5 is not an integer",
        ),
        (
            json!({"name": "a", "type": "integer", "default": "1"}),
            ".default: \"1\" is not an integer",
        ),
        (
            json!({"name": "a", "type": "integer", "default": 3, "minimum": 4}),
            ".default: 3 is less than the minimum 4",
        ),
        (
            json!({"name": "a", "type": "stringList", "default": "x"}),
            "is not a list of strings",
        ),
        (
            json!({"name": "a", "type": "stringList", "default": ["x", 1]}),
            "has the item 1, which is not a string",
        ),
        (
            json!({"name": "a", "type": "string", "default": "x".repeat(4097)}),
            "has 4097 bytes; 4096 are allowed",
        ),
    ];
    for (value, expected) in table {
        let error = compile(&value).expect_err(&value.to_string());
        assert!(
            error.contains(expected),
            "{value}\n got      {error}\n expected {expected}"
        );
        assert!(error.starts_with("spec.parameters[0]."), "{error}");
    }
    assert!(serde_json::from_value::<ParameterSpec>(json!({"name": "a", "type": "string", "min": 1})).is_err());
    let twice = [
        spec(&json!({"name": "a", "type": "string"})),
        spec(&json!({"name": "a", "type": "integer"})),
    ];
    let errors = Parameter::compile_all(&twice, "spec.parameters").unwrap_err();
    assert_eq!(
        errors,
        [(
            "spec.parameters[1].name".to_string(),
            "the parameter \"a\" is declared twice".to_string()
        )]
    );
}
