//! Functions that we implement ourselves: `quote`, and those of the library that are hot, unbounded or unlike CEL's.

use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::OptionalValue;

use super::json::{to_json, type_name};
use super::limits::STRING_BYTES;
use super::print::written_by_go;
use super::text::breaks_out;

/// An implementation; the receiver is the first argument. `None`: ask the library.
pub(super) type Native = fn(&[Value]) -> Result<Option<Value>, String>;

/// Our implementation of a function, if there is one.
pub(super) fn native(name: &str) -> Option<Native> {
    Some(match name {
        "quote" => quote,
        "dyn" => |arguments| Ok(arguments.first().cloned()),
        "size" => size,
        "string" => string,
        "int" => int,
        "split" => split,
        "quantity" => |arguments| refuse(arguments, has_blanks, "is not a quantity"),
        "isQuantity" => |arguments| Ok(is(arguments, has_blanks)),
        "cidr" => |arguments| refuse(arguments, has_leading_zero, "is not a CIDR"),
        "isCIDR" => |arguments| Ok(is(arguments, has_leading_zero)),
        "math.bitShiftRight" => shift_right,
        "bool" => boolean,
        "contains" => |arguments| compare_text("contains", arguments, |text, part| text.contains(part)),
        "startsWith" => |arguments| compare_text("startsWith", arguments, |text, part| text.starts_with(part)),
        "endsWith" => |arguments| compare_text("endsWith", arguments, |text, part| text.ends_with(part)),
        "orValue" => or_value,
        "replace" => replace,
        "join" => join,
        "format" => check_format,
        "lists.range" => range,
        _ => return None,
    })
}

fn text(value: String) -> Result<Option<Value>, String> {
    Ok(Some(Value::String(Arc::new(value))))
}

fn check_length(bytes: usize) -> Result<(), String> {
    match bytes > STRING_BYTES {
        true => Err(format!("the string would have more than {STRING_BYTES} bytes")),
        false => Ok(()),
    }
}

/// JSON, and so also YAML, for any value: a string with its quotes, a list or a map in one line.
fn quote(arguments: &[Value]) -> Result<Option<Value>, String> {
    let value = arguments.first().map_or(Ok(serde_json::Value::Null), to_json)?;
    text(escape_line_breaks(&value.to_string()))
}

/// JSON in which also those line breaks and control characters are escaped that JSON lets stand, and YAML does not.
fn escape_line_breaks(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match breaks_out(character) {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => escaped.push(character),
        }
    }
    escaped
}

/// Code points of a string, bytes, or entries (the library counts a string's bytes).
fn size(arguments: &[Value]) -> Result<Option<Value>, String> {
    let size = match arguments {
        [Value::String(text)] => text.chars().count(),
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(items)] => items.len(),
        [Value::Map(map)] => map.map.len(),
        _ => return Ok(None),
    };
    Ok(Some(Value::Int(i64::try_from(size).unwrap_or(i64::MAX))))
}

fn string(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::String(value)] => Ok(Some(Value::String(value.clone()))),
        [Value::Int(value)] => text(value.to_string()),
        [Value::Bool(value)] => text(value.to_string()),
        [value] => written_by_go(value).map_or(Ok(None), text),
        _ => Ok(None),
    }
}

fn int(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::Timestamp(time)] => Ok(Some(Value::Int(time.timestamp()))),
        _ => Ok(None),
    }
}

/// As in Go: an empty separator parts every character, a limit bounds the parts, a negative one does not.
fn split(arguments: &[Value]) -> Result<Option<Value>, String> {
    let (source, separator, limit) = match arguments {
        [Value::String(source), Value::String(separator)] => (source, separator, usize::MAX),
        [Value::String(source), Value::String(separator), Value::Int(limit)] => {
            (source, separator, usize::try_from(*limit).unwrap_or(usize::MAX))
        }
        _ => return Err("split is for strings: text.split(separator) or text.split(separator, limit)".to_string()),
    };
    let part = |part: &str| Value::String(Arc::new(part.to_owned()));
    let parts: Vec<Value> = match (limit, separator.is_empty()) {
        (0, _) => Vec::new(),
        (_, false) => source.splitn(limit, separator.as_str()).map(part).collect(),
        (_, true) => {
            let ends = source.char_indices().map(|(at, c)| at + c.len_utf8());
            let mut start = 0;
            let mut parts = Vec::new();
            for end in ends {
                let end = if parts.len() + 1 == limit { source.len() } else { end };
                parts.push(part(&source[start..end]));
                start = end;
                if end == source.len() {
                    break;
                }
            }
            parts
        }
    };
    Ok(Some(Value::List(Arc::new(parts))))
}

/// The library takes a quantity with blanks around it.
fn has_blanks(text: &str) -> bool {
    text.trim() != text
}

