//! Operators on values.

use std::cmp::Ordering;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, KeyRef, OptionalValue};

use super::functions::explain;
use super::json::{optional, type_name};
use super::path::no_such_key;
use super::tree::Operator;

/// `left operator right`.
pub(super) fn binary(operator: Operator, left: Value, right: Value) -> Result<Value, String> {
    let arithmetic = match operator {
        Operator::Add => match (left, right) {
            (Value::Bytes(left), Value::Bytes(right)) => {
                return Ok(Value::Bytes(Arc::new([&left[..], &right[..]].concat())));
            }
            (left, right) => left + right,
        },
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Modulo => left % right,
        Operator::Equals => return Ok(Value::Bool(left == right)),
        Operator::NotEquals => return Ok(Value::Bool(left != right)),
        Operator::In => return contains(&right, &left).map(Value::Bool),
        comparison => return compare(comparison, &left, &right).map(Value::Bool),
    };
    arithmetic.map_err(|error| explain(&error))
}

fn compare(operator: Operator, left: &Value, right: &Value) -> Result<bool, String> {
    let order = match (left, right) {
        (Value::Bytes(left), Value::Bytes(right)) => Some(left.cmp(right)),
        _ => left.partial_cmp(right),
    };
    let order = order.ok_or_else(|| format!("{} and {} cannot be compared", type_name(left), type_name(right)))?;
    Ok(match operator {
        Operator::Less => order == Ordering::Less,
        Operator::LessEquals => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        _ => order != Ordering::Less,
    })
}

fn contains(container: &Value, item: &Value) -> Result<bool, String> {
    match container {
        Value::List(items) => Ok(items.contains(item)),
        Value::Map(map) => Ok(KeyRef::try_from(item).is_ok_and(|key| map.get(&key).is_some())),
        other => Err(format!("in is for lists and maps, not for {}", type_name(other))),
    }
}

/// `-value`.
pub(super) fn negate(value: Value) -> Result<Value, String> {
    match value {
        Value::Int(whole) => whole
            .checked_neg()
            .map(Value::Int)
            .ok_or_else(|| "the negation overflows".to_string()),
        Value::Float(float) => Ok(Value::Float(-float)),
        other => Err(format!("{} cannot be negated", type_name(&other))),
    }
}

/// `value.field`, `value.?field`, `value[key]` or `value[?key]`; from an optional the result is an optional.
pub(super) fn select(value: &Value, key: KeyRef<'_>, question: bool) -> Result<Value, String> {
    match <&OptionalValue>::try_from(value) {
        Ok(inner) => Ok(optional(inner.value().and_then(|inner| get(inner, key).ok()))),
        Err(_) if question => Ok(optional(get(value, key).ok())),
        Err(_) => get(value, key),
    }
}

fn get(value: &Value, key: KeyRef<'_>) -> Result<Value, String> {
    match (value, key) {
        (Value::Map(map), KeyRef::String(name)) => map.get(&key).cloned().ok_or_else(|| no_such_key(name)),
        (Value::Map(map), _) => map.get(&key).cloned().ok_or_else(|| format!("no such key: {key:?}")),
        (Value::List(items), KeyRef::Int(index)) => usize::try_from(index)
            .ok()
            .and_then(|index| items.get(index).cloned())
            .ok_or_else(|| {
                format!(
                    "index {index} is out of the list's range (it has {} items)",
                    items.len()
                )
            }),
        (other, KeyRef::String(name)) => Err(format!(
            "cannot select {name:?} from a value of the type {}",
            type_name(other)
        )),
        (other, _) => Err(format!("a value of the type {} cannot be indexed so", type_name(other))),
    }
}

/// `has(value.field)`.
pub(super) fn has(value: &Value, field: &str) -> Result<bool, String> {
    let inner = match <&OptionalValue>::try_from(value) {
        Ok(optional) => match optional.value() {
            Some(inner) => inner,
            None => return Ok(false),
        },
        Err(_) => value,
    };
    match inner {
        Value::Map(map) => Ok(map.get(&KeyRef::String(field)).is_some()),
        other => Err(format!("has: a value of the type {} has no fields", type_name(other))),
    }
}

/// What a comprehension goes through: a list's items or a map's keys in order.
pub(super) fn items(range: &Value) -> Result<std::sync::Arc<Vec<Value>>, String> {
    match range {
        Value::List(items) => Ok(items.clone()),
        Value::Map(map) => {
            let mut keys: Vec<&Key> = map.map.keys().collect();
            keys.sort();
            Ok(std::sync::Arc::new(keys.into_iter().map(Value::from).collect()))
        }
        other => Err(format!(
            "a comprehension goes through a list or a map, not through {}",
            type_name(other)
        )),
    }
}
