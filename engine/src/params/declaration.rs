//! Whether a declaration makes sense before any value is looked at.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Number;

use super::{ParameterSpec, ParameterType};
use crate::expr::compile_pattern;

/// The longest name: what Kubernetes allows for the part of an annotation's key after the slash.
const NAME_BYTES: usize = 63;

/// Words that CEL reserves; `params.<word>` would not parse, or not everywhere.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

pub(super) fn check_name(name: &str) -> Result<(), String> {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.ends_with('_');
    if !plain {
        return Err(format!(
            "{name:?} is not a parameter's name; use letters, digits and '_', beginning with a letter and not ending with '_'"
        ));
    }
    if name.len() > NAME_BYTES {
        return Err(format!(
            "the name has {} characters; {NAME_BYTES} are allowed",
            name.len()
        ));
    }
    match RESERVED.contains(&name) {
        true => Err(format!("{name:?} is a word that CEL reserves; choose another name")),
        false => Ok(()),
    }
}

fn is_numeric(kind: ParameterType) -> bool {
    matches!(kind, ParameterType::Integer | ParameterType::Number)
}

pub(super) fn check_bound(spec: &ParameterSpec, bound: Option<&Number>, field: &str) -> Result<(), String> {
    match bound {
        Some(_) if !is_numeric(spec.kind) => Err(format!(
            "{field} is for integer and number, not for {}",
            spec.kind.name()
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_order(spec: &ParameterSpec) -> Result<(), String> {
    match (&spec.minimum, &spec.maximum) {
        (Some(minimum), Some(maximum)) if compare(minimum, maximum) == Ordering::Greater => {
            Err(format!("the minimum {minimum} is above the maximum {maximum}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_enum(spec: &ParameterSpec) -> Result<(), String> {
    match &spec.one_of {
        Some(values) if values.is_empty() => Err("the enum is empty; leave it out or list the values".to_string()),
        Some(_) if spec.kind == ParameterType::Boolean => {
            Err("enum is not for boolean, which has two values only".to_string())
        }
        _ => Ok(()),
    }
}

pub(super) fn check_settable(spec: &ParameterSpec) -> Result<(), String> {
    let nobody = spec.settable_by.as_ref().is_some_and(Vec::is_empty);
    match nobody && spec.default.as_ref().is_none_or(serde_json::Value::is_null) {
        true => {
            Err("is missing, and nobody may set the parameter; write one, or name somebody in settableBy".to_string())
        }
        false => Ok(()),
    }
}

pub(super) fn compile_whole(spec: &ParameterSpec) -> Result<Option<(String, Regex)>, String> {
    let Some(source) = &spec.pattern else { return Ok(None) };
    if !matches!(spec.kind, ParameterType::String | ParameterType::StringList) {
        return Err(format!(
            "pattern is for string and stringList, not for {}",
            spec.kind.name()
        ));
    }
    // By itself first, so that "a)(b" is not mended by the group around it.
    compile_pattern(source)?;
    // The line break ends a comment of the pattern's own "(?x)".
    let whole = compile_pattern(&format!("\\A(?:{source})\\z"))
        .or_else(|_| compile_pattern(&format!("\\A(?:{source}\n)\\z")))?;
    Ok(Some((source.clone(), whole)))
}

/// Exact for integers.
pub(super) fn compare(left: &Number, right: &Number) -> Ordering {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
    }
}
