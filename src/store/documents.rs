//! Kubernetes manifests in files: YAML of several documents, JSON, Lists. It does not know what they mean.
use crate::manifest;
use serde_json::Value;
use std::{
    fs,
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

/// All documents in `contents`, Lists taken apart, empty ones left out. Whether it is YAML or JSON is seen from the contents.
///
/// # Errors
/// When it is neither, with the place, in one line.
pub fn parse(contents: &[u8]) -> Result<Vec<Value>, String> {
    let text = std::str::from_utf8(contents).map_err(|error| format!("it is not UTF-8: {error}"))?;
    let mut found = Vec::new();
    for part in manifest::split(text).map_err(|error| error.to_string())? {
        let document = part.read(text).map_err(|error| error.to_string())?;
        let mut objects = Vec::new();
        if let Some(document) = &document {
            manifest::items(document, &mut |_, _, _, object| objects.push(object));
        }
        for object in objects
            .into_iter()
            .filter(|object| !matches!(object, manifest::Value::Null))
        {
            found.push(object.stored().map_err(|error| error.to_string())?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Value>, String> {
        parse(text.as_bytes())
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
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(
            read(r#"{"a":1} {"kind":"List","items":[{"b":-2}]}"#).unwrap(),
            vec![json!({"a": 1}), json!({"b": -2})]
        );
        assert_eq!(read("").unwrap(), Vec::<Value>::new());
    }

    #[test]
    fn scalars_are_read_as_kubectl_reads_them() {
        let text =
            "mode: 0644\nnew: 0o644\nflag: yes\nswitch: off\ntext: \"0644\"\nfloat: 0.5\nnone: ~\nversion: 1.2.3\n";
        let expected = json!({"mode": 420, "new": 420, "flag": true, "switch": false, "text": "0644", "float": 0.5,
            "none": null, "version": "1.2.3"});
        assert_eq!(read(text).unwrap(), vec![expected]);
    }

    #[test]
    fn a_key_that_is_there_twice_is_an_error_that_says_where() {
        for outcome in [read("a: 1\nb: {c: 1, c: 2}\n"), read("{\"a\":\n{\"c\":1,\"c\":2}}")] {
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
        assert!(read(&text).is_err());
    }
}
