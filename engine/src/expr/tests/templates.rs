use serde_json::{Value, json};

use super::{VOCABULARY, namespace, params, pod};
use crate::expr::limits::RENDERED_BYTES;
use crate::expr::{Budget, Place, Scope, Template};

fn render(value: &Value, place: Place) -> Result<Option<Value>, (String, String)> {
    let (params, pod, namespace) = (params(), pod(), namespace());
    let scope = Scope::new()
        .params(&params)
        .object(&pod)
        .namespace_object(&namespace)
        .request_namespace("shop");
    let template = Template::compile(value, "spec", &VOCABULARY, place).map_err(|errors| errors[0].clone())?;
    template.render(&scope, &mut Budget::default())
}

#[test]
fn values_are_rendered() {
    let table = [
        (json!("${params.port}"), json!(8080)),
        (json!("${params.debug}"), json!(true)),
        (json!("${params.hosts}"), json!(["a", "b"])),
        (json!("${{'a': params.port}}"), json!({"a": 8080})),
        (json!("${params.path}/*.log"), json!("/var/log/*.log")),
        (
            json!("${params.port}${params.debug} ${params.ratio}"),
            json!("8080true 2.0"),
        ),
        (json!("$${params.path} $(VAR) $"), json!("${params.path} $(VAR) $")),
        (
            json!({"a": "${null}", "b": null, "c": ["${null}", null, 1]}),
            json!({"b": null, "c": [null, 1]}),
        ),
        (
            json!({"${params.path}": "literal"}),
            json!({"${params.path}": "literal"}),
        ),
        (json!({"z": 1, "a": "${1}"}), json!({"z": 1, "a": 1})),
        (json!({"a": "${object.?status}"}), json!({})),
        // Values are values: nothing in them is read again.
        (json!("${params.evil}"), json!("$(SECRET)\n\"}] ${x} {{y}} : - ")),
    ];
    for (value, expected) in table {
        assert_eq!(render(&value, Place::Value), Ok(Some(expected)), "{value}");
    }
    assert_eq!(render(&json!("${null}"), Place::Value), Ok(None));
}

#[test]
fn errors_have_their_field_path() {
    let value =
        json!({"a": [{"b.c/d": "${params.x}"}], "plain-key": "${'", "ok": "${1}", "mixed": "${nope()}${params.y}"});
    let errors = Template::compile(&value, "spec", &VOCABULARY, Place::Value).unwrap_err();
    let paths: Vec<&str> = errors.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        paths,
        ["spec.a[0][\"b.c/d\"]", "spec.plain-key", "spec.mixed", "spec.mixed"]
    );
    let table = [
        (
            json!(["x${null}"]),
            "spec[0]",
            "is null, which cannot stand within text",
        ),
        (
            json!({"a": "x${params.hosts}"}),
            "spec.a",
            "a list cannot stand within text; write params.hosts.join",
        ),
        (
            json!({"a": "x${[1]}"}),
            "spec.a",
            "is a list, which cannot stand within text",
        ),
        (
            json!({"a": "x${{}}"}),
            "spec.a",
            "is a map, which cannot stand within text",
        ),
        (json!({"a": "x${b'a'}"}), "spec.a", "the result is of the type bytes"),
        (json!({"a": "${object.x}"}), "spec.a", "no such key: \"x\""),
    ];
    for (value, path, message) in table {
        let error = render(&value, Place::Value).unwrap_err();
        assert_eq!(error.0, path);
        assert!(error.1.contains(message), "{value}: {}", error.1);
    }
}

#[test]
fn constants_are_known() {
    let template = |value: Value| Template::compile(&value, "", &VOCABULARY, Place::Value).unwrap();
    assert!(template(json!({"a": ["$${x}", 1]})).is_constant());
    assert!(!template(json!({"a": ["${1}"]})).is_constant());
    let uses = template(json!({"a": "${params.path}${request.namespace}", "b": ["${params.port}"]}))
        .uses()
        .clone();
    assert_eq!(uses.params.iter().collect::<Vec<_>>(), ["path", "port"]);
    assert!(uses.request && !uses.object);
}

/// What the kubelet makes of a value: `k8s.io/kubernetes/third_party/forked/golang/expansion`.
fn kubelet(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = match (after.as_bytes().first(), after.find(')')) {
            (Some(b'$'), _) => {
                out.push('$');
                &after[1..]
            }
            (Some(b'('), Some(end)) => {
                out.push_str(&format!("<{}>", &after[1..end]));
                &after[end + 1..]
            }
            _ => {
                out.push('$');
                after
            }
        };
    }
    out + rest
}

