//! Manifests are read as kubectl reads them, and what is written is read by kubectl as the value that was there.
use outrigger::manifest::{self, Target};
use outrigger_harness::{
    assets::{Program, program},
    demand::available,
};
use serde_json::Value;
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Values that kubectl reads, and that we read alike.
const SAME: &[&str] = &[
    // Words.
    "true",
    "True",
    "TRUE",
    "tRUE",
    "false",
    "yes",
    "Yes",
    "YES",
    "yEs",
    "no",
    "No",
    "NO",
    "on",
    "On",
    "ON",
    "off",
    "OFF",
    "y",
    "Y",
    "n",
    "N",
    "null",
    "Null",
    "NULL",
    "~",
    "",
    "nUll",
    "Nil",
    "none",
    // Whole numbers.
    "0",
    "-0",
    "+0",
    "5",
    "+5",
    "-5",
    "0644",
    "0o644",
    "0O644",
    "-0644",
    "+0644",
    "08",
    "09",
    "0_644",
    "0x1F",
    "0X1f",
    "-0x1F",
    "0b101",
    "-0b101",
    "+0b1",
    "0B11",
    "1_000",
    "1__0",
    "1_",
    "_1",
    "0x",
    "0b2",
    "0o8",
    "00",
    "007",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "+9223372036854775808",
    "12345678901234567890123",
    "0x_1",
    // Others.
    "1.0",
    "0.1",
    "-1.5",
    "1.",
    ".5",
    "-.5",
    "+.5",
    "1e3",
    "1E3",
    "1e+3",
    "1e-3",
    "1.5e300",
    "1e400",
    "1e-400",
    "-0.0",
    "1.e3",
    ".e3",
    "1e",
    "1_0.5",
    "0.1_5",
    "1.2.3",
    "1e2e3",
    "3.14159265358979323846264338327950288",
    "100000000000000000000",
    "1e21",
    "1e20",
    "1e-7",
    "0.0000001",
    "+-1",
    "--1",
    "+",
    ".",
    "..",
    "...a",
    "-.",
    "0x1p4",
    "1,000",
    "1 000",
    "Infinity",
    "NaN",
    "inf",
    "0d1",
    "1f",
    "١٢",
    // What other readers take for dates and times.
    "12:30:00",
    "1:30",
    "190:20:30",
    "2001-01-01",
    "2001-1-1",
    "2001-12-14t21:59:43.10-05:00",
    "2001-12-14 21:59:43.10 -5",
    "2001-99-99",
    // Strings without quotes.
    "a b",
    "a:b",
    "a#b",
    "http://a/b?c=d&e=f",
    "/a/b",
    "$(A)",
    "${A}",
    "=",
    "<<",
    "a\\b",
    "it's",
    "say \"x\"",
    "-a",
    "--flag=x",
    "-1a",
    "?a",
    ":a",
    "a,b",
    "a]",
    "(x)",
    "a & b",
    "a * b",
    "a | b",
    "a > b",
    "a ! b",
    "a % b",
    "^a$",
    "é",
    "🚀",
    "日本",
    // In quotes.
    "\"\"",
    "''",
    "\"yes\"",
    "'0644'",
    "\"1e3\"",
    "\"~\"",
    "\"null\"",
    "\" x\"",
    "\"x \"",
    "\"\\tx\"",
    "\"a\\nb\"",
    "\"a\\nb\\n\"",
    "\"a\\n\\n\"",
    "\"\\n\"",
    "\"\\n\\na\"",
    "\" a\\nb\"",
    "\"a\\n b\\n  c\\n\"",
    "\"a \\nb\\t\\n\"",
    "\"a\\r\\nb\"",
    "\"\\r\"",
    "\"\\0\\a\\b\\e\\x7f\"",
    "\"\\x85\\xa0\"",
    "\"\\u2028\\u2029\\ufeff\"",
    "\"\\U0001F680\"",
    "\"a\\\\b\"",
    "\"#\"",
    "\"a #b\"",
    "\"a: b\"",
    "\"a:\"",
    "\":\"",
    "\"-\"",
    "\"- a\"",
    "\"---\"",
    "\"--- a\"",
    "\"...\"",
    "\"?\"",
    "\"? a\"",
    "\"@a\"",
    "\"`a\"",
    "\"%a\"",
    "\"!a\"",
    "\"&a\"",
    "\"*a\"",
    "\"|\"",
    "\">\"",
    "\"{\"",
    "\"}\"",
    "\"[\"",
    "\"{a: b}\"",
    "\",\"",
    "'it''s'",
    "\"=\"",
    "\"<<\"",
    "\"12:30:00\"",
    "\"2001-01-01\"",
    "\".inf\"",
    "\"0x1F\"",
    "\"1_000\"",
    "\"- \"",
    "\"a\\tb\"",
    "\"\\t\"",
    "\"é🚀\"",
    "\"\\ufffd\"",
    "\"a\n    b\"",
    "'a\n\n    b'",
    "\"a\\\n    b\"",
    "a\n    b",
    "a\n\n    b",
    // Blocks.
    "|\n    a\n    b\n",
    "|-\n    a\n    b\n",
    "|+\n    a\n\n\n",
    ">\n    a\n    b\n\n    c\n",
    ">-\n    a\n      b\n    c\n",
    "|2\n     a\n    b\n",
    "|\n    a\n\n    b\n",
    "|\n    a\n      \n    b\n",
    "|\n    a  \n    b\t\n",
    "|\n    # no comment\n    --- a\n",
    "|\n",
    "|+\n\n",
    // Collections.
    "[]",
    "{}",
    "[1, yes, 'no', ~]",
    "{a: 1, 'b': [x]}",
    "[[1, [2]], {a: {b: c}}]",
    "[a, b,]",
    "{a, b: 1}",
    "\n    - a\n    -\n    - - b\n      - c\n",
    "\n  - a\n  - b: 1\n    c: 2\n",
    "\n    a:\n    b: {}\n    c: []\n",
    "{\"a\":1}",
    "[\"a\",\"b\"]",
    "{? a : b}",
    // Keys.
    "{1: a}",
    "{-1: a}",
    "{0x10: a}",
    "{yes: a}",
    "{off: a}",
    "{'yes': a}",
    "{n: 1}",
    "{2001-01-01: a}",
    "{\"\": a}",
    "{'~': a}",
    "{'1.5': a}",
    "{\"a b\": 1}",
    "{'a: b': 1}",
    "{\"<<\": a}",
    "{'=': a}",
    "{a: {<<: {b: 1}}}",
    // Tags.
    "!!str 5",
    "!!str yes",
    "!!str",
    "!!int \"5\"",
    "!!int 0644",
    "!!float 5",
    "!!float \"1.5\"",
    "!!bool \"yes\"",
    "!!null ''",
    "!!null ~",
    "!!binary aGVsbG8=",
    "! 5",
    "! \"5\"",
    "!foo 5",
    "!foo bar",
    "!foo {a: 1}",
    "!!map {a: 1}",
    "!!seq [1]",
    "!!set {a: 1}",
    "!<tag:yaml.org,2002:str> 5",
    // Anchors and merge keys.
    "[&a 1, *a]",
    "{x: &a {b: 1}, y: *a}",
    "{x: &a {b: 1, c: 2}, y: {<<: *a, b: 3}}",
    "{x: &a {b: 1}, y: {b: 3, <<: *a}}",
    "{x: &a {b: 1}, z: &c {b: 2, d: 1}, y: {<<: [*a, *c]}}",
    "{<<: {a: 1}, <<: {b: 2}}",
    "[&a x, &a y, *a]",
    "{&k a: 1, b: *k}",
];

