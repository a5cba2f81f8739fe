use serde_json::{Value, json};

use super::evaluate;

#[test]
fn expressions_have_these_results() {
    let table: &[(&str, Value)] = &[
        // Variables keep their JSON types; whole numbers are signed.
        ("params.path", json!("/var/log")),
        ("params['path']", json!("/var/log")),
        ("params.port + 1", json!(8081)),
        ("params.port - 9000", json!(-920)),
        ("-params.port", json!(-8080)),
        ("-(-1)", json!(1)),
        ("params.ratio * 1.5", json!(3.0)),
        ("params.ratio", json!(2.0)),
        ("params.hosts", json!(["a", "b"])),
        ("params.hosts[1]", json!("b")),
        ("params.hosts[params.port - 8079]", json!("b")),
        ("params.debug ? 'debug' : 'info'", json!("debug")),
        ("null", json!(null)),
        ("params.?path.orValue('x')", json!("/var/log")),
        ("object.metadata.name", json!("web")),
        ("object.metadata.labels['a/b']", json!("c")),
        ("object.metadata.labels.`a/b`", json!("c")),
        ("object.spec.containers[0].image", json!("nginx:1")),
        ("object.spec.containers[0].ports[0].containerPort + 1", json!(81)),
        ("namespaceObject.metadata.name", json!("shop")),
        ("namespaceObject.metadata.labels.team", json!("web")),
        ("namespaceObject.metadata.?annotations.orValue({})", json!({})),
        ("request.namespace", json!("shop")),
        // Optionals.
        (
            "!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')",
            json!(true),
        ),
        (
            "object.metadata.?ownerReferences[0].?kind.orValue('none')",
            json!("none"),
        ),
        ("object.spec.containers[?7].image.orValue('none')", json!("none")),
        ("object.spec.containers[?0].?image.orValue('none')", json!("nginx:1")),
        ("object.metadata.?labels.app.orValue('none')", json!("web")),
        ("object.?status", json!(null)),
        ("object.?status.hasValue()", json!(false)),
        ("object.metadata.?name.hasValue()", json!(true)),
        ("object.?status.or(object.metadata.?name).value()", json!("web")),
        ("optional.of(1).orValue(2)", json!(1)),
        ("optional.none().orValue(2)", json!(2)),
        ("optional.ofNonZeroValue('').orValue('x')", json!("x")),
        ("[1, ?object.?status, 2]", json!([1, 2])),
        (
            "{'a': 1, ?'b': object.?status, ?'c': object.metadata.?name}",
            json!({"a": 1, "c": "web"}),
        ),
        (
            "object.spec.containers.map(c, c.?ports[0].?containerPort.orValue(0))",
            json!([80, 0]),
        ),
        (
            "has(object.metadata.labels.app) && !has(object.metadata.labels.zone)",
            json!(true),
        ),
        ("has(object.spec) && !has(object.status)", json!(true)),
        ("has(params.path)", json!(true)),
        ("object.spec.containers.exists(c, has(c.env))", json!(true)),
        // Operators.
        ("1 + 2 * 3 % 4 - 5 / 2", json!(1)),
        ("'a' + 'b'", json!("ab")),
        ("[1] + [2]", json!([1, 2])),
        ("'a' < 'b' && 2 >= 2 && 1 != 2 && 1 <= 1 && 2.0 > 1.0", json!(true)),
        ("1 == 1.0", json!(true)),
        ("'a' in ['a'] && !('b' in {'a': 1}) && 'a' in {'a': 1}", json!(true)),
        ("true || 1 / 0 == 1", json!(true)),
        ("1 / 0 == 1 || true", json!(true)),
        ("1 / 0 == 1 && false", json!(false)),
        ("[1, 2] == [1, 2] && {'a': [1]} == {'a': [1]}", json!(true)),
        ("{'b': 1, 'a': null}", json!({"a": null, "b": 1})),
        // Macros.
        ("params.hosts.all(h, h.size() == 1)", json!(true)),
        ("params.hosts.exists(h, h == 'b')", json!(true)),
        ("params.hosts.exists_one(h, h == 'b')", json!(true)),
        ("params.hosts.filter(h, h != 'b')", json!(["a"])),
        ("params.hosts.map(h, h + ':80')", json!(["a:80", "b:80"])),
        ("params.hosts.map(h, h == 'a', h + ':80')", json!(["a:80"])),
        ("object.metadata.labels.map(k, k)", json!(["a/b", "app"])),
        (
            "object.spec.containers.exists(c, c.?env.orValue([]).exists(e, e.name == 'A'))",
            json!(true),
        ),
        ("[1, 2].map(x, [10, 20].map(y, x + y))", json!([[11, 21], [12, 22]])),
        ("[0, 1].exists(x, 1 / x == 1)", json!(true)),
        ("[].all(x, false) && ![].exists(x, true)", json!(true)),
        // Functions.
        ("string(params.port) + 'Mi'", json!("8080Mi")),
        ("string(true) + string(1.5) + string(1u)", json!("true1.51")),
        ("int('7') + int(1.9)", json!(8)),
        ("double('1.5')", json!(1.5)),
        ("bool('true')", json!(true)),
        ("size('äö') + 'äö'.size() + size([1]) + size({'a': 1})", json!(6)),
        ("'a,b'.split(',').join('-')", json!("a-b")),
        ("' a '.trim().upperAscii() + 'B'.lowerAscii()", json!("Ab")),
        (
            "'aXbX'.replace('X', '.') + 'aXbX'.replace('X', '.', 1) + 'aX'.replace('X', '', -1)",
            json!("a.b.a.bXa"),
        ),
        (
            "'abc'.substring(1) + 'abc'.charAt(0) + string('abc'.indexOf('c'))",
            json!("bca2"),
        ),
        (
            "'abc'.contains('b') && 'abc'.startsWith('a') && 'abc'.endsWith('c')",
            json!(true),
        ),
        (
            "'abc'.matches('^[a-c]+$') && params.path.matches('/' + 'var')",
            json!(true),
        ),
        (
            "'a1b22'.find('[0-9]+') + 'a1b22'.findAll('[0-9]+').join('')",
            json!("1122"),
        ),
        ("'%s-%d-%.2f'.format(['a', 1, 2.5])", json!("a-1-2.50")),
        ("math.greatest(1, 3) + math.least([4, 2]) + math.abs(-1)", json!(6)),
        ("sets.contains([1, 2], [1])", json!(true)),
        ("[3, 1, 2].sort().map(x, string(x)).join('')", json!("123")),
        ("[1, 2].sum() + [1, 2].min() + lists.range(3).size()", json!(7)),
        ("[1, 1].distinct() + [[1], [2]].flatten()", json!([1, 1, 2])),
        ("base64.encode(b'a')", json!("YQ==")),
        ("quantity('1Gi').isGreaterThan(quantity('500Mi'))", json!(true)),
        ("semver('1.2.3').major()", json!(1)),
        (
            "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.1.1') && isIP('::1')",
            json!(true),
        ),
        ("url('https://a.b:8/c').getHost()", json!("a.b:8")),
        ("!format.dns1123Label().validate('Ab').hasValue()", json!(false)),
        ("duration('1h').getMinutes()", json!(60)),
        (
            "quote('a\"\\n') + quote(1) + quote(['a', null])",
            json!("\"a\\\"\\n\"1[\"a\",null]"),
        ),
        ("dyn(1) == 1", json!(true)),
        // As Kubernetes' CEL, where the library does otherwise.
        ("string(1000000.0) + ' ' + string(123456.0)", json!("1e+06 123456")),
        ("string(0.0001) + ' ' + string(-0.00001)", json!("0.0001 -1e-05")),
        (
            "string(3.0) + ' ' + string(-0.0) + ' ' + string(1.0 / 0.0)",
            json!("3 -0 +Inf"),
        ),
        (
            "string(duration('90m')) + string(duration('-1.5s'))",
            json!("5400s-1.5s"),
        ),
        (
            "string(timestamp('2024-01-01T00:00:00.120Z')) + string(timestamp('2024-01-01T00:00:00+02:00'))",
            json!("2024-01-01T00:00:00.12Z2024-01-01T00:00:00+02:00"),
        ),
        ("timestamp('2024-03-01T00:00:00+02:00').getHours()", json!(22)),
        ("int(timestamp('1970-01-01T00:01:00Z'))", json!(60)),
        (
            "'%s %s %s %% %d'.format([1.0, duration('1s'), b'a', 2])",
            json!("1 1s a % 2"),
        ),
        (
            "['äb'.split(''), ''.split(''), 'äbc'.split('', 2)]",
            json!([["ä", "b"], [], ["ä", "bc"]]),
        ),
        (
            "['a,b'.split(',', 1), 'a,b'.split(',', 0), ''.split(',')]",
            json!([["a,b"], [], [""]]),
        ),
        (
            "'é'.matches(r'^\\w$') || '٣'.matches(r'^[\\d]$') || !'é'.matches(r'^\\W$')",
            json!(false),
        ),
        ("'a é'.findAll(r'\\b[a-z]\\b').size()", json!(1)),
        (
            "'a.b-c'.matches(r'^[\\w.-]+$') && 'a-b'.matches(r'^[\\w-]+$') && !'a b'.matches(r'^[^\\s]+$')",
            json!(true),
        ),
        ("b'a' + b'b' == b'ab' && b'a' < b'b'", json!(true)),
        ("isQuantity('1Mi ') || isCIDR('10.0.0.0/08')", json!(false)),
        (
            "format.named('uri').hasValue() && !format.named('nope').hasValue()",
            json!(true),
        ),
        ("math.bitShiftRight(-1024, 3)", json!(2_305_843_009_213_693_824_i64)),
        ("math.bitShiftRight(1, 64)", json!(0)),
    ];
    for (source, expected) in table {
        assert_eq!(evaluate(source).as_ref(), Ok(expected), "{source}");
    }
}

