//! What is known of the namespaces: from Namespace manifests anywhere in the input, and from flags.
use std::collections::BTreeMap;

use outrigger_engine::Namespace;

use super::{
    Unusable,
    input::{Document, Source},
};
use crate::{manifest, store::namespaces::namespace};

/// Facts that hold for every namespace that the input is about.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// They replace what a manifest says.
    pub labels: BTreeMap<String, String>,
    /// The same.
    pub annotations: BTreeMap<String, String>,
}

/// The namespaces of `names`, and those that have a manifest.
///
/// # Errors
/// When a manifest of a Namespace cannot be understood.
pub fn namespaces<'a>(
    names: impl Iterator<Item = &'a str>,
    given: &Given,
    sources: &[Source],
    documents: &[Document],
) -> Result<Vec<Namespace>, Unusable> {
    let mut found: BTreeMap<String, Namespace> = names.map(|name| (name.to_owned(), Namespace::named(name))).collect();
    let mut unusable = Unusable::default();
    for document in documents {
        let Some(value) = &document.value else { continue };
        let mut objects = Vec::new();
        manifest::items(value, &mut |_, api_version, kind, object| {
            if (api_version, kind) == ("v1", "Namespace") {
                objects.push(object);
            }
        });
        for object in objects {
            let read = object.stored().map_err(anyhow::Error::from).and_then(|object| {
                let mut object = object;
                // An item of a NamespaceList need not say it.
                object["kind"] = "Namespace".into();
                namespace(&object)
            });
            match read {
                Ok(namespace) => drop(found.insert(namespace.name.clone(), namespace)),
                Err(error) => {
                    let (source, line) = (&sources[document.source].name, document.part.line);
                    unusable.0.push(format!("{source}:{line}: {error:#}"));
                }
            }
        }
    }
    for namespace in found.values_mut() {
        namespace.labels.extend(given.labels.clone());
        namespace.annotations.extend(given.annotations.clone());
    }
    unusable.unless_any(found.into_values().collect())
}
