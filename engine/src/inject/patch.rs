//! Writes a JSON Patch (RFC 6902) straight into bytes: `add` operations only, each under a parent that is proven to be
//! there when it is applied.

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

    /// Begins an operation on `path`, and `more` below it; the value follows, then [`Patch::end`].
    pub(crate) fn begin(&mut self, path: &[Part<'_>], more: Option<Part<'_>>) {
        if self.bytes.is_empty() {
            self.bytes.reserve(USUAL_LENGTH);
        }
        self.bytes
            .extend_from_slice(if self.bytes.is_empty() { b"[" } else { b"," });
        self.bytes.extend_from_slice(br#"{"op":"add","path":""#);
        path.iter().chain(&more).for_each(|part| part.write(&mut self.bytes));
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
    pub(crate) fn add(&mut self, path: &[Part<'_>], value: &(impl Serialize + ?Sized)) {
        self.add_below(path, None, value);
    }

    /// One whole operation, on `more` below `path`.
    pub(crate) fn add_below(&mut self, path: &[Part<'_>], more: Option<Part<'_>>, value: &(impl Serialize + ?Sized)) {
        self.begin(path, more);
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
    pub(crate) fn extend<V: Serialize, T>(&mut self, path: &[Part<'_>], list: &Field<Vec<T>>, end: End, items: &[V]) {
        match list {
            _ if items.is_empty() => {}
            Field::Present(there) if !there.is_empty() => {
                for (index, item) in items.iter().enumerate() {
                    let place = match end {
                        End::Front => Part::Index(index),
                        End::Back => Part::Field("-"),
                    };
                    self.add_below(path, Some(place), item);
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

/// A part of a JSON Pointer (RFC 6901), between slashes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// A field of Kubernetes', or `-`.
    Field(&'static str),
    /// A key that somebody has chosen.
    Key(&'a str),
    /// Of an item in a list.
    Index(usize),
}

impl Part<'_> {
    /// Appends it, within a JSON string.
    fn write(self, to: &mut Vec<u8>) {
        to.push(b'/');
        match self {
            Part::Field(name) => to.extend_from_slice(name.as_bytes()),
            Part::Key(key) => write_escaped(key, to),
            // Writing to a vector does not fail.
            Part::Index(index) => drop(serde_json::to_writer(to, &index)),
        }
    }
}

fn write_escaped(key: &str, to: &mut Vec<u8>) {
    let is_special = |byte: &u8| matches!(byte, b'~' | b'/' | b'"' | b'\\' | 0..b' ');
    let mut rest = key.as_bytes();
    while let Some(at) = rest.iter().position(is_special) {
        to.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'~' => to.extend_from_slice(b"~0"),
            b'/' => to.extend_from_slice(b"~1"),
            control if control < b' ' => to.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
            quote => to.extend_from_slice(&[b'\\', quote]),
        }
        rest = &rest[at + 1..];
    }
    to.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn a_key_stays_itself_as_part_of_a_path() {
        for key in ["plain.key", "a/b~c", "q\"uo\\te", "li\nne\u{1}", "é/漢"] {
            let mut patch = Patch::default();
            patch.add(&[Part::Field("m"), Part::Key(key)], &1);
            let patch: Value = serde_json::from_slice(&patch.finish().unwrap()).unwrap();
            let pointer = format!("/m/{}", key.replace('~', "~0").replace('/', "~1"));
            assert_eq!(patch[0]["path"], pointer);
        }
    }
}
