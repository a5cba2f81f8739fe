//! Tables of declarations and of annotations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod declarations;

use serde_json::{Value, json};

use super::{Parameter, ParameterSpec, Source, resolve};

fn spec(value: &Value) -> ParameterSpec {
    serde_json::from_value(value.clone()).unwrap()
}

fn compile(value: &Value) -> Result<Parameter, String> {
    Parameter::compile(&spec(value), "spec.parameters[0]").map_err(|errors| {
        errors
            .into_iter()
            .map(|(path, message)| format!("{path}: {message}"))
            .collect::<Vec<_>>()
            .join("\n")
    })
}

#[test]
fn annotations_are_read_by_type() {
    let table = [
        (json!({"type": "string"}), "", Ok(json!(""))),
        (
            json!({"type": "string"}),
            "\"a\"\n: ${x} {{y}} $(z)",
            Ok(json!("\"a\"\n: ${x} {{y}} $(z)")),
        ),
        (json!({"type": "string", "pattern": "a|b"}), "a", Ok(json!("a"))),
        (
            json!({"type": "string", "pattern": "a|b"}),
            "ab",
            Err("does not match the pattern a|b"),
        ),
        (
            json!({"type": "string", "pattern": "a"}),
            "a\n",
            Err("does not match the pattern a"),
        ),
        (
            json!({"type": "string", "pattern": "(?m)^a$"}),
            "a\nb",
            Err("does not match the pattern"),
        ),
        (
            json!({"type": "string", "pattern": "(?x) a # comment"}),
            "a",
            Ok(json!("a")),
        ),
        (
            json!({"type": "string", "enum": ["x", "y"]}),
            "z",
            Err("is not one of \"x\", \"y\""),
        ),
        (json!({"type": "integer"}), "-9223372036854775808", Ok(json!(i64::MIN))),
        (
            json!({"type": "integer"}),
            "9223372036854775808",
            Err("is not an integer"),
        ),
        (
            json!({"type": "integer"}),
            "064",
            Err("is not an integer; write a whole decimal number, such as 64"),
        ),
        (json!({"type": "integer"}), "+1", Err("is not an integer")),
        (json!({"type": "integer"}), " 1", Err("is not an integer")),
        (json!({"type": "integer"}), "1e3", Err("is not an integer")),
        (json!({"type": "integer"}), "", Err("is not an integer")),
        (
            json!({"type": "integer", "minimum": 16, "maximum": 1024}),
            "15",
            Err("is less than the minimum 16"),
        ),
        (
            json!({"type": "integer", "minimum": 16, "maximum": 1024}),
            "1025",
            Err("is more than the maximum 1024"),
        ),
        (
            json!({"type": "integer", "minimum": 0.5}),
            "0",
            Err("is less than the minimum 0.5"),
        ),
        (
            json!({"type": "integer", "enum": [1, 2]}),
            "3",
            Err("is not one of 1, 2"),
        ),
        (json!({"type": "number"}), "0.5", Ok(json!(0.5))),
        (json!({"type": "number"}), "2", Ok(json!(2.0))),
        (json!({"type": "number"}), "1e999", Err("is not a number")),
        (json!({"type": "number"}), "NaN", Err("is not a number")),
        (json!({"type": "number"}), "inf", Err("is not a number")),
        (json!({"type": "boolean"}), "true", Ok(json!(true))),
        (
            json!({"type": "boolean"}),
            "True",
            Err("is not a boolean; write true or false"),
        ),
        (json!({"type": "boolean"}), "1", Err("is not a boolean")),
        (json!({"type": "stringList"}), "", Ok(json!([]))),
        (json!({"type": "stringList"}), " a , b,", Ok(json!(["a", "b", ""]))),
        (
            json!({"type": "stringList", "pattern": "[a-z]"}),
            "a,B",
            Err("has the item \"B\", which does not match"),
        ),
        (
            json!({"type": "stringList", "enum": ["a"]}),
            "a,b",
            Err("has the item \"b\", which is not one of \"a\""),
        ),
    ];
    for (rule, text, expected) in table {
        let mut rule = rule;
        rule["name"] = json!("p");
        let parameter = compile(&rule).unwrap();
        let got = resolve(
            "log-saver",
            &[parameter],
            |_| None,
            |key| (key == "log-saver.outrigger.dev/p").then_some(text),
        );
        match (got, expected) {
            (Ok(values), Ok(expected)) => {
                assert_eq!(values.get("p"), Some(&expected), "{rule} {text:?}");
                assert_eq!(values.source("p"), Some(Source::Pod));
                assert!(!values.all_default());
            }
            (Err(error), Err(expected)) => {
                let start = format!("annotation log-saver.outrigger.dev/p of the Pod: the value {text:?} ");
                assert!(
                    error.starts_with(&start) && error.contains(expected),
                    "{rule} {text:?}: {error}"
                );
            }
            (got, expected) => panic!("{rule} {text:?}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn the_pod_is_before_the_namespace_before_the_default() {
    let parameter = |settable: Value| {
        let mut value = json!({"name": "p", "type": "string", "default": "d"});
        if !settable.is_null() {
            value["settableBy"] = settable;
        }
        compile(&value).unwrap()
    };
    let warned = |owner: &str| {
        vec![format!(
            "annotation x.outrigger.dev/p of the {owner} is ignored: a {owner} may not set this parameter"
        )]
    };
    let table = [
        (Value::Null, None, None, "d", Source::Default, vec![]),
        (Value::Null, Some("n"), None, "n", Source::Namespace, vec![]),
        (Value::Null, Some("n"), Some("p"), "p", Source::Pod, vec![]),
        (
            json!(["Namespace"]),
            Some("n"),
            Some("p"),
            "n",
            Source::Namespace,
            warned("Pod"),
        ),
        (
            json!(["Namespace"]),
            None,
            Some("p"),
            "d",
            Source::Default,
            warned("Pod"),
        ),
        (
            json!(["Pod"]),
            Some("n"),
            None,
            "d",
            Source::Default,
            warned("namespace"),
        ),
        (
            json!(["Pod"]),
            Some("n"),
            Some("p"),
            "p",
            Source::Pod,
            warned("namespace"),
        ),
        (json!([]), None, Some("p"), "d", Source::Default, warned("Pod")),
    ];
    for (settable, namespace, pod, value, source, warnings) in table {
        let values = resolve("x", &[parameter(settable)], |_| namespace, |_| pod).unwrap();
        assert_eq!(values.get("p"), Some(&json!(value)));
        assert_eq!(values.source("p"), Some(source));
        assert_eq!(values.warnings(), warnings);
        assert_eq!(values.all_default(), source == Source::Default);
    }
}

#[test]
fn a_required_parameter_names_its_annotation() {
    for (settable, owner) in [
        (json!(["Pod", "Namespace"]), "the Pod or its namespace"),
        (json!(["Namespace"]), "the namespace"),
    ] {
        let parameter = compile(&json!({"name": "p", "type": "integer", "settableBy": settable})).unwrap();
        let error = resolve("x", &[parameter], |_| None, |_| None).unwrap_err();
        let expected = format!("the parameter \"p\" is required: set the annotation x.outrigger.dev/p on {owner}");
        assert_eq!(error, expected);
    }
}

#[test]
fn a_long_value_is_refused_and_not_repeated() {
    let parameter = compile(&json!({"name": "p", "type": "string"})).unwrap();
    let long = "x".repeat(5000);
    let error = resolve("x", &[parameter], |_| Some(&long), |_| None).unwrap_err();
    assert!(
        error.ends_with("has 5000 bytes; 4096 are allowed") && error.len() < 300,
        "{error}"
    );
}
