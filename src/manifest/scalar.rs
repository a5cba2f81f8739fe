//! What a scalar means, by the rules of kubectl: those of YAML 1.1 as `go.yaml.in/yaml/v2` has them, not those of YAML 1.2.
//!
//! `yes` and `on` are booleans, `0644` is octal, `1_000` a thousand; `12:30:00` and `2001-01-01` are strings.
use std::borrow::Cow;

use super::{number, value::Number};

/// What a scalar is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    /// A whole number, in JSON's notation.
    Whole(String),
    /// Any other, in JSON's notation.
    Float(String),
    /// `.inf`, `.nan`: a number that JSON has no word for.
    NotFinite,
    Text,
}

/// What `text` is when it is written without quotes and tag.
pub(super) fn resolve(text: &str) -> Scalar {
    let Some(first) = text.bytes().next() else {
        return Scalar::Null;
    };
    if let Some(word) = word(text) {
        return word;
    }
    match first {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            let digits: Cow<'_, str> = if text.contains('_') {
                text.replace('_', "").into()
            } else {
                text.into()
            };
            whole(&digits).map_or_else(|| float(&digits), Scalar::Whole)
        }
        _ => Scalar::Text,
    }
}

fn word(text: &str) -> Option<Scalar> {
    Some(match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Scalar::Bool(false),
        "~" | "null" | "Null" | "NULL" => Scalar::Null,
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => Scalar::NotFinite,
        _ => return None,
    })
}

/// A whole number of 64 bits, as Go's `strconv` reads it with base 0.
fn whole(text: &str) -> Option<String> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    // Rust would take a second sign.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let size = u64::from_str_radix(digits, base).ok()?;
    let signed = text.starts_with(['+', '-']);
    let fits = match sign {
        "-" => size <= i64::MIN.unsigned_abs(),
        _ => !signed || i64::try_from(size).is_ok(),
    };
    fits.then(|| {
        if size == 0 {
            "0".to_owned()
        } else {
            format!("{sign}{size}")
        }
    })
}

fn float(text: &str) -> Scalar {
    if !looks_like_a_float(text) {
        return Scalar::Text;
    }
    // One that is too large stays a string.
    let value = text.parse::<f64>().ok().and_then(number::float);
    value.map_or(Scalar::Text, Scalar::Float)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn looks_like_a_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, Some(power)),
        None => (text, None),
    };
    let mantissa = unsigned(mantissa);
    let good = match mantissa.split_once('.') {
        None => digits(mantissa),
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
    };
    good && power.is_none_or(|power| digits(unsigned(power)))
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// The number that `text` is known to be, with its look.
pub(super) fn number(text: &str, resolved: String) -> Number {
    if number::is_json(text) {
        return Number {
            json: text.into(),
            yaml: None,
        };
    }
    Number {
        json: resolved.into(),
        yaml: Some(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // tests/cluster/inject_scalars.rs compares the same rules with kubectl itself.
    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubectl() {
        for (text, expected) in [
            ("0644", "420"),
            ("0o644", "420"),
            ("0x1F", "31"),
            ("-0x1F", "-31"),
            ("0b101", "5"),
            ("1_000", "1000"),
            ("+5", "5"),
            ("-0", "0"),
            ("08", "8"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("1.", "1"),
            ("1.0", "1"),
            ("18446744073709551615", "18446744073709551615"),
            ("18446744073709551616", "18446744073709552000"),
            ("-9223372036854775808", "-9223372036854775808"),
        ] {
            let (Scalar::Whole(number) | Scalar::Float(number)) = resolve(text) else {
                panic!("{text} is {:?}", resolve(text))
            };
            assert_eq!(number, expected, "{text}");
        }
        for text in [
            "12:30:00",
            "2001-01-01",
            "1.2.3",
            "0x",
            "--1",
            "+-1",
            "1e400",
            "_1",
            "=",
            "<<",
            "-",
            ".",
            "e3",
            "0b2",
            "1e",
        ] {
            assert_eq!(resolve(text), Scalar::Text, "{text}");
        }
        assert_eq!(resolve("On"), Scalar::Bool(true));
        assert_eq!(resolve("n"), Scalar::Bool(false));
        assert_eq!(resolve("~"), Scalar::Null);
        assert_eq!(resolve("-.inf"), Scalar::NotFinite);
    }
}
