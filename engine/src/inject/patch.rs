//! Writes a JSON Patch (RFC 6902) straight into bytes: `add` operations only, each under a parent that is proven to be
//! there when it is applied.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use serde::Serialize;

use crate::pod::Field;

/// Bytes that hold most patches: they are a container, its files and some mounts.
const USUAL_LENGTH: usize = 4096;

/// A patch under construction.
#[derive(Debug, Default)]
pub(crate) struct Patch {
    bytes: Vec<u8>,
}

impl Patch {
    /// The patch, or `None` when it would be empty.
    pub(crate) fn finish(mut self) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        self.bytes.push(b']');
        Some(self.bytes)
    }

    /// Begins an operation on `path`, a JSON Pointer in which keys are [`escaped`]; the value follows, then [`Patch::end`].
    pub(crate) fn begin(&mut self, path: fmt::Arguments<'_>) {
        if self.bytes.is_empty() {
            self.bytes.reserve(USUAL_LENGTH);
        }
        self.bytes
            .extend_from_slice(if self.bytes.is_empty() { b"[" } else { b"," });
        self.bytes.extend_from_slice(br#"{"op":"add","path":""#);
        // Writing to a vector does not fail.
        let _ = self.bytes.write_fmt(path);
        self.bytes.extend_from_slice(br#"","value":"#);
    }

    pub(crate) fn end(&mut self) {
        self.bytes.push(b'}');
    }

    /// All operations of another patch.
    pub(crate) fn append(&mut self, other: Patch) {
        if let Some((first, rest)) = other.bytes.split_first() {
            self.bytes.push(if self.bytes.is_empty() { *first } else { b',' });
            self.bytes.extend_from_slice(rest);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One whole operation.
    pub(crate) fn add(&mut self, path: fmt::Arguments<'_>, value: &(impl Serialize + ?Sized)) {
        self.begin(path);
        self.json(value);
        self.end();
    }

    /// Writes a value as JSON.
    pub(crate) fn json(&mut self, value: &(impl Serialize + ?Sized)) {
        // Writing to a vector does not fail, and neither do strings and JSON values.
        let _ = serde_json::to_writer(&mut self.bytes, value);
    }

    /// Writes JSON text as it is.
    pub(crate) fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// Adds items at the front or the end of a list that may be absent, `null` or empty.
    pub(crate) fn extend<V: Serialize, T>(
        &mut self,
        path: fmt::Arguments<'_>,
        list: &Field<Vec<T>>,
        end: End,
        items: &[V],
    ) {
        match list {
            _ if items.is_empty() => {}
            Field::Present(there) if !there.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    match end {
                        End::Front => self.add(format_args!("{path}/{index}"), item),
                        End::Back => self.add(format_args!("{path}/-"), item),
                    }
                }
            }
            _ => self.add(path, items),
        }
    }
}

/// Where items go in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Front,
    Back,
}

/// A key as one part of a JSON Pointer (RFC 6901), in a JSON string.
pub(crate) fn escaped(key: &str) -> Cow<'_, str> {
    let is_special = |byte: u8| matches!(byte, b'~' | b'/' | b'"' | b'\\' | 0..b' ');
    let (mut escaped, mut rest) = (String::new(), key);
    while let Some(at) = rest.bytes().position(is_special) {
        escaped.reserve(rest.len() + 1);
        escaped.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'~' => escaped.push_str("~0"),
            b'/' => escaped.push_str("~1"),
            control if control < b' ' => escaped.push_str(&format!("\\u{control:04x}")),
            quote => escaped.extend(['\\', char::from(quote)]),
        }
        rest = &rest[at + 1..];
    }
    if escaped.is_empty() {
        return key.into();
    }
    escaped.push_str(rest);
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_stays_itself_as_part_of_a_path() {
        for key in ["plain.key", "a/b~c", "q\"uo\\te", "li\nne\u{1}", "é/漢"] {
            let mut patch = Patch::default();
            patch.add(format_args!("/m/{}", escaped(key)), &1);
            let patch: Value = serde_json::from_slice(&patch.finish().unwrap()).unwrap();
            let pointer = format!("/m/{}", key.replace('~', "~0").replace('/', "~1"));
            assert_eq!(patch[0]["path"], pointer);
        }
    }
}
