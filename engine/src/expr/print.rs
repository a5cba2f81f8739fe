//! Doubles, times and bytes as text. Kubernetes' CEL is written in Go, and prints as Go does; the library does not.

use std::sync::Arc;

use kube_cel::cel::Value;

/// Doubles, durations and timestamps as Kubernetes' CEL, which is written in Go, prints them.
pub(super) fn written_by_go(value: &Value) -> Option<String> {
    match value {
        Value::Float(number) => Some(shortest(*number)),
        Value::Duration(duration) => {
            // Whole seconds and a fraction without needless zeros.
            let nanos = duration.num_nanoseconds()?;
            let (sign, nanos) = if nanos < 0 {
                ("-", nanos.unsigned_abs())
            } else {
                ("", nanos.unsigned_abs())
            };
            let fraction = format!(".{:09}", nanos % 1_000_000_000);
            let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
            Some(format!("{sign}{}{fraction}s", nanos / 1_000_000_000))
        }
        Value::Timestamp(time) => Some(rfc3339(&time.to_rfc3339())),
        _ => None,
    }
}

/// Go's `%g`: an exponent below -4 and from 6 digits before the point on.
fn shortest(number: f64) -> String {
    if !number.is_finite() {
        let infinite = if number > 0.0 { "+Inf" } else { "-Inf" };
        return if number.is_nan() { "NaN" } else { infinite }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match (-4..6).contains(&exponent) || number == 0.0 {
        true => number.to_string(),
        false => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
    }
}

/// UTC as `Z`, and no needless zeros in the fraction.
fn rfc3339(time: &str) -> String {
    let (clock, zone) = time
        .split_at_checked(time.len().saturating_sub(6))
        .unwrap_or((time, ""));
    let clock = match clock.contains('.') {
        true => clock.trim_end_matches('0').trim_end_matches('.'),
        false => clock,
    };
    format!("{clock}{}", if zone == "+00:00" { "Z" } else { zone })
}

/// What the library would read otherwise than CEL does, put so that it does not.
pub(super) fn prepare(name: &str, mut arguments: Vec<Value>) -> Vec<Value> {
    match (name, arguments.as_mut_slice()) {
        // Kubernetes' accessors are in UTC, whatever the offset of the text was.
        (name, [Value::Timestamp(time)]) if name.starts_with("get") => *time = time.to_utc().fixed_offset(),
        ("format", [Value::String(format), Value::List(items)]) => {
            let items = Arc::make_mut(items);
            for (verb, item) in verbs(format).zip(items) {
                if verb != 's' {
                    continue;
                }
                let bytes = match item {
                    Value::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
                    _ => None,
                };
                if let Some(written) = written_by_go(item).or(bytes) {
                    *item = Value::String(Arc::new(written));
                }
            }
        }
        _ => {}
    }
    arguments
}

/// The letters of a format's directives, but for `%%`.
fn verbs(format: &str) -> impl Iterator<Item = char> {
    let mut characters = format.chars();
    std::iter::from_fn(move || {
        loop {
            characters.by_ref().find(|c| *c == '%')?;
            match characters.by_ref().find(|c| !c.is_ascii_digit() && *c != '.')? {
                '%' => {}
                verb => return Some(verb),
            }
        }
    })
}
