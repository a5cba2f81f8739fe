use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{VOCABULARY, params};
use crate::expr::limits::{OBJECT_NODES, VALUE_WEIGHT};
use crate::expr::{Expression, Scope};

/// A Pod close to what may be read: 150 containers with 20 variables each.
fn large_pod() -> Value {
    let env: Vec<Value> = (0..20)
        .map(|i| json!({"name": format!("V{i}"), "value": "x".repeat(10)}))
        .collect();
    let containers: Vec<Value> = (0..150).map(|i| json!({"name": format!("c{i}"), "env": env})).collect();
    json!({"metadata": {"annotations": {"long": "a".repeat(60_000)}}, "spec": {"containers": containers}})
}

fn outcome(source: &str, pod: &Value) -> Result<Value, String> {
    let mut params = params();
    params.insert("path".to_string(), json!("aaaaaaaa".repeat(512)));
    Expression::compile(source, &VOCABULARY)?.evaluate(&Scope::new().params(&params).object(pod))
}

#[test]
fn hostile_expressions_are_refused_or_stopped() {
    let pod = large_pod();
    let doubled = format!("params.path{}", ".replace('a', 'aa')".repeat(40));
    let swollen = format!("params.path{}", ".replace('', params.path)".repeat(3));
    let quoted = format!("{}'\"'{}", "strings.quote(".repeat(22), ")".repeat(22));
    let encoded = format!("{}b'a'{}", "quote(".repeat(22), ")".repeat(22));
    let paired = format!("[params.path]{}", ".map(x, [x, x]).flatten()".repeat(30));
    let listed = format!("[1]{}", ".map(x, [x, x, x, x])".repeat(30));
    let added = "params.path+".repeat(100) + "'a'";
    let many = format!("[{}]", vec!["object"; 400].join(","));
    let table: Vec<(&str, &str)> = vec![
        (&doubled, "more than 65536 bytes"),
        (&swollen, "more than 65536 bytes"),
        (&quoted, "more than 65536 bytes"),
        (&encoded, "expression"),
        (&paired, "KiB"),
        (&listed, ""),
        (&added, "more than 65536 bytes"),
        (&many, "steps"),
        ("lists.range(1000000000)", "lists.range is for a number from 0 to 1000"),
        (
            "lists.range(1000).map(x, lists.range(1000).map(y, lists.range(1000).size()))",
            "steps",
        ),
        (
            "lists.range(1000).all(x, lists.range(1000).all(y, lists.range(1000).all(z, true)))",
            "steps",
        ),
        (
            "[1].map(a, [1].map(b, [1].map(c, [1].map(d, 1))))",
            "nested more than 3 deep",
        ),
        (
            "object.spec.containers.all(a, object.spec.containers.all(b, object.spec.containers.all(c, c != 1)))",
            "steps",
        ),
        (
            "object.spec.containers.map(a, object.spec.containers.map(b, object))",
            "KiB",
        ),
        ("object.spec.containers.map(a, object.spec.containers)", ""),
        ("lists.range(1000).map(x, params.path)", "KiB"),
        ("lists.range(1000).map(x, params.path).join('')", "KiB"),
        (
            "lists.range(15).map(x, params.path + params.path).join('')",
            "more than 65536 bytes",
        ),
        ("'%.999999999f'.format([1.0])", "a precision has at most two digits"),
        ("params.path.matches('(a{1000}){1000}')", "is too large; repeat less"),
        (
            "params.path.matches('a' + '{1000}{1000}{1000}')",
            "is too large; repeat less",
        ),
        ("lists.range(1000).map(x, 'a'.matches('a{900}' + string(x)))", "steps"),
        (
            "lists.range(1000).map(x, params.path.matches('(a|aa|aaa)*b$'))",
            "steps",
        ),
        (
            "lists.range(1000).map(x, object.metadata.annotations.long.matches('[ab]*a[ab]{900}c'))",
            "steps",
        ),
        (
            "lists.range(1000).map(x, object.metadata.annotations.long.matches('(a?){900}a{900}c'))",
            "",
        ),
        (
            "object.metadata.annotations.long.indexOf(object.metadata.annotations.long.substring(1) + 'b')",
            "",
        ),
        (
            "lists.range(900).map(x, object.metadata.annotations.long.indexOf(object.metadata.annotations.long))",
            "steps",
        ),
        (
            "lists.range(1000).map(x, lists.range(1000).map(y, string(x) + string(y)).distinct().size())",
            "steps",
        ),
        (
            "lists.range(1000).all(x, true || lists.range(1000).all(y, lists.range(1000).all(z, true)))",
            "",
        ),
        (
            "lists.range(1000).all(x, lists.range(1000).all(y, true)) || true",
            "steps",
        ),
        (
            "[1].exists(x, lists.range(1000).all(y, lists.range(1000).all(z, true)) || x == 1)",
            "steps",
        ),
        ("quantity('1e2147483647').isGreaterThan(quantity('1e-2147483648'))", ""),
        ("quantity('1E400').asInteger()", ""),
        ("timestamp('0001-01-01T00:00:00Z').getDayOfYear()", ""),
        ("timestamp('2024-03-31T00:00:00Z') - duration('9999999h')", ""),
        ("duration('999999999999999999999h')", ""),
        ("semver('999999999999999999999.0.0')", ""),
    ];
    for (source, expected) in table {
        let started = Instant::now();
        let result = outcome(source, &pod);
        let taken = started.elapsed();
        let shown = result.as_ref().map_or_else(String::clone, |_| "a value".to_string());
        println!(
            "{taken:>9.2?}  {source:.60}  {}",
            shown.split('`').next_back().unwrap_or_default()
        );
        let most = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 3 });
        assert!(taken < most, "{source} took {taken:?}");
        if !expected.is_empty() {
            let error = result.expect_err(source);
            assert!(
                error.contains(expected),
                "{source}\n got      {error}\n expected {expected}"
            );
        }
    }
}