/// The library takes `10.0.0.0/08`.
fn has_leading_zero(text: &str) -> bool {
    let bits = text.rsplit_once('/').map_or("", |(_, bits)| bits);
    bits.len() > 1 && bits.starts_with(['0', '+'])
}

/// An error for a text that is `wrong`; others are left to the library.
fn refuse(arguments: &[Value], wrong: fn(&str) -> bool, message: &str) -> Result<Option<Value>, String> {
    match arguments {
        [Value::String(text)] if wrong(text) => Err(format!("{text:?} {message}")),
        _ => Ok(None),
    }
}

/// False for a text that is `wrong`; others are left to the library.
fn is(arguments: &[Value], wrong: fn(&str) -> bool) -> Option<Value> {
    match arguments {
        [Value::String(text)] if wrong(text) => Some(Value::Bool(false)),
        _ => None,
    }
}

/// CEL fills with zeros, also for a negative number.
fn shift_right(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::Int(number), Value::Int(by @ 0..)] => {
            let shifted = u32::try_from(*by)
                .ok()
                .and_then(|by| number.cast_unsigned().checked_shr(by));
            Ok(Some(Value::Int(shifted.unwrap_or(0).cast_signed())))
        }
        _ => Ok(None),
    }
}

fn boolean(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::Bool(value)] => Ok(Some(Value::Bool(*value))),
        [Value::String(value)] => match value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(Value::Bool(true))),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Some(Value::Bool(false))),
            other => Err(format!("{other:?} is neither true nor false")),
        },
        _ => Ok(None),
    }
}

fn compare_text(name: &str, arguments: &[Value], compare: fn(&str, &str) -> bool) -> Result<Option<Value>, String> {
    match arguments {
        [Value::String(text), Value::String(part)] => Ok(Some(Value::Bool(compare(text, part)))),
        [left, right] => Err(format!(
            "{name} is for two strings, not {} and {}",
            type_name(left),
            type_name(right)
        )),
        _ => Ok(None),
    }
}

fn or_value(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::Opaque(_), default] => match <&OptionalValue>::try_from(&arguments[0]) {
            Ok(optional) => Ok(Some(optional.value().unwrap_or(default).clone())),
            Err(_) => Ok(None),
        },
        _ => Ok(None),
    }
}

/// As the library's, but the length of the result is known before it is made.
fn replace(arguments: &[Value]) -> Result<Option<Value>, String> {
    let (source, from, to, most) = match arguments {
        [Value::String(source), Value::String(from), Value::String(to)] => (source, from, to, usize::MAX),
        // As in Go, a negative number means all.
        [
            Value::String(source),
            Value::String(from),
            Value::String(to),
            Value::Int(most),
        ] => (source, from, to, usize::try_from(*most).unwrap_or(usize::MAX)),
        _ => return Err("replace is for strings: text.replace(from, to) or text.replace(from, to, count)".to_string()),
    };
    let found = source.matches(from.as_str()).take(most).count();
    check_length((source.len() - found * from.len()).saturating_add(found.saturating_mul(to.len())))?;
    text(source.replacen(from.as_str(), to, most))
}

/// As the library's, but for strings only, and the length of the result is known before it is made.
fn join(arguments: &[Value]) -> Result<Option<Value>, String> {
    let (items, separator) = match arguments {
        [Value::List(items)] => (items, ""),
        [Value::List(items), Value::String(separator)] => (items, separator.as_str()),
        _ => return Err("join is for lists of strings: list.join(separator)".to_string()),
    };
    let parts: Vec<&str> = items
        .iter()
        .map(|item| match item {
            Value::String(text) => Ok(text.as_str()),
            other => Err(format!(
                "join is for lists of strings; there is an item of the type {}",
                type_name(other)
            )),
        })
        .collect::<Result<_, String>>()?;
    let separators = parts.len().saturating_mul(separator.len());
    check_length(
        parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .saturating_add(separators),
    )?;
    text(parts.join(separator))
}

/// Refuses a precision that would make a number very long; the rest is the library's.
fn check_format(arguments: &[Value]) -> Result<Option<Value>, String> {
    let Some(Value::String(format)) = arguments.first() else {
        return Ok(None);
    };
    let long = |part: &str| part.bytes().take_while(u8::is_ascii_digit).count() > 2;
    match format.split("%.").skip(1).any(long) {
        true => Err("format: a precision has at most two digits".to_string()),
        false => Ok(None),
    }
}

fn range(arguments: &[Value]) -> Result<Option<Value>, String> {
    match arguments {
        [Value::Int(count)] if (0..=1000).contains(count) => {
            Ok(Some(Value::List(Arc::new((0..*count).map(Value::Int).collect()))))
        }
        _ => Err("lists.range is for a number from 0 to 1000".to_string()),
    }
}