/// Values that kubectl reads and we refuse: what they are would be lost, or is nobody's intention.
const REFUSED: &[&str] = &[
    "{a: 1, a: 2}",
    "{1: a, '1': b}",
    "{1.5: a}",
    "!!timestamp 2001-01-01",
    "!!binary /w==",
];

/// Values that neither reads.
const BROKEN: &[&str] = &[
    "-",
    ".inf",
    "-.INF",
    ".nan",
    "!!int x",
    "!!int 1.5",
    "!!float x",
    "!!bool 1",
    "!!null x",
    "!!binary ====",
    "{~: a}",
    "{[a]: b}",
    "{{a: b}: c}",
    "{<<: 1}",
    "{<<: [1]}",
    "*nowhere",
    "&a [*a]",
    "[a",
    "\"a",
    "a: b",
    "@a",
    "`a",
    "%a",
    "[a]]",
    "{18446744073709551615: a}",
];

fn document(value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n  v: {value}\n")
}

fn ours(text: &str) -> Result<(manifest::Part, manifest::Value), String> {
    let parts = manifest::split(text).map_err(|error| error.to_string())?;
    let [part] = &parts[..] else {
        panic!("not one document:\n{text}")
    };
    let value = part.read(text).map_err(|error| error.to_string())?;
    Ok((part.clone(), value.expect("a document")))
}

struct Kubectl(PathBuf);

impl Kubectl {
    /// What kubectl reads, without asking a server.
    fn read(&self, stream: &str) -> Result<Vec<Value>, String> {
        let arguments = [
            "patch", "--local", "-f", "-", "--type", "merge", "--patch", "{}", "-o", "json",
        ];
        let mut kubectl = Command::new(&self.0)
            .args(arguments)
            .env("KUBECONFIG", "/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("failed to start kubectl");
        let mut stdin = kubectl.stdin.take().expect("a pipe");
        let text = stream.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
        let output = kubectl.wait_with_output().expect("kubectl");
        let _ = writer.join();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let documents = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
        Ok(documents.map(|document| document.expect("JSON")).collect())
    }

    /// Each document of many, by one call when all of them can be read.
    fn read_each(&self, documents: &[String]) -> Vec<Result<Value, String>> {
        match self.read(&documents.join("---\n")) {
            Ok(values) if values.len() == documents.len() => values.into_iter().map(Ok).collect(),
            _ if documents.len() == 1 => vec![self.read(&documents[0]).map(|mut values| values.remove(0))],
            _ => {
                let (first, second) = documents.split_at(documents.len() / 2);
                [self.read_each(first), self.read_each(second)].concat()
            }
        }
    }
}

fn kubectl() -> Option<Kubectl> {
    available(program(Program::Kubectl)).map(Kubectl)
}

/// kubectl holds numbers as floats unless they are whole and small.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| same(value, other)))
        }
        _ => one == other,
    }
}