#[test]
fn a_pod_with_too_many_values_cannot_be_read() {
    let items = |count: usize| json!({"spec": vec![0; count], "name": "x"});
    let small = items(OBJECT_NODES - 3);
    assert_eq!(outcome("object.name", &small), Ok(json!("x")));
    let error = outcome("object.name", &items(OBJECT_NODES)).unwrap_err();
    assert!(error.contains("the Pod has more than 20000 values"), "{error}");
    let large = json!({"text": "x".repeat(VALUE_WEIGHT), "name": "x"});
    assert_eq!(outcome("object.name", &large), Ok(json!("x")));
    assert!(outcome("object.text", &large).is_err());
    assert!(
        outcome("size(object)", &large)
            .unwrap_err()
            .contains("a value is larger than 512 KiB")
    );
}

#[test]
fn the_deepest_that_is_allowed_fits_a_small_stack() {
    let sources = [
        format!("{}1{}", "(".repeat(24), ")".repeat(24)),
        format!("{}1{}", "[".repeat(24), "]".repeat(24)),
        format!("{}1{}", "{'a':".repeat(24), "}".repeat(24)),
        format!("{}1{}", "quote(".repeat(24), ")".repeat(24)),
        format!("{}1", "true?1:".repeat(24)),
        format!("object{}", ".a".repeat(256)),
        format!("[1]{}", ".map(x,x)".repeat(127)),
        format!("{{}}{}", ".a".repeat(255)),
        format!("1{}", "+1".repeat(256)),
        format!("true{}", "||true".repeat(128)),
        format!("1{}", "==1".repeat(128)),
        format!("[0]{}", "[0]".repeat(255)),
    ];
    let pod = json!({});
    let work = move || {
        for source in &sources {
            let started = Instant::now();
            let result = outcome(source, &pod);
            println!("{:?} {:.50} {:.60}", started.elapsed(), source, format!("{result:?}"));
            assert!(
                !result.is_err_and(|error| error.contains("nested more") || error.contains("operators")),
                "{source}"
            );
            assert!(started.elapsed() < Duration::from_secs(5), "{source}");
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap();
}

/// Tokens in any order: nothing panics, nothing hangs.
#[test]
fn token_soup_is_an_error_or_a_value() {
    const TOKENS: [&str; 56] = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ".",
        ",",
        ":",
        "?",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "<",
        "<=",
        "==",
        "!=",
        "&&",
        "||",
        " in ",
        "params",
        "object",
        ".path",
        ".port",
        "'a'",
        "\"b\"",
        "r'\\'",
        "b'x'",
        "'''q'''",
        "1",
        "2u",
        "0x1",
        "1.5e3",
        "true",
        "null",
        ".map(x,",
        ".exists(y,",
        "x",
        "y",
        "has(",
        "size(",
        "math.abs(",
        ".?",
        "[?",
        ".orValue(",
        "é",
        "\n",
        "`a`",
        "optional.none()",
        "\\",
        "\"",
        "'",
        "in",
    ];
    // A deep panic message would fill the log; the hook is put back below.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let pod = json!({"a": [1, {"b": "c"}]});
    let (mut valid, mut slowest) = (0, Duration::ZERO);
    // The parser is slow without optimisation.
    let rounds = if cfg!(debug_assertions) { 4_000 } else { 20_000 };
    for _ in 0..rounds {
        let source: String = (0..=random(14)).map(|_| TOKENS[random(TOKENS.len())]).collect();
        let started = Instant::now();
        let compiled = std::panic::catch_unwind(|| outcome(&source, &pod));
        slowest = slowest.max(started.elapsed());
        assert!(compiled.is_ok(), "panic: {source}");
        valid += usize::from(compiled.is_ok_and(|result| result.is_ok()));
        assert!(started.elapsed() < Duration::from_secs(2), "{source}");
    }
    std::panic::set_hook(hook);
    println!("{valid} of {rounds} have a value; the slowest took {slowest:?}");
}
