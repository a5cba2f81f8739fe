//! Regular expressions with a bound on what they compile to; those that are literals are compiled once.

use std::sync::Arc;

use kube_cel::cel::Value;
use regex::{Regex, RegexBuilder};

use super::limits::PATTERN_BYTES;

/// The functions that take a pattern as their second argument.
pub(super) const FUNCTIONS: [&str; 3] = ["matches", "find", "findAll"];

/// Compiles a pattern (RE2's syntax, as in Kubernetes) within [`PATTERN_BYTES`].
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let size = PATTERN_BYTES;
    RegexBuilder::new(&with_ascii_classes(pattern))
        .size_limit(size)
        .dfa_size_limit(size)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!("the pattern {pattern:?} is too large; repeat less"),
            error => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("the pattern {pattern:?} is not valid: {reason}")
            }
        })
}

/// `\d`, `\w`, `\s` and `\b` mean ASCII in RE2, and all of Unicode in the `regex` crate.
fn with_ascii_classes(pattern: &str) -> String {
    let mut classes = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    let mut brackets = 0usize;
    while let Some(character) = characters.next() {
        if character != '\\' {
            match character {
                '[' => brackets += 1,
                ']' => brackets = brackets.saturating_sub(1),
                _ => {}
            }
            classes.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => classes.push_str("[0-9]"),
            Some('D') => classes.push_str("[^0-9]"),
            Some('w') => classes.push_str("[0-9A-Za-z_]"),
            Some('W') => classes.push_str("[^0-9A-Za-z_]"),
            Some('s') => classes.push_str(r"[\t\n\f\r\x20]"),
            Some('S') => classes.push_str(r"[^\t\n\f\r\x20]"),
            // Between brackets it is an error, which is for the crate to find.
            Some('b') if brackets == 0 => classes.push_str(r"(?-u:\b)"),
            other => classes.extend(['\\'].into_iter().chain(other)),
        }
    }
    classes
}

/// Calls one of [`FUNCTIONS`] with a compiled pattern.
pub(super) fn call(name: &str, pattern: &Regex, arguments: &[Value]) -> Result<Value, String> {
    let (Some(Value::String(text)), limit) = (arguments.first(), arguments.get(2)) else {
        return Err(format!("{name} is for strings"));
    };
    let string = |found: regex::Match| Value::String(Arc::new(found.as_str().to_string()));
    let most = match limit {
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    Ok(match name {
        "matches" => Value::Bool(pattern.is_match(text)),
        "find" => pattern.find(text).map_or_else(|| Value::String(Arc::default()), string),
        _ => Value::List(Arc::new(pattern.find_iter(text).take(most).map(string).collect())),
    })
}