#[test]
fn every_scalar_means_what_it_means_to_kubectl_and_is_written_so_that_it_stays() {
    let Some(kubectl) = kubectl() else { return };
    let documents: Vec<String> = SAME.iter().map(|value| document(value)).collect();
    let theirs = kubectl.read_each(&documents);
    let mut wrong = Vec::new();
    let mut written = Vec::new();
    for ((value, text), theirs) in SAME.iter().zip(&documents).zip(theirs) {
        match (ours(text), theirs) {
            (Ok((part, ours)), Ok(theirs)) => {
                let stored = ours.stored().unwrap();
                if !same(&stored["data"], &theirs["data"]) {
                    wrong.push(format!(
                        "{value:?}: kubectl reads {}, we {}",
                        theirs["data"], stored["data"]
                    ));
                }
                let rewritten = manifest::rewrite(text, &part, &ours, Target::Yaml).unwrap();
                written.push((value, rewritten, theirs["data"].clone()));
            }
            (ours, theirs) => wrong.push(format!(
                "{value:?}: kubectl {theirs:?}, we {:?}",
                ours.map(|ours| ours.1.stored())
            )),
        }
    }
    let texts: Vec<String> = written.iter().map(|(_, text, _)| text.clone()).collect();
    for ((value, text, before), after) in written.iter().zip(kubectl.read_each(&texts)) {
        if !after.as_ref().is_ok_and(|after| same(&after["data"], before)) {
            wrong.push(format!(
                "{value:?} is written as {text:?}, which kubectl reads as {after:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let Some(kubectl) = kubectl() else { return };
    let mut wrong = Vec::new();
    for (value, kubectl_reads) in REFUSED
        .iter()
        .map(|value| (value, true))
        .chain(BROKEN.iter().map(|value| (value, false)))
    {
        let text = document(value);
        let theirs = kubectl.read(&text);
        if theirs.is_ok() != kubectl_reads {
            wrong.push(format!("{value:?}: kubectl {theirs:?}"));
        }
        if let Ok((_, ours)) = ours(&text) {
            wrong.push(format!("{value:?}: we read {:?}", ours.stored()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Strings that look like something else, and keys of them, in every style.
#[test]
fn strings_stay_strings() {
    let Some(kubectl) = kubectl() else { return };
    let mut texts: Vec<String> = SAME
        .iter()
        .chain(REFUSED)
        .chain(BROKEN)
        .map(|text| (*text).to_owned())
        .collect();
    texts.extend(
        (0..=0x2ff_u32)
            .chain(0x2020..0x2030)
            .filter_map(char::from_u32)
            .flat_map(|c| [c.to_string(), format!("a{c}b"), format!("{c} {c}\n")]),
    );
    texts.extend(["x".repeat(500), "a b ".repeat(200)]);
    let (mut documents, mut expected) = (Vec::new(), Vec::new());
    for chunk in texts.chunks(200) {
        let list: Vec<Value> = chunk.iter().map(|text| Value::from(text.as_str())).collect();
        let keys: serde_json::Map<String, Value> = chunk.iter().map(|text| (text.clone(), 1.into())).collect();
        let json = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"list": list, "keys": keys}});
        let text = json.to_string();
        let (part, value) = ours(&text).unwrap();
        documents.push(manifest::rewrite(&text, &part, &value, Target::Yaml).unwrap());
        // Also within brackets, as they were in a document that was written so.
        let flow = flow(&json["data"]);
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata: {flow}\n");
        let (part, value) = ours(&text).unwrap();
        documents.push(manifest::rewrite(&text, &part, &value, Target::Yaml).unwrap());
        expected.extend([json["data"].clone(), json["data"].clone()]);
    }
    for (text, (read, expected)) in documents
        .iter()
        .zip(kubectl.read_each(&documents).into_iter().zip(expected))
    {
        let read = read.unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(read["data"]["keys"], expected["keys"]);
        for (read, expected) in read["data"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .zip(expected["list"].as_array().unwrap())
        {
            assert_eq!(read, expected);
        }
    }
}

/// JSON with every character escaped that YAML would take for something else.
fn flow(value: &Value) -> String {
    let json = value.to_string();
    let mut text = String::new();
    for c in json.chars() {
        match u32::from(c) {
            code @ (0x7f..=0xa0 | 0xad | 0x2028 | 0x2029 | 0xfeff) => text += &format!("\\u{code:04x}"),
            _ => text.push(c),
        }
    }
    text
}

#[test]
fn the_bundled_examples_are_read_as_kubectl_reads_them() {
    let Some(kubectl) = kubectl() else { return };
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/log-saver/example.yaml")).unwrap();
    let (_, value) = ours(&text).unwrap();
    assert!(same(&value.stored().unwrap(), &kubectl.read(&text).unwrap()[0]));
}
