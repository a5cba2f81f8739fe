//! The table of `docs/expressions.md`, and what its rows go by. Read by the fast tests, which compare the engine with the table, and
//! by those with a cluster, which compare it with an API server.
#![allow(dead_code, reason = "each of the two reads a part of it")]
use outrigger_engine::expr::{Expression, Scope, Vocabulary, namespace_object};
use outrigger_engine::params::ParameterType;
use outrigger_harness::Page;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const PARAMETERS: [(&str, ParameterType); 5] = [
    ("path", ParameterType::String),
    ("port", ParameterType::Integer),
    ("ratio", ParameterType::Number),
    ("debug", ParameterType::Boolean),
    ("hosts", ParameterType::StringList),
];

/// A row.
#[derive(Debug)]
pub struct Row {
    pub expression: String,
    pub result: Value,
    /// It has no meaning for an API server.
    pub only_here: bool,
}

/// The page.
pub struct Table(pub Page);

impl Table {
    pub fn read() -> Table {
        Table(Page::read("docs/expressions.md"))
    }

    pub fn rows(&self) -> Vec<Row> {
        self.0
            .table("| expression | result |")
            .iter()
            .map(|cells| row(cells))
            .collect()
    }

    /// The namespace and the Pod that the rows go by.
    pub fn facts(&self) -> (Value, Value) {
        let block = self.0.block("yaml", "kind: Namespace");
        let mut documents: Vec<Value> = serde_saphyr::from_multiple(&block).unwrap();
        let pod = documents.pop().unwrap();
        (documents.pop().unwrap(), pod)
    }
}

fn row(cells: &[String]) -> Row {
    let [expression, result] = cells else {
        panic!("not two cells: {cells:?}");
    };
    let (result, only_here) = match result.strip_suffix(" †") {
        Some(result) => (result, true),
        None => (result.as_str(), false),
    };
    let code = |cell: &str| {
        cell.strip_prefix('`')
            .and_then(|cell| cell.strip_suffix('`'))
            .map(str::to_owned)
    };
    let result = code(result).unwrap_or_else(|| panic!("not in backticks: {result}"));
    Row {
        expression: code(expression).unwrap_or_else(|| panic!("not in backticks: {expression}")),
        result: serde_json::from_str(&result).unwrap_or_else(|error| panic!("{result}: {error}")),
        only_here,
    }
}

/// What the engine makes of an expression.
pub fn evaluate(source: &str, namespace: &Value, pod: &Value) -> Result<Value, String> {
    let params = json!({"path": "/var/log/nginx", "port": 8080, "ratio": 0.5, "debug": true, "hosts": ["a", "b"]});
    let params: BTreeMap<String, Value> = serde_json::from_value(params).unwrap();
    let texts = |pointer| -> BTreeMap<String, String> {
        serde_json::from_value(namespace.pointer(pointer).cloned().unwrap_or(json!({}))).unwrap()
    };
    let name = namespace["metadata"]["name"].as_str().unwrap();
    let namespace = namespace_object(name, &texts("/metadata/labels"), &texts("/metadata/annotations"));
    let expression = Expression::compile(source, &Vocabulary { params: &PARAMETERS })?;
    let scope = Scope::new().params(&params).object(pod).namespace_object(&namespace);
    expression.evaluate(&scope.request_namespace(name))
}