#[test]
fn expressions_fail_with_these_messages() {
    let table = [
        // When the policy is loaded.
        (
            "parms.path",
            "`parms.path`: unknown variable \"parms\"; did you mean params?",
        ),
        (
            "self",
            "unknown variable \"self\"; there is params, object, namespaceObject, request",
        ),
        ("[1].map(item, itm)", "unknown variable \"itm\"; did you mean item?"),
        ("params.paht", "unknown parameter \"paht\"; did you mean path"),
        ("params['prt'] + 1", "unknown parameter \"prt\"; did you mean port"),
        (
            "params.?xyz.orValue(1)",
            "unknown parameter \"xyz\"; there is path, port",
        ),
        ("has(params.prot)", "unknown parameter \"prot\"; did you mean port"),
        ("params[object.metadata.name]", "params can be read by name only"),
        ("size(params)", "params can be read by name only"),
        ("request.userInfo", "of request, only request.namespace can be read"),
        ("request", "of request, only"),
        ("namespaceObject.name", "of namespaceObject, only metadata.name"),
        ("namespaceObject.metadata.uid", "of namespaceObject, only metadata.name"),
        ("lenght('a')", "unknown function \"lenght\""),
        (
            "'a'.startWith('a')",
            "unknown function \"startWith\"; did you mean startsWith?",
        ),
        ("math.ab(1)", "unknown function \"math.ab\"; did you mean math.abs"),
        ("[1].map(1)", "map is written list.map(x, value)"),
        ("[1].map(1, 2)", "argument must be a simple name"),
        ("has(1)", "invalid argument to has()"),
        ("'a'.startsWith()", "startsWith takes 1 arguments, not 0"),
        ("size()", "size takes 1 arguments, not 0"),
        ("'a'.replace('b')", "replace takes 2 to 3 arguments, not 1"),
        ("Foo{a: 1}", "messages such as Name{field: value} are not known here"),
        (
            "[1].map(params, 1)",
            "a comprehension's variable cannot be called \"params\"",
        ),
        ("1 +", "it ends too early"),
        ("a b", "column "),
        ("'a'.matches('(')", "the pattern \"(\" is not valid: unclosed group"),
        // When a Pod arrives.
        (
            "object.metadata.labels.zone",
            "failed: no such key: \"zone\"; where it may be absent, write .?zone",
        ),
        ("object.status.phase", "no such key: \"status\""),
        (
            "object.metadata.name.first",
            "cannot select \"first\" from what is not a map",
        ),
        (
            "object.spec.containers[5].name",
            "index 5 is out of the list's range (it has 2 items)",
        ),
        ("object.spec.containers.map(c, c.ports)", "no such key: \"ports\""),
        ("[1][-1]", "index -1 is out of the list's range"),
        ("params.port + 'a'", "add has no overload for int and string"),
        ("params.port + 1.0", "add has no overload for int and double"),
        ("1 < 'a'", "int and string cannot be compared"),
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "add overflows"),
        (
            "params.port && true",
            "a condition must be true or false, not of the type int",
        ),
        (
            "!params.path",
            "a condition must be true or false, not of the type string",
        ),
        ("1 in 1", "in is for lists and maps, not for int"),
        (
            "1.map(x, x)",
            "a comprehension goes through a list or a map, not through int",
        ),
        (
            "params.port.startsWith('a')",
            "startsWith is for two strings, not int and string",
        ),
        ("size(1)", "cannot determine the size"),
        (
            "params.hosts.contains('a')",
            "contains is for two strings, not list and string",
        ),
        (
            "[1].join(',')",
            "join is for lists of strings; there is an item of the type int",
        ),
        ("optional.none().value()", "optional.none() dereference"),
        ("int('x')", "int: string parse error"),
        ("b'a'", "the result is of the type bytes; turn it into a string"),
        ("duration('1h')", "the result is of the type duration"),
        ("quantity('1')", "the result is of the type kubernetes.Quantity"),
        ("{1: 2}", "the result has the map key 1; keys must be strings"),
        ("1.0 / 0.0", "the result is inf, not a finite number"),
    ];
    for (source, expected) in table {
        let error = evaluate(source).expect_err(source);
        assert!(
            error.contains(expected),
            "{source}\n got      {error}\n expected {expected}"
        );
        assert!(error.starts_with("expression `"), "{error}");
    }
}

