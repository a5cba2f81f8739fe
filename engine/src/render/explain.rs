//! The messages of serde in the words of a policy's author, who thinks in lists and texts, not in sequences and structs.

use crate::field::FieldError;
use crate::names;

/// What does not fit at `path`.
pub(super) fn misfit(path: String, message: &str) -> FieldError {
    if let Some(field) = message.strip_prefix("missing field ") {
        return FieldError::new(format!("{path}.{}", field.trim_matches('`')), "is missing; write it");
    }
    let message = choice(message, "unknown field ", "is not known")
        .or_else(|| choice(message, "unknown variant ", "is not a choice"))
        .or_else(|| wrong_type(message))
        .unwrap_or_else(|| lower_first(message));
    FieldError::new(path, message)
}

/// ``unknown field `a`, expected one of `b`, `c` ``
fn choice(message: &str, prefix: &str, what: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix(prefix)?.split_once(", ")?;
    let found = found.trim_matches('`');
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let way_out = match names::nearest(found, known.iter().copied()).first() {
        Some(nearest) => format!("did you mean {nearest}?"),
        None => format!("write {}", either(&known)),
    };
    Some(format!("\"{found}\" {what}; {way_out}"))
}

fn either(known: &[&str]) -> String {
    match known {
        [] => "nothing there".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// ``invalid type: integer `1`, expected a string ``
fn wrong_type(message: &str) -> Option<String> {
    let (found, expected) = message
        .strip_prefix("invalid ")?
        .split_once(": ")?
        .1
        .rsplit_once(", expected ")?;
    let wanted = match expected {
        "a sequence" => "a list",
        "a map" => "an object",
        "a string" => "text",
        "a boolean" => "true or false",
        "Quantity" => "a quantity, such as 64Mi",
        "IntOrString" => "a number or text",
        "i32" | "i64" | "u16" | "u32" | "u64" => "a whole number",
        "f32" | "f64" => "a number",
        // The name of a type of ours or of Kubernetes'.
        name if name.starts_with("struct ") || name.starts_with(char::is_uppercase) => "an object",
        other => other,
    };
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    let quoting = match (kind, wanted) {
        ("integer" | "boolean" | "floating", "text") => "; put it in quotes, or an expression in string(…)",
        _ => "",
    };
    let found = match (kind, value.trim_start_matches("point ").trim_matches('`')) {
        ("map", _) => "an object".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        ("null" | "unit" | "Option", _) => "null".to_owned(),
        ("string", text) => format!("the text {text}"),
        ("integer" | "floating", number) => format!("the number {number}"),
        ("boolean", truth) => truth.to_owned(),
        _ => found.to_owned(),
    };
    Some(format!("must be {wanted}, not {found}{quoting}"))
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_serde_are_put_into_an_authors_words() {
        for (message, expected) in [
            (
                "unknown field `sidecar`, expected one of `match`, `sidecars`",
                "\"sidecar\" is not known; did you mean sidecars?",
            ),
            (
                "unknown field `x`, expected `ip` or `hostnames`",
                "\"x\" is not known; write ip or hostnames",
            ),
            (
                "unknown field `x`, there are no fields",
                "\"x\" is not known; write nothing there",
            ),
            (
                "unknown variant `Must`, expected one of `A`, `B`, `C`",
                "\"Must\" is not a choice; write A, B or C",
            ),
            (
                "invalid type: integer `1`, expected a string",
                "must be text, not the number 1; put it in quotes, or an expression in string(…)",
            ),
            (
                "invalid type: floating point `80.0`, expected i32",
                "must be a whole number, not the number 80.0",
            ),
            (
                "invalid type: string \"a, expected b\", expected a sequence",
                "must be a list, not the text \"a, expected b\"",
            ),
            (
                "invalid type: null, expected struct LabelSelector",
                "must be an object, not null",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "must be a whole number, not the number -1",
            ),
            ("Something else", "something else"),
        ] {
            assert_eq!(misfit("p".into(), message).message, expected);
        }
        assert_eq!(misfit("p".into(), "missing field `ip`").path, "p.ip");
    }
}
