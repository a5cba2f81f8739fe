//! Reads JSON with the text of its numbers, and refuses an object that has a key twice: which of the two was meant, nobody
//! can know.
use indexmap::map::Entry;
use serde::de::IgnoredAny;

use super::{
    DEEPEST, ManifestError,
    value::{List, Map, Number, Style, Text, Value},
};

/// Reads one value, in one pass over what serde_json has found to be JSON.
///
/// # Errors
/// When `text` is not one JSON value.
pub(super) fn read(text: &str) -> Result<Value, ManifestError> {
    let _: IgnoredAny = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    Reader { text, at: 0 }.value(0)
}

fn syntax(error: &serde_json::Error) -> ManifestError {
    let message = error.to_string();
    // The place is told apart from the message.
    let message = message.split(" at line ").next().unwrap_or_default();
    ManifestError::at(error.line(), format!("it is not JSON: {message}"))
}

/// Goes through text that is known to be JSON, save for what strings hold.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, ManifestError> {
        if depth > DEEPEST {
            return Err(self.error(self.at, format!("it is nested more than {DEEPEST} deep")));
        }
        Ok(match self.next() {
            Some(b'"') => Value::Text(Text {
                text: self.string()?,
                style: Style::Plain,
            }),
            Some(b'[') => Value::List(self.list(depth)?),
            Some(b'{') => Value::Map(self.map(depth)?),
            _ => self.word()?,
        })
    }

    /// The next byte that is not white space.
    fn next(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether another member follows, past the opening or the comma that stands before it; the closing is passed, too.
    fn another(&mut self, closing: u8) -> bool {
        self.at += 1;
        let is_end = self.next().is_none_or(|byte| byte == closing);
        self.at += usize::from(is_end);
        !is_end
    }

    /// The same, behind a member.
    fn comma(&mut self) -> bool {
        let is_comma = self.next() == Some(b',');
        self.at += 1;
        is_comma
    }

    fn list(&mut self, depth: usize) -> Result<List, ManifestError> {
        let mut list = List::default();
        let mut more = self.another(b']');
        while more {
            list.items.push(self.value(depth + 1)?);
            more = self.comma();
        }
        Ok(list)
    }

    fn map(&mut self, depth: usize) -> Result<Map, ManifestError> {
        let mut map = Map::default();
        let mut more = self.another(b'}');
        while more {
            self.next();
            let start = self.at;
            let key = self.string()?;
            // The colon.
            self.next();
            self.at += 1;
            let value = self.value(depth + 1)?;
            match map.entries.entry(key) {
                Entry::Vacant(entry) => entry.insert(value),
                Entry::Occupied(entry) => {
                    let message = format!("key {:?} is there twice; keep one", entry.key());
                    return Err(self.error(start, message));
                }
            };
            more = self.comma();
        }
        Ok(map)
    }

    fn string(&mut self) -> Result<String, ManifestError> {
        let start = self.at;
        let mut escaped = false;
        let inside = self.text.as_bytes()[start..].iter().skip(1).take_while(|byte| {
            let ends = **byte == b'"' && !escaped;
            escaped = **byte == b'\\' && !escaped;
            !ends
        });
        self.at += inside.count() + 2;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        serde_json::from_str(raw).map_err(|error| syntax(&error).below(self.line_of(start) - 1))
    }

    /// `null`, `true`, `false` or a number.
    fn word(&mut self) -> Result<Value, ManifestError> {
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        self.at += rest
            .iter()
            .take_while(|byte| !byte.is_ascii_whitespace() && !b",]}".contains(byte))
            .count();
        let raw: &'a str = &self.text[start..self.at];
        Ok(match raw {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if super::number::stored(raw).is_none() => {
                return Err(self.error(start, format!("the number {raw} is too large")));
            }
            _ => Value::Number(Number {
                json: raw.into(),
                yaml: None,
            }),
        })
    }

    fn error(&self, at: usize, message: String) -> ManifestError {
        ManifestError::at(self.line_of(at), message)
    }

    fn line_of(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Json, Numbers};

    #[test]
    fn numbers_keep_their_text_and_keys_their_order() {
        let text = r#"{"z":1.0,"a":[1e3,12345678901234567890123,-0.0],"b":{"\u00e9":null,"":true}}"#;
        let value = read(text).unwrap();
        let written = serde_json::to_string(&Json(&value, Numbers::Written)).unwrap();
        assert_eq!(written, text.replace("\\u00e9", "é"));
        let stored = serde_json::to_string(&Json(&value, Numbers::Stored)).unwrap();
        assert!(
            stored.starts_with(r#"{"z":1,"a":[1000,1.2345678901234568e+22,-0]"#),
            "{stored}"
        );
    }

    #[test]
    fn what_cannot_be_kept_is_an_error_with_its_line() {
        let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
        for (text, line, message) in [
            ("{\"a\":\n{\"c\":1,\"c\":2}}", 2, "\"c\" is there twice"),
            ("{\"a\":\n\n1e999}", 3, "too large"),
            ("{\"a\":\n[1,}", 2, "not JSON"),
            ("{\"a\":\n\"\\ud800\"}", 2, "not JSON"),
            (&deep, 1, "nested more than"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, Some(line), "{error}");
            assert!(error.message.contains(message), "{error}");
        }
    }

    #[test]
    fn white_space_and_escapes_change_nothing() {
        let value = read(" [ ] \n").unwrap();
        assert_eq!(value.stored().unwrap(), serde_json::json!([]));
        let text = "\r\n{ \"a\\\\\" :\t[ { } , \"\\\"]\" ,-1.5e3 , true,false , null ] , \"\" : \"\\ud83d\\ude00\"\n}";
        let expected: serde_json::Value = serde_json::from_str(text).unwrap();
        let stored = read(text).unwrap().stored().unwrap();
        assert_eq!(stored.to_string(), expected.to_string().replace("-1500.0", "-1500"));
    }

    #[test]
    fn depth_does_not_multiply_the_time() {
        let filler = "1,".repeat(200_000);
        let nested = |depth: usize| format!("{}{filler}1{}", "[".repeat(depth), "]".repeat(depth));
        let time = |text: String| {
            let started = std::time::Instant::now();
            let _ = read(&text);
            started.elapsed()
        };
        let flat = time(nested(1));
        let deep = time(nested(95));
        assert!(
            deep < flat * 10 + std::time::Duration::from_millis(100),
            "{flat:?} {deep:?}"
        );
        let refused = time(format!("{}{}", "[".repeat(450_000), "]".repeat(450_000)));
        assert!(refused < std::time::Duration::from_secs(2), "{refused:?}");
    }
}
