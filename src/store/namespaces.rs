//! Facts about namespaces, from a file of Namespace manifests.
use super::documents::{self, Look, Stamp};
use crate::regular_file;
use anyhow::{Context, Result, anyhow, ensure};
use outrigger_engine::Namespace;
use serde_json::Value;
use std::{collections::BTreeMap, path::PathBuf};

/// A file of Namespace manifests, and what was last read from it.
#[derive(Debug)]
pub struct NamespaceFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    namespaces: Vec<Namespace>,
    unsettled: bool,
}

impl NamespaceFile {
    /// The namespaces in `path`; nothing is read yet.
    pub fn new(path: PathBuf) -> Self {
        NamespaceFile {
            path,
            stamp: None,
            namespaces: Vec::new(),
            unsettled: false,
        }
    }

    /// What was last read.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// Whether the last look left the file for later, because it may not be whole yet.
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Looks at the file again, and says whether what it holds has changed.
    ///
    /// # Errors
    /// When the file cannot be read, or holds something else; what was read before stays.
    pub fn look(&mut self, look: Look) -> Result<bool> {
        let path = self.path.display();
        let stamp = Stamp::of(&self.path).ok();
        self.unsettled = false;
        if look == Look::Stamps && stamp.is_some() && stamp == self.stamp {
            return Ok(false);
        }
        if look != Look::Now && stamp != self.stamp && stamp.as_ref().is_some_and(Stamp::is_fresh) {
            self.unsettled = true;
            return Ok(false);
        }
        let contents =
            regular_file::read(&self.path, documents::LARGEST).with_context(|| format!("failed to read {path}"))?;
        let documents = documents::parse(&contents).map_err(|error| anyhow!("failed to read {path}: {error}"))?;
        let read = documents
            .iter()
            .map(namespace)
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("failed to read {path}"));
        self.stamp = stamp;
        let read = read?;
        let changed = read != self.namespaces;
        self.namespaces = read;
        Ok(changed)
    }
}

/// What a Namespace manifest says.
///
/// # Errors
/// When it is no Namespace, or has no name, or labels or annotations that are no strings.
pub fn namespace(document: &Value) -> Result<Namespace> {
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or("");
    ensure!(
        kind == "Namespace",
        "found kind {kind:?}; only manifests of kind Namespace belong here"
    );
    let name = document
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .context("a Namespace has no metadata.name")?;
    Ok(Namespace {
        name: name.to_owned(),
        labels: strings(document, "/metadata/labels", name)?,
        annotations: strings(document, "/metadata/annotations", name)?,
    })
}

fn strings(document: &Value, pointer: &str, namespace: &str) -> Result<BTreeMap<String, String>> {
    let entries = match document.pointer(pointer) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(value) => value
            .as_object()
            .with_context(|| format!("namespace {namespace:?}: {pointer} is not an object"))?,
    };
    let text = |(key, value): (&String, &Value)| match value.as_str() {
        Some(text) => Ok((key.clone(), text.to_owned())),
        None => Err(anyhow!(
            "namespace {namespace:?}: {pointer}: the value of {key:?} is not a string; put it in quotes"
        )),
    };
    entries.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_last_good_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("namespaces.yaml");
        fs::write(&path, "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {x: 'true'}, annotations: null}}\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: b}}\n").unwrap();
        let mut file = NamespaceFile::new(path.clone());
        assert!(file.look(Look::Now).unwrap());
        assert_eq!(file.namespaces().len(), 2);
        assert_eq!(file.namespaces()[0].labels["x"], "true");
        assert!(!file.look(Look::Now).unwrap());
        for (wrong, message) in [
            ("{kind: Namespace, metadata: {name: a, labels: {x: true}}}", "in quotes"),
            ("{kind: Pod}", "Pod"),
            ("{kind: Namespace}", "metadata.name"),
            ("{", "failed to read"),
        ] {
            fs::write(&path, wrong).unwrap();
            let error = format!("{:#}", file.look(Look::Now).unwrap_err());
            assert!(error.contains(message), "{error}");
            assert_eq!(file.namespaces().len(), 2);
        }
    }
}
