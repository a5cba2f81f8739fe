//! Tables of expressions, templates and hostile input.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bounds;
mod expressions;
mod scanning;
mod speed;
mod templates;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Expression, Scope, Vocabulary, namespace_object};
use crate::params::ParameterType;

const VOCABULARY: Vocabulary<'static> = Vocabulary {
    params: &[
        ("path", ParameterType::String),
        ("port", ParameterType::Integer),
        ("ratio", ParameterType::Number),
        ("debug", ParameterType::Boolean),
        ("hosts", ParameterType::StringList),
        ("evil", ParameterType::String),
    ],
};

fn params() -> BTreeMap<String, Value> {
    let values = json!({"path": "/var/log", "port": 8080, "ratio": 2.0, "debug": true, "hosts": ["a", "b"],
        "evil": "$(SECRET)\n\"}] ${x} {{y}} : - "});
    values.as_object().unwrap().clone().into_iter().collect()
}

fn pod() -> Value {
    json!({
        "metadata": {"name": "web", "labels": {"app": "web", "a/b": "c"}, "annotations": {}},
        "spec": {
            "containers": [
                {"name": "web", "image": "nginx:1", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]},
                {"name": "other", "image": "busybox"}
            ],
            "terminationGracePeriodSeconds": 30
        }
    })
}

fn namespace() -> Value {
    namespace_object(
        "shop",
        &BTreeMap::from([("team".to_string(), "web".to_string())]),
        &BTreeMap::new(),
    )
}

/// Compiles and evaluates; both kinds of errors.
fn evaluate(source: &str) -> Result<Value, String> {
    let (params, pod, namespace) = (params(), pod(), namespace());
    let scope = Scope::new()
        .params(&params)
        .object(&pod)
        .namespace_object(&namespace)
        .request_namespace("shop");
    Expression::compile(source, &VOCABULARY)?.evaluate(&scope)
}

#[test]
fn what_is_compiled_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Expression>();
    shared::<super::Template>();
    shared::<crate::params::Parameter>();
    shared::<crate::selector::Selector>();
}
