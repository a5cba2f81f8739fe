use crate::expr::scan::{Piece, check, pieces};

fn shown(text: &str) -> String {
    match pieces(text) {
        Ok(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => format!("<{text}>"),
                Piece::Expression(source) => format!("[{source}]"),
            })
            .collect(),
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn an_expression_ends_where_its_tokens_say() {
    let table = [
        ("", "<>"),
        ("plain", "<plain>"),
        ("${a}", "[a]"),
        ("x${a}y${b}", "<x>[a]<y>[b]"),
        ("${a}${b}", "[a][b]"),
        ("${ {'a': {'b': 1}}['a'] }", "[ {'a': {'b': 1}}['a'] ]"),
        ("${'}'}", "['}']"),
        ("${\"}\"}!", "[\"}\"]<!>"),
        (r"${'\'}'}", r"['\'}']"),
        (r"${r'\'}", r"[r'\']"),
        (r"${R'\}'}", r"[R'\}']"),
        (r"${b'}'}", r"[b'}']"),
        (r"${br'\'}", r"[br'\']"),
        (r"${bar'}'}", r"[bar'}']"),
        ("${'''}'}'''}", "['''}'}''']"),
        ("${\"\"\"\n}\"}\"\"\"}", "[\"\"\"\n}\"}\"\"\"]"),
        ("${r'''\\'''}", "[r'''\\''']"),
        ("${''}", "['']"),
        ("${a // }\n}", "[a // }\n]"),
        ("$${a}", "<${a}>"),
        ("$$${a}", "<$${a}>"),
        ("$(A) $ $$ {b} $", "<$(A) $ $$ {b} $>"),
        ("$$(${a})", "<$$(>[a]<)>"),
        ("é${'ü}'}ö", "<é>['ü}']<ö>"),
        (
            "${a",
            "error: an expression is not closed: ${ without its }; write $${ for a literal ${",
        ),
        (
            "${'a}",
            "error: a string in an expression is not closed: a ' is missing",
        ),
        (
            "${'a\n'}",
            "error: a string in an expression is not closed: a ' is missing",
        ),
        (
            "${'''a'}",
            "error: a string in an expression is not closed: a ' is missing",
        ),
        (
            r"${'\",
            "error: a string in an expression is not closed: a ' is missing",
        ),
        (
            "${ {a}",
            "error: an expression is not closed: ${ without its }; write $${ for a literal ${",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_the_parser_could_not_bear_is_refused_before() {
    let table = [
        ("", "the expression is empty; write $${ for a literal ${"),
        (" // nothing", "the expression is empty; write $${ for a literal ${"),
        ("!!a", "write x instead of !!x"),
        ("! !a", "write x instead of !!x"),
        ("--a", "write x instead of --x"),
        ("a + - -a", "write x instead of --x"),
    ];
    for (source, expected) in table {
        assert_eq!(check(source), Err(expected.to_string()), "{source}");
    }
    for source in ["a - -1", "a != !b", "-1 - -a", "(-a) - (-b)", "a[-1]"] {
        assert_eq!(check(source), Ok(()), "{source}");
    }
    let deep = [
        "(".repeat(10_000),
        "[".repeat(3000),
        "{1:".repeat(1000),
        "a?b:".repeat(500),
        "f(".repeat(900),
    ];
    let long = [
        "a".repeat(5000),
        ".a".repeat(1000),
        "1+".repeat(1000),
        "!a||".repeat(300),
        "a[0]".repeat(300),
    ];
    for source in deep.iter().chain(&long) {
        let error = check(source).unwrap_err();
        let known = ["bytes", "nested more than", "operators"];
        assert!(known.iter().any(|part| error.contains(part)), "{error}");
    }
}
