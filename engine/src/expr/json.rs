//! JSON to CEL's values and back, as Kubernetes does it.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, Map, OptionalValue};
use serde_json::{Number, Value as Json};

/// The CEL value of a JSON value: whole numbers without a point are signed, as in Kubernetes, so that `params.port + 1`
/// has an overload.
pub(super) fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => from_number(number),
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(from_json).collect())),
        Json::Object(entries) => {
            let map: HashMap<Key, Value> = entries
                .iter()
                .map(|(key, value)| (Key::String(Arc::new(key.clone())), from_json(value)))
                .collect();
            Value::Map(Map { map: Arc::new(map) })
        }
    }
}

fn from_number(number: &Number) -> Value {
    match (number.as_i64(), number.as_u64()) {
        (Some(whole), _) => Value::Int(whole),
        (None, Some(large)) => Value::UInt(large),
        (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The JSON value of a result; maps come out sorted by key. `None` is an optional without a value, which counts as null.
pub(super) fn to_json(value: &Value) -> Result<Json, String> {
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(whole) => Json::from(*whole),
        Value::UInt(whole) => Json::from(*whole),
        Value::Float(float) => {
            Json::Number(Number::from_f64(*float).ok_or_else(|| format!("the result is {float}, not a finite number"))?)
        }
        Value::String(text) => Json::String(text.to_string()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Value::Map(map) => Json::Object(entries(map)?),
        other => return to_json_from_other(other),
    })
}

fn entries(map: &Map) -> Result<serde_json::Map<String, Json>, String> {
    let mut entries: Vec<(&str, &Value)> = Vec::with_capacity(map.map.len());
    for (key, value) in map.map.iter() {
        match key {
            Key::String(name) => entries.push((name, value)),
            other => return Err(format!("the result has the map key {other}; keys must be strings")),
        }
    }
    entries.sort_by_key(|(name, _)| *name);
    entries
        .into_iter()
        .map(|(name, value)| Ok((name.to_string(), to_json(value)?)))
        .collect()
}

fn to_json_from_other(value: &Value) -> Result<Json, String> {
    match <&OptionalValue>::try_from(value) {
        Ok(optional) => optional.value().map_or(Ok(Json::Null), to_json),
        Err(_) => Err(format!(
            "the result is of the type {}; turn it into a string",
            type_name(value)
        )),
    }
}

/// CEL's name of a value's type.
pub(super) fn type_name(value: &Value) -> String {
    match value {
        Value::Float(_) => "double".to_string(),
        Value::Opaque(opaque) => opaque.runtime_type_name().to_string(),
        other => other.type_of().to_string(),
    }
}

/// 16 for every node plus the bytes of the strings.
pub(super) fn weight(value: &Value) -> usize {
    16 + match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.iter().map(weight).sum(),
        Value::Map(map) => map.map.iter().map(|(key, value)| key_weight(key) + weight(value)).sum(),
        Value::Opaque(_) => match <&OptionalValue>::try_from(value) {
            Ok(optional) => optional.value().map_or(0, weight),
            Err(_) => 64,
        },
        _ => 0,
    }
}

fn key_weight(key: &Key) -> usize {
    match key {
        Key::String(name) => 16 + name.len(),
        _ => 16,
    }
}

/// The same for JSON.
pub(super) fn json_weight(value: &Json) -> usize {
    16 + match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(json_weight).sum(),
        Json::Object(map) => map.iter().map(|(key, value)| 16 + key.len() + json_weight(value)).sum(),
        _ => 0,
    }
}

/// An optional as CEL has it.
pub(super) fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(match value {
        Some(value) => OptionalValue::of(value),
        None => OptionalValue::none(),
    }))
}
