//! The policies of a run: those below directories, and those that stand between the manifests themselves.
use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

use outrigger_engine::{CompiledPolicy, Images, PolicyId, policy::NAMESPACED_KIND};
use serde_json::Value;

use super::{
    Unusable,
    input::{Document, Source},
};
use crate::{
    manifest, regular_file,
    store::{
        documents,
        listing::Listing,
        policies::{Likeness, likeness},
    },
};

/// Policies, and what is to be said about them.
#[derive(Debug, Default)]
pub struct Policies {
    /// Each name once: the first wins.
    pub compiled: Vec<Arc<CompiledPolicy>>,
    /// Errors in policies and doubts about them. A policy with errors is treated as by the webhook: it fails the Pods that
    /// it selects.
    pub complaints: Vec<String>,
    origins: HashMap<PolicyId, String>,
    /// Images that they name.
    named: BTreeSet<String>,
    unusable: Unusable,
}

/// Compiles the policies of `directories`, then those in `documents`, with `images` for those that they name; namespaced ones
/// that name no namespace are in `namespace`.
///
/// # Errors
/// When a file cannot be read, or holds a policy without a name.
pub fn load(
    directories: &[PathBuf],
    images: &Images,
    sources: &[Source],
    documents: &[Document],
    namespace: &str,
) -> Result<Policies, Unusable> {
    let mut policies = Policies::default();
    for directory in directories {
        policies.read_directory(directory, images);
    }
    for document in documents {
        let Some(value) = &document.value else { continue };
        let origin = format!("{}:{}", sources[document.source].name, document.part.line);
        manifest::items(value, &mut |_, api_version, kind, object| {
            // Only what may be one is worth being converted.
            if api_version.starts_with("outrigger.dev") || kind.to_ascii_lowercase().contains("injectionpol") {
                match object.stored() {
                    Ok(object) => policies.add(&origin, in_namespace(object, namespace), images),
                    Err(error) => policies.unusable.0.push(format!("{origin}: {error}")),
                }
            }
        });
    }
    policies.look_for(images);
    std::mem::take(&mut policies.unusable).unless_any(policies)
}

impl Policies {
    fn read_directory(&mut self, directory: &Path, images: &Images) {
        let listing = match Listing::of(directory) {
            Ok(listing) => listing,
            Err(error) => {
                let directory = directory.display();
                return self
                    .unusable
                    .0
                    .push(format!("--policies: failed to read {directory}: {error}"));
            }
        };
        for (path, error) in &listing.unreadable {
            self.unusable
                .0
                .push(format!("failed to read {}: {error}", path.display()));
        }
        for path in &listing.files {
            let name = path.display().to_string();
            let read = regular_file::read(path, documents::LARGEST).map_err(|error| error.to_string());
            match read.and_then(|contents| documents::parse(&contents)) {
                Ok(documents) => documents
                    .into_iter()
                    .for_each(|document| self.add(&name, document, images)),
                Err(error) => self.unusable.0.push(format!("failed to read {name}: {error}")),
            }
        }
    }

    fn add(&mut self, origin: &str, mut document: Value, images: &Images) {
        match likeness(&document) {
            Likeness::Policy => {}
            Likeness::Almost(message) => {
                return self.complaints.push(format!("{origin}: ignored a document: {message}"));
            }
            Likeness::Other => return,
        }
        self.named.extend(images.put_into(&mut document));
        let policy = match outrigger_engine::compile(&document) {
            Ok(policy) => policy,
            Err(error) => return self.unusable.0.push(format!("{origin}: {error}")),
        };
        if let Some(first) = self.origins.get(policy.id()) {
            let id = policy.id();
            return self.complaints.push(format!(
                "{origin}: policy \"{id}\" is in {first} already, which counts; remove or rename one"
            ));
        }
        let errors = policy.errors().iter().map(|error| format!("{origin}: {error}"));
        let warnings = policy.warnings().iter().map(|warning| format!("{origin}: {warning}"));
        self.complaints.extend(errors.chain(warnings));
        self.origins.insert(policy.id().clone(), origin.to_owned());
        self.compiled.push(Arc::new(policy));
    }

    /// An image that nobody names is a slip of the pen.
    fn look_for(&mut self, images: &Images) {
        let named = self.named.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let unknown = images.others.keys().filter(|image| !self.named.contains(*image));
        let complaints =
            unknown.map(|image| format!("--image {image}: no policy names this image; named are: {named}"));
        self.complaints.extend(complaints);
    }
}

/// kubectl puts what names no namespace into the present one.
fn in_namespace(mut object: Value, namespace: &str) -> Value {
    let namespaced = object.get("kind").and_then(Value::as_str) == Some(NAMESPACED_KIND);
    let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = metadata.filter(|_| namespaced) {
        let entry = metadata.entry("namespace").or_insert(Value::Null);
        if entry.is_null() || entry.as_str() == Some("") {
            *entry = namespace.into();
        }
    }
    object
}