#[test]
fn a_result_is_never_a_reference() {
    let table = [
        ("$(A)", "$(A)"),
        ("$(A)${'x'}", "$(A)x"),
        ("${'$(A)'}", "$$(A)"),
        ("x${'$(A)'}", "x$$(A)"),
        ("${'$$(A)'}", "$$$$(A)"),
        ("$${'(A)'}", "${'(A)'}"),
        ("$ ${'(A)'}", "$ (A)"),
        ("${'$'}(A)", "$$(A)"),
        ("${'$'}${'(A)'}", "$$(A)"),
        ("${'a$b'} $x ${'$'}", "a$b $x $"),
        ("$$(A) $$$(A) ${'x'}", "$$(A) $$$(A) x"),
        ("$(${'A'})", "$(A)"),
    ];
    for (source, expected) in table {
        assert_eq!(
            render(&json!(source), Place::Expanded),
            Ok(Some(json!(expected))),
            "{source}"
        );
    }
}

/// Every mix of dollar signs and parentheses: the kubelet shows a result as it was.
#[test]
fn results_come_through_the_kubelet_unchanged() {
    use crate::expr::escape::Mixed;
    let parts = ["", "$", "$$", "(A)", "$(A)", "$$(A)", "x", "$$$"];
    for before in parts {
        for result in parts {
            for after in ["", "(B)", "y", " $(C)"] {
                let mut mixed = Mixed::default();
                mixed.push_literal(before);
                mixed.push_result(result);
                mixed.push_literal(after);
                let shown = kubelet(&mixed.into_escaped());
                let literal = if before == "$" || before == "$$$" {
                    before.to_string()
                } else {
                    kubelet(before)
                };
                let literals = [
                    literal.clone(),
                    kubelet(before),
                    kubelet(&format!("{before}x")).replace('x', ""),
                ];
                let end = if result.is_empty() { continue } else { kubelet(after) };
                let expected: Vec<String> = literals
                    .iter()
                    .map(|literal| format!("{literal}{result}{end}"))
                    .collect();
                assert!(
                    expected.contains(&shown),
                    "{before:?} {result:?} {after:?}: {shown:?}, not {expected:?}"
                );
            }
        }
    }
}

#[test]
fn containers_escape_where_kubernetes_expands() {
    let source = "${'$(A)'}";
    let container = json!({
        "name": source,
        "command": [source, "$(B)"],
        "args": "${['$(A)', 'x']}",
        "env": [{"name": "N", "value": source}, {"name": "M", "valueFrom": {"fieldRef": {"fieldPath": source}}}],
        "volumeMounts": [{"subPathExpr": source, "mountPath": source}],
        "livenessProbe": {"exec": {"command": [source]}},
    });
    let expected = json!({
        "name": "$(A)",
        "command": ["$$(A)", "$(B)"],
        "args": ["$$(A)", "x"],
        "env": [{"name": "N", "value": "$$(A)"}, {"name": "M", "valueFrom": {"fieldRef": {"fieldPath": "$(A)"}}}],
        "volumeMounts": [{"subPathExpr": "$$(A)", "mountPath": "$(A)"}],
        "livenessProbe": {"exec": {"command": ["$(A)"]}},
    });
    assert_eq!(render(&container, Place::Container), Ok(Some(expected)));
    let env = json!([{"name": source, "value": source}]);
    assert_eq!(
        render(&env, Place::Env),
        Ok(Some(json!([{"name": "$(A)", "value": "$$(A)"}])))
    );
    assert_eq!(
        render(&json!("${[{'name': 'N', 'value': '$(A)'}]}"), Place::Env),
        Ok(Some(json!([{"name": "N", "value": "$$(A)"}])))
    );
}

#[test]
fn a_file_of_text_cannot_be_broken_out_of() {
    let text = |source: &str| render(&json!(source), Place::Text).map_err(|(_, message)| message);
    assert_eq!(
        text("path = ${params.path}\nport = ${params.port}"),
        Ok(Some(json!("path = /var/log\nport = 8080")))
    );
    assert_eq!(text("${params.port}"), Ok(Some(json!("8080"))));
    assert_eq!(
        text("x = ${quote(params.evil)}"),
        Ok(Some(json!("x = \"$(SECRET)\\n\\\"}] ${x} {{y}} : - \"")))
    );
    for source in ["x = ${params.evil}", "${params.evil}", "${'a\\tb'}", "${'a\\u2028b'}"] {
        let error = text(source).unwrap_err();
        assert!(
            error.contains("has a line break or a control character") && error.contains("quote(…)"),
            "{error}"
        );
    }
    let value = json!("${params.path} ${quote(params.path)} ${params.port} ${params.path + 'x'}");
    let template = Template::compile(&value, "items", &VOCABULARY, Place::Text).unwrap();
    let unquoted: Vec<&str> = template.unquoted().iter().map(|(_, source)| source.as_str()).collect();
    assert_eq!(unquoted, ["params.path", "params.path + 'x'"]);
}

#[test]
fn a_policy_renders_so_much_and_no_more() {
    let each = "${lists.range(1000).map(x, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join('')}";
    let fits = json!(vec![each; RENDERED_BYTES / 40_000]);
    assert!(render(&fits, Place::Value).is_ok());
    let error = render(&json!(vec![each; RENDERED_BYTES / 40_000 + 1]), Place::Value).unwrap_err();
    assert_eq!(error.0, "spec[6]");
    assert!(
        error
            .1
            .contains("the policy's expressions render more than 262144 bytes"),
        "{}",
        error.1
    );
}
