//! Compared with `serde_json`, which must be of the same opinion about every text.
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::from_str;

/// Reads a text both ways, and passes over it both ways.
#[track_caller]
fn compare(text: &str) {
    let (ours, theirs) = (from_str::<Value>(text), serde_json::from_str::<Value>(text));
    match (&ours, &theirs) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "{text}"),
        (Err(_), Err(_)) => {}
        _ => panic!("{text}\nours: {ours:?}\nserde_json's: {theirs:?}"),
    }
    let (ours, theirs) = (from_str::<&RawValue>(text), serde_json::from_str::<&RawValue>(text));
    if let Ok(theirs) = theirs {
        assert_eq!(ours.unwrap().get(), theirs.get(), "{text}");
        // Where a value ends is told whatever comes after it.
        let more = format!("[{text},\"]}}\\\"\", {text}]");
        let items: Vec<&RawValue> = from_str(&more).unwrap();
        assert_eq!([items[0].get(), items[2].get()], [theirs.get(); 2], "{text}");
    }
    let _ = from_str::<IgnoredAny>(text);
}

#[test]
fn what_is_json_and_what_is_none() {
    for text in [
        "",
        " ",
        "null",
        "nul",
        "nulls",
        "n",
        "true",
        "tru",
        "false",
        "fals",
        "falsey",
        "None",
        "0",
        "-",
        "-0",
        "00",
        "01",
        "-01",
        "1.",
        ".1",
        "1.5",
        "1.5e",
        "1e5",
        "1E+5",
        "1e-5",
        "1e+",
        "1e999",
        "-1e999",
        "1-2",
        "+1",
        "0x1",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808",
        "-9223372036854775809",
        "1 2",
        "\"",
        "\"a",
        "\"a\"",
        "\"a\\\"",
        "\"\\\"\"",
        "\"\\",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\ud83d\"",
        "\"\\ude00\"",
        "\"\\ud83d\\u0041\"",
        "\"\n\"",
        "\"\u{1f}\"",
        "\"\u{7f}é😀\"",
        "\"sixteen bytes!!!\"",
        "\"sixteen bytes!!\\n\"",
        "\"seventeen bytes!!\u{1}\"",
        "[]",
        "[",
        "]",
        "[]]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2",
        " [ 1 , [ ] , { } ] ",
        "{}",
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\" : 1}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\",1}",
        "{\"a\":1,\"a\":2}",
        "{\"\\u0061\":1}",
        "{\"\\q\":1}",
        "[}",
        "{]",
        "[1}",
        "{\"a\":1]",
        "\u{feff}{}",
        "\t\r\n 1 \t\r\n",
        "\u{a0}1",
        "\u{c}1",
        "[true,false,null]",
        "[truefalse]",
        "{\"a\":tru}",
        "[nul]",
        "[\"a\"\"b\"]",
    ] {
        compare(text);
    }
}

#[test]
fn a_text_that_is_cut_off_or_has_one_byte_changed_is_judged_alike() {
    let text = json!({"a b": [1, -2.5e3, "x\n\u{e9}\u{1f600}", null, true, {}], "metadata": {"name": "a rather long name, over sixteen"}}).to_string();
    for at in (0..text.len()).filter(|at| text.is_char_boundary(*at)) {
        compare(&text[..at]);
        for other in [
            "\"", "\\", "{", "}", "[", "]", ",", ":", " ", "0", "-", "e", ".", "n", "\u{1}", "é",
        ] {
            let rest = &text[at..];
            let skipped = rest.chars().next().map_or(0, char::len_utf8);
            compare(&format!("{}{other}{}", &text[..at], &rest[skipped..]));
            compare(&format!("{}{other}{rest}", &text[..at]));
        }
    }
}

#[test]
fn it_reads_as_deep_as_serde_json_and_passes_over_what_is_deeper() {
    for depth in [1, 63, 64, 65, 126, 127, 128, 129, 1000] {
        for (open, inner, close) in [
            ("[", "", "]"),
            ("{\"a\":", "1", "}"),
            ("[{\"a\":[1],\"b\":", "[]", "},2]"),
        ] {
            let whole = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            compare(&whole);
            compare(&format!("{whole}]"));
            assert!(from_str::<IgnoredAny>(&format!("{whole}]")).is_err());
            for end in [1, whole.len() / 2, whole.len() - 1] {
                assert!(from_str::<IgnoredAny>(&whole[..end]).is_err(), "{}", &whole[..end]);
            }
        }
    }
}

/// Runs of backslashes and quotes at each place of a block, and across its end.
#[test]
fn strings_end_where_they_end() {
    for before in 0..70 {
        for backslashes in 0..6 {
            let text = format!(
                r#"[{:before$}"{}]","{}\"]", {{}} ]"#,
                "",
                "\\\\".repeat(backslashes),
                "\\".repeat(2 * backslashes)
            );
            let theirs: &RawValue = serde_json::from_str(&text).unwrap();
            assert_eq!(from_str::<&RawValue>(&format!(" {text} ")).unwrap().get(), theirs.get());
        }
    }
}

#[test]
fn what_is_passed_over_may_be_anything_that_ends() {
    for text in [r#"{"a" 1 tru}"#, r#"["\q", ,]"#, "[1}", "[\u{1}]"] {
        let whole = format!(r#"{{"skipped": {text}, "read": 1}}"#);
        #[derive(Debug, serde::Deserialize)]
        struct Whole {
            read: u8,
        }
        assert_eq!(from_str::<Whole>(&whole).unwrap().read, 1, "{text}");
        assert!(from_str::<Value>(&whole).is_err(), "{text}");
    }
    for text in ["[", r#"{"a": "}"#, r#"["\"]"#, "[[]", "]", "tru", r#""\q""#, "01", ""] {
        assert!(from_str::<IgnoredAny>(text).is_err(), "{text}");
    }
}

#[test]
fn an_error_says_where_it_was_found() {
    for (text, expected) in [
        ("{\n  \"a\": tru\n}", "expected ident at line 2 column 7"),
        ("[1, 2\n,\n3 4]", "expected `,` or `]` at line 3 column 2"),
        ("{\"a\": \"\\q\"}", "invalid escape at line 1 column 10"),
        ("", "EOF while parsing at line 1 column 0"),
    ] {
        assert_eq!(from_str::<Value>(text).unwrap_err().to_string(), expected, "{text}");
    }
    let error = from_str::<Vec<String>>("[\"a\", 7]").unwrap_err().to_string();
    assert_eq!(error, "invalid type: integer `7`, expected a string at line 1 column 7");
}

fn values() -> impl Strategy<Value = Value> {
    let text = prop_oneof!["[ -~]{0,40}", "\\PC{0,20}", "[\u{0}-\u{20}\"\\\\]{0,6}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_read_as_serde_json_reads_it(value in values()) {
        compare(&value.to_string());
        compare(&serde_json::to_string_pretty(&value).unwrap());
    }

    #[test]
    fn what_is_nearly_json_is_judged_alike(value in values(), edits in prop::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{},:\"\\\\0-9eE.+\\- ntf\u{1}]", any::<bool>()), 1..4)) {
        let mut text: Vec<char> = value.to_string().chars().collect();
        for (index, other, replace) in edits {
            let at = index.index(text.len() + 1);
            let until = if replace { (at + 1).min(text.len()) } else { at };
            text.splice(at..until, other.chars());
        }
        compare(&text.into_iter().collect::<String>());
    }
}
