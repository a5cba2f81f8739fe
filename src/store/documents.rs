//! Kubernetes manifests in files: YAML of several documents, JSON, Lists. It does not know what they mean.
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

/// Largest file of manifests, in bytes.
pub const LARGEST: u64 = 16 << 20;
/// Who writes a file may do so in pieces: one that was written to within this time may not be whole yet.
pub const SETTLED: Duration = Duration::from_secs(1);

/// How closely to look at files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At those whose stamp differs, once they are settled.
    Stamps,
    /// At the contents of all that are settled.
    Contents,
    /// At the contents of all, settled or not.
    Now,
}

/// What tells, without reading it, that a file has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    device: u64,
    inode: u64,
}

impl Stamp {
    /// Of the file that `path` leads to.
    ///
    /// # Errors
    /// When there is none, or it may not be looked at.
    pub fn of(path: &Path) -> std::io::Result<Stamp> {
        let found = fs::metadata(path)?;
        Ok(Stamp {
            modified: found.modified().ok(),
            length: found.len(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Whether the file may still be being written. One from the future is taken for settled.
    pub fn is_fresh(&self) -> bool {
        let age = self.modified.map(|modified| modified.elapsed());
        age.is_some_and(|age| age.unwrap_or_else(|ahead| ahead.duration()) < SETTLED)
    }
}

/// Whether a file's name is that of a manifest.
pub fn is_manifest(path: &Path) -> bool {
    path.extension()
        .is_some_and(|suffix| suffix == "yaml" || suffix == "yml" || suffix == "json")
}

/// All documents in `contents`, Lists taken apart, empty ones left out.
///
/// # Errors
/// When it is not YAML (or JSON, by the name of the file), with the place, in one line.
pub fn parse(path: &Path, contents: &[u8]) -> Result<Vec<Value>, String> {
    let documents = if path.extension().is_some_and(|suffix| suffix == "json") {
        parse_json(contents)?
    } else {
        parse_yaml(contents)?
    };
    let mut found = Vec::with_capacity(documents.len());
    for document in documents {
        take_apart(document, &mut found);
    }
    Ok(found)
}

fn parse_yaml(contents: &[u8]) -> Result<Vec<Value>, String> {
    // As kubectl reads it: `0644` is a file mode, `yes` is true.
    let options = serde_saphyr::options! { with_snippet: false, legacy_octal_numbers: true, strict_booleans: false };
    serde_saphyr::from_slice_multiple_with_options(contents, options)
        .map_err(|error| error.to_string().replace('\n', " "))
}

fn parse_json(contents: &[u8]) -> Result<Vec<Value>, String> {
    let documents = serde_json::Deserializer::from_slice(contents).into_iter::<Unique>();
    documents
        .map(|document| document.map(|Unique(value)| value).map_err(|error| error.to_string()))
        .collect()
}

fn take_apart(mut document: Value, found: &mut Vec<Value>) {
    let is_list = document
        .get("kind")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.ends_with("List"));
    match document.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => items.into_iter().for_each(|item| take_apart(item, found)),
        Some(items) => {
            document["items"] = items;
            found.push(document);
        }
        None if document.is_null() => {}
        None => found.push(document),
    }
}

/// JSON in which no object has a key twice: which of the two was meant, nobody can know.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Unique(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some((key, Unique(value))) = entries.next_entry::<String, Unique>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format!("key {key:?} is there twice; keep one")));
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn yaml(text: &str) -> Result<Vec<Value>, String> {
        parse(Path::new("a.yaml"), text.as_bytes())
    }

    fn json(text: &str) -> Result<Vec<Value>, String> {
        parse(Path::new("a.json"), text.as_bytes())
    }

    #[test]
    fn documents_and_lists_become_one_row() {
        let text = "# comment\n---\na: 1\n---\n---\nkind: List\nitems:\n- b: [x, 'y']\n- {kind: PodList, items: [{c: 0.5}]}\n---\nkind: Other\nitems: [1]\n";
        let expected = vec![
            json!({"a": 1}),
            json!({"b": ["x", "y"]}),
            json!({"c": 0.5}),
            json!({"kind": "Other", "items": [1]}),
        ];
        assert_eq!(yaml(text).unwrap(), expected);
        assert_eq!(
            json(r#"{"a":1} {"kind":"List","items":[{"b":-2}]}"#).unwrap(),
            vec![json!({"a": 1}), json!({"b": -2})]
        );
        assert_eq!(yaml("").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let text = "mode: 0644\nnew: 0o644\nflag: yes\noff: off\ntext: \"0644\"\nfloat: 0.5\nnone: ~\nversion: 1.2.3\n";
        let expected = json!({"mode": 420, "new": 420, "flag": true, "off": false, "text": "0644", "float": 0.5,
            "none": null, "version": "1.2.3"});
        assert_eq!(yaml(text).unwrap(), vec![expected]);
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error_that_says_where() {
        for outcome in [yaml("a: 1\nb: {c: 1, c: 2}\n"), json("{\"a\":\n{\"c\":1,\"c\":2}}")] {
            let error = outcome.unwrap_err();
            assert!(
                error.contains('2') && error.contains('c') && !error.contains('\n'),
                "{error}"
            );
        }
    }

    #[test]
    fn an_alias_bomb_is_refused_in_bounded_time() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let previous = vec![format!("*a{}", n - 1); 10].join(", ");
            text += &format!("a{n}: &a{n} [{previous}]\n");
        }
        assert!(yaml(&text).is_err());
    }
}
