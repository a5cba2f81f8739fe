//! Reads JSON with the text of its numbers, and refuses an object that has a key twice: which of the two was meant, nobody
//! can know.
use std::{borrow::Cow, fmt};

use indexmap::IndexMap;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    DEEPEST, ManifestError,
    value::{List, Map, Number, Style, Text, Value},
};

/// Reads one value.
///
/// # Errors
/// When `text` is not one JSON value.
pub(super) fn read(text: &str) -> Result<Value, ManifestError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    Reader { text }.value(raw.get(), 0)
}

fn syntax(error: &serde_json::Error) -> ManifestError {
    let message = error.to_string();
    // The place is told apart from the message.
    let message = message.split(" at line ").next().unwrap_or_default();
    ManifestError::at(error.line(), format!("it is not JSON: {message}"))
}

struct Reader<'a> {
    text: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&self, raw: &'a str, depth: usize) -> Result<Value, ManifestError> {
        if depth > DEEPEST {
            return Err(self.error(raw, format!("it is nested more than {DEEPEST} deep")));
        }
        Ok(match raw.as_bytes().first() {
            Some(b'n') => Value::Null,
            Some(b't') => Value::Bool(true),
            Some(b'f') => Value::Bool(false),
            Some(b'"') => Value::Text(Text {
                text: self.parse(raw)?,
                style: Style::Plain,
            }),
            Some(b'[') => {
                let items: Vec<&'a RawValue> = self.parse(raw)?;
                let items = items.into_iter().map(|item| self.value(item.get(), depth + 1));
                Value::List(List {
                    items: items.collect::<Result<_, _>>()?,
                    ..List::default()
                })
            }
            Some(b'{') => Value::Map(self.map(raw, depth)?),
            _ => Value::Number(self.number(raw)?),
        })
    }

    fn map(&self, raw: &'a str, depth: usize) -> Result<Map, ManifestError> {
        let Members(members) = self.parse(raw)?;
        let mut entries = IndexMap::with_capacity(members.len());
        for (key, value) in members {
            let read = self.value(value.get(), depth + 1)?;
            if entries.contains_key(&*key) {
                return Err(self.error(value.get(), format!("key {key:?} is there twice; keep one")));
            }
            entries.insert(key.into_owned(), read);
        }
        Ok(Map {
            entries,
            ..Map::default()
        })
    }

    fn number(&self, raw: &'a str) -> Result<Number, ManifestError> {
        if super::number::stored(raw).is_none() {
            return Err(self.error(raw, format!("the number {raw} is too large")));
        }
        Ok(Number {
            json: raw.into(),
            yaml: None,
        })
    }

    fn parse<T: serde::Deserialize<'a>>(&self, raw: &'a str) -> Result<T, ManifestError> {
        serde_json::from_str(raw).map_err(|error| {
            let place = syntax(&error);
            place.below(self.line_of(raw) - 1)
        })
    }

    fn error(&self, raw: &str, message: String) -> ManifestError {
        ManifestError::at(self.line_of(raw), message)
    }

    /// `raw` is a part of the text.
    fn line_of(&self, raw: &str) -> usize {
        let offset = raw.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|byte| **byte == b'\n')
            .count()
    }
}

/// The members of an object, each as often as it is there.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(entry) = entries.next_entry::<Key<'de>, &'de RawValue>()? {
                    members.push((entry.0.0, entry.1));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

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
}
