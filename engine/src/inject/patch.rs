//! Writes a JSON Patch (RFC 6902) straight into bytes: `add` operations only, each under a parent that is proven to be
//! there when it is applied.

use serde::Serialize;

use crate::pod::Field;

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

    /// Begins an operation on `path`, a JSON Pointer already escaped; the value follows, then [`Patch::end`].
    pub(crate) fn begin(&mut self, path: &str) {
        self.bytes
            .extend_from_slice(if self.bytes.is_empty() { b"[" } else { b"," });
        self.bytes.extend_from_slice(br#"{"op":"add","path":"#);
        self.json(path);
        self.bytes.extend_from_slice(br#","value":"#);
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
    pub(crate) fn add(&mut self, path: &str, value: &(impl Serialize + ?Sized)) {
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
    pub(crate) fn extend<V: Serialize, T>(&mut self, path: &str, list: &Field<Vec<T>>, end: End, items: &[V]) {
        match list {
            _ if items.is_empty() => {}
            Field::Present(there) if !there.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    match end {
                        End::Front => self.add(&format!("{path}/{index}"), item),
                        End::Back => self.add(&format!("{path}/-"), item),
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

/// A key as one part of a JSON Pointer (RFC 6901).
pub(crate) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
