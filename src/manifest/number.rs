//! Numbers as Kubernetes has them: whole ones of 64 bits, others as floats, written as Go's `encoding/json` does.

/// How a float is stored, for example `1` for 1.0 and `1e+21`; `None` where JSON has no word for it.
pub(super) fn float(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{value:e}");
        return Some(match text.split_once('e') {
            Some((digits, power)) if !power.starts_with('-') => format!("{digits}e+{power}"),
            _ => text,
        });
    }
    Some(value.to_string())
}

/// How a JSON number is stored by the API server, whichever way it is written; `None` where it is too large.
pub(super) fn stored(json: &str) -> Option<String> {
    if let Ok(whole) = json.parse::<i64>() {
        return Some(whole.to_string());
    }
    float(json.parse().ok()?)
}

/// Whether the text is a number in JSON's own notation.
pub(super) fn is_json(text: &str) -> bool {
    text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
        && serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok_and(|raw| raw.get() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stored_as_the_api_server_does() {
        for (json, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "-0"),
            ("1.0", "1"),
            ("1e3", "1000"),
            ("0.1", "0.1"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e+21"),
            ("1.5e-7", "1.5e-7"),
            ("0.000001", "0.000001"),
            ("9223372036854775807", "9223372036854775807"),
            ("18446744073709551615", "18446744073709552000"),
        ] {
            assert_eq!(stored(json).as_deref(), Some(expected), "{json}");
        }
        assert_eq!(stored("1e400"), None);
    }

    #[test]
    fn other_notations_are_not_json() {
        for text in ["1", "-1.5e+3", "0"] {
            assert!(is_json(text), "{text}");
        }
        for text in ["01", "+1", ".5", "1.", "0x1", "", "-", "1 ", "true"] {
            assert!(!is_json(text), "{text}");
        }
    }
}