#[test]
fn what_is_not_there_cannot_be_read() {
    use crate::expr::{Expression, Scope};
    for (source, expected) in [
        ("object.spec", "object cannot be read here"),
        ("params.path", "the parameter \"path\" has no value"),
        ("request.namespace", "request cannot be read here"),
    ] {
        let error = Expression::compile(source, &super::VOCABULARY)
            .unwrap()
            .evaluate(&Scope::new())
            .unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn uses_name_what_is_read() {
    use crate::expr::Expression;
    let uses = |source: &str| Expression::compile(source, &super::VOCABULARY).unwrap().uses().clone();
    let both = uses("params.hosts.exists(h, h == params['path'] || h == object.metadata.name)");
    assert_eq!(both.params.iter().collect::<Vec<_>>(), ["hosts", "path"]);
    assert!(both.object && !both.request && !both.namespace_object);
    assert!(uses("request.namespace").request && uses("namespaceObject.metadata.name").namespace_object);
    assert!(uses("1 + 1").is_empty() && uses("has(object.spec)").object);
}

/// Every function of the table is one of ours or one that the library knows.
#[test]
fn the_table_of_functions_is_the_librarys() {
    use crate::expr::functions::{all, call_library, library_call};
    let mut missing = Vec::new();
    for function in all().filter(|function| !matches!(function.name, "quote" | "dyn" | "bool")) {
        let call = library_call(function.name, function.least, false);
        let arguments = vec![kube_cel::cel::Value::Null; function.least];
        if call_library(&call, arguments).is_err_and(|error| error.contains("Undeclared reference")) {
            missing.push(function.name);
        }
    }
    assert_eq!(missing, Vec::<&str>::new());
}
