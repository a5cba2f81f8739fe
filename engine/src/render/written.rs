//! A value together with its JSON, written once: what is rendered in advance goes into thousands of patches.

use std::ops::Deref;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A value, and its JSON.
#[derive(Debug, Clone)]
pub(crate) struct Written<T> {
    value: T,
    /// `None` would be a value that has no JSON; then the value itself is written.
    json: Option<Box<RawValue>>,
}

impl<T: Serialize> Written<T> {
    pub(crate) fn new(value: T) -> Self {
        let json = serde_json::value::to_raw_value(&value).ok();
        Written { value, json }
    }
}

impl<T> Deref for Written<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Written<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Serialize> Serialize for Written<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.json {
            Some(json) => json.serialize(serializer),
            None => self.value.serialize(serializer),
        }
    }
}
