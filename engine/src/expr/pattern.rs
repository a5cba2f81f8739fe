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
    RegexBuilder::new(pattern)
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
