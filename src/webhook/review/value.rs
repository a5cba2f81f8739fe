//! An object of a review as a value: many times as large as its text, so that its values are counted before memory is
//! spent on them.
use serde_json::{Value, value::RawValue};

use super::ReviewError;

/// Values of one object. One that people write has some hundreds; a Pod's that expressions may read at most 20,000.
const MOST: usize = 100_000;

/// Reads an object.
///
/// # Errors
/// When it has too many values, or is nested too deeply.
pub fn value(json: &RawValue) -> Result<Value, ReviewError> {
    if values(json.get()) > MOST {
        return Err(ReviewError::TooManyValues(MOST));
    }
    Ok(serde_json::from_str(json.get())?)
}

/// How many values a JSON text has, keys included: each begins the text, or comes after one of `[{,:`. Of an empty list or
/// object one is counted that is not there.
fn values(json: &str) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b',' | b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_wherever_they_are_and_not_within_strings() {
        for (json, expected) in [
            ("1", 1),
            ("[1,2]", 3),
            (r#"{"a":1,"b":[]}"#, 6),
            (r#""[,,,\",{""#, 1),
            (r#"["\\",1]"#, 3),
        ] {
            assert_eq!(values(json), expected, "{json}");
        }
    }

    #[test]
    fn an_object_of_very_many_values_is_not_read() {
        let list = |count| RawValue::from_string(format!("[{}0]", "0,".repeat(count))).unwrap();
        assert!(value(&list(MOST - 2)).is_ok());
        assert!(matches!(value(&list(MOST)), Err(ReviewError::TooManyValues(MOST))));
    }
}
