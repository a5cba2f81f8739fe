//! Kubernetes quantities (`64Mi`, `500m`, `1e3`), as far as comparing and checking them needs.
//!
//! The API server rewrites a quantity in canonical form when it stores an object (`1024Mi` becomes `1Gi`), so two
//! spellings of one amount must compare as equal. Grammar: `k8s.io/apimachinery/pkg/api/resource`.

use serde_json::Value;

const NANO: i128 = 1_000_000_000;

/// The amount in billionths, rounded up; `None` when `text` is not a quantity.
pub(crate) fn parse(text: &str) -> Option<i128> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || fraction.contains('.') || whole.len() > 19 || fraction.len() > 18 {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (multiplier, divisor) = scale(suffix)?;
    let divisor = divisor.checked_mul(10i128.checked_pow(fraction.len() as u32)?)?;
    let scaled = digits.checked_mul(NANO)?.checked_mul(multiplier)?;
    let amount = scaled / divisor + i128::from(scaled % divisor != 0);
    Some(if negative { -amount } else { amount })
}

/// A suffix as (multiplier, divisor).
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    if let Some(power) = binary.iter().position(|s| *s == suffix) {
        return Some((1 << (10 * (power + 1)), 1));
    }
    let decimal = [
        ("n", -9),
        ("u", -6),
        ("m", -3),
        ("", 0),
        ("k", 3),
        ("M", 6),
        ("G", 9),
        ("T", 12),
        ("P", 15),
        ("E", 18),
    ];
    let exponent = match decimal.iter().find(|(s, _)| *s == suffix) {
        Some((_, exponent)) => *exponent,
        None => suffix
            .strip_prefix(['e', 'E'])?
            .parse()
            .ok()
            .filter(|e: &i32| (-18..=18).contains(e))?,
    };
    let power = 10i128.pow(exponent.unsigned_abs());
    Some(if exponent < 0 { (1, power) } else { (power, 1) })
}

/// The amount of a JSON string or number.
pub(crate) fn of(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_amount_are_equal() {
        for (a, b) in [
            ("1024Mi", "1Gi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1.5Gi", "1536Mi"),
            ("+1", "1"),
            ("1E", "1e18"),
        ] {
            assert_eq!(parse(a), parse(b), "{a} {b}");
            assert!(parse(a).is_some(), "{a}");
        }
        assert_ne!(parse("1G"), parse("1Gi"));
        assert_eq!(parse("-1m"), Some(-1_000_000));
    }

    #[test]
    fn what_is_no_quantity_is_none() {
        for text in [
            "",
            "-",
            ".",
            "1.2.3",
            "Mi",
            "1mi",
            "1 Gi",
            "1e",
            "1e99",
            "banana",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
