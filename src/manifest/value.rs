//! A value of a manifest: what it is, and the look that it had, so that what is written again resembles what was read.
use indexmap::IndexMap;
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeMap, SerializeSeq},
};
use serde_json::value::RawValue;

use super::number;

/// One value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Also where nothing is written.
    Null,
    /// However it is written.
    Bool(bool),
    /// Whole or not.
    Number(Number),
    /// A string.
    Text(Text),
    /// An array.
    List(List),
    /// An object.
    Map(Map),
}

/// A number as it was written: it is never turned into another one on the way through.
#[derive(Debug, Clone)]
pub struct Number {
    /// In JSON's notation.
    pub json: Box<str>,
    /// As it stood in YAML, where that is another notation, such as `0644`.
    pub yaml: Option<Box<str>>,
}

/// How a string was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Style {
    /// Without quotes, or in a way that says nothing.
    #[default]
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// Line by line, after `|`.
    Literal,
}

/// A string and its look.
#[derive(Debug, Clone)]
pub struct Text {
    /// The string.
    pub text: String,
    /// As it was written.
    pub style: Style,
}

/// A list and its look.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// In order.
    pub items: Vec<Value>,
    /// Written on one line, in brackets.
    pub flow: bool,
    /// Its dashes are further in than its key.
    pub indented: bool,
}

/// An object and its look.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// In the order in which they were written.
    pub entries: IndexMap<String, Value>,
    /// Written on one line, in braces.
    pub flow: bool,
}

impl Value {
    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.entries.get(key),
            _ => None,
        }
    }

    /// The string that it is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    /// The items of the list that it is.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(&list.items),
            _ => None,
        }
    }

    /// Whether it is an object.
    pub fn is_map(&self) -> bool {
        matches!(self, Value::Map(_))
    }

    /// The member of a member, and so on.
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// As the engine reads it: as the API server would have it.
    ///
    /// # Errors
    /// When a number is too large for it.
    pub fn stored(&self) -> serde_json::Result<serde_json::Value> {
        serde_json::from_slice(&self.stored_json()?)
    }

    /// The same, as text.
    ///
    /// # Errors
    /// When a number is too large.
    pub fn stored_json(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Json(self, Numbers::Stored))
    }
}

/// Which numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As the author wrote them.
    Written,
    /// As the API server stores them.
    Stored,
}

/// A value as JSON.
#[derive(Debug, Clone, Copy)]
pub struct Json<'a>(pub &'a Value, pub Numbers);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Json(value, numbers) = *self;
        match value {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Number(value) => value.serialize(numbers, serializer),
            Value::Text(text) => serializer.serialize_str(&text.text),
            Value::List(list) => {
                let mut items = serializer.serialize_seq(Some(list.items.len()))?;
                for item in &list.items {
                    items.serialize_element(&Json(item, numbers))?;
                }
                items.end()
            }
            Value::Map(map) => {
                let mut entries = serializer.serialize_map(Some(map.entries.len()))?;
                for (key, value) in &map.entries {
                    entries.serialize_entry(key, &Json(value, numbers))?;
                }
                entries.end()
            }
        }
    }
}

impl Number {
    fn serialize<S: Serializer>(&self, numbers: Numbers, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match numbers {
            Numbers::Written => self.json.to_string(),
            Numbers::Stored => {
                number::stored(&self.json).ok_or_else(|| S::Error::custom(format!("{} is too large", self.json)))?
            }
        };
        RawValue::from_string(text)
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}
