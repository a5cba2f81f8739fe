//! What one evaluation may read.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::limits::OBJECT_NODES;
use super::path::{Found, Path, Root};

/// The variables of one policy in one admission; borrowed, and converted only where an expression reads them.
///
/// What [`super::Uses`] does not name need not be given: reading what is absent is an error of the evaluation.
#[derive(Debug, Clone, Default)]
pub struct Scope<'a> {
    params: Option<&'a BTreeMap<String, Json>>,
    object: Option<&'a Json>,
    object_too_large: bool,
    namespace_object: Option<&'a Json>,
    namespace: Option<Json>,
}

impl<'a> Scope<'a> {
    /// A scope in which nothing can be read.
    pub fn new() -> Self {
        Scope::default()
    }

    /// The parameters' values by name.
    pub fn params(mut self, params: &'a BTreeMap<String, Json>) -> Self {
        self.params = Some(params);
        self
    }

    /// The Pod. One with more nodes than [`super::limits::OBJECT_NODES`] cannot be read.
    pub fn object(mut self, object: &'a Json) -> Self {
        self.object = Some(object);
        self.object_too_large = count(object, OBJECT_NODES).is_none();
        self
    }

    /// The namespace as [`namespace_object`] makes it.
    pub fn namespace_object(mut self, namespace: &'a Json) -> Self {
        self.namespace_object = Some(namespace);
        self
    }

    /// `request.namespace`.
    pub fn request_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(Json::String(namespace.to_string()));
        self
    }

    /// What `path` leads to.
    pub(super) fn find(&self, path: &Path) -> Result<Found<'_>, String> {
        let name = path.root.name();
        let absent = || format!("{name} cannot be read here");
        match path.root {
            Root::Params => {
                let name = path.parameter().ok_or_else(absent)?;
                let value = self.params.and_then(|params| params.get(name));
                let value = value.ok_or_else(|| format!("the parameter {name:?} has no value"))?;
                Ok(match (Path::follow(&path.steps[1..], value)?, path.steps[0].optional) {
                    (Found::Value(value), true) => Found::Optional(Some(value)),
                    (found, _) => found,
                })
            }
            Root::Object if self.object_too_large => Err(format!(
                "the Pod has more than {OBJECT_NODES} values; expressions over object cannot read it"
            )),
            Root::Object => Path::follow(&path.steps, self.object.ok_or_else(absent)?),
            Root::NamespaceObject => Path::follow(&path.steps, self.namespace_object.ok_or_else(absent)?),
            Root::Request => self.namespace.as_ref().map(Found::Value).ok_or_else(absent),
        }
    }
}

/// `namespaceObject` in the shape of Kubernetes: `metadata.name`, and `metadata.labels` and `metadata.annotations` when
/// there are any.
pub fn namespace_object(name: &str, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> Json {
    let mut metadata = Map::new();
    metadata.insert("name".to_string(), Json::String(name.to_string()));
    for (field, entries) in [("labels", labels), ("annotations", annotations)] {
        if !entries.is_empty() {
            let entries = entries
                .iter()
                .map(|(key, value)| (key.clone(), Json::String(value.clone())));
            metadata.insert(field.to_string(), Json::Object(entries.collect()));
        }
    }
    Json::Object(Map::from_iter([("metadata".to_string(), Json::Object(metadata))]))
}

/// What is left of `room` nodes after `value`.
fn count(value: &Json, room: usize) -> Option<usize> {
    let room = room.checked_sub(1)?;
    match value {
        Json::Array(items) => items.iter().try_fold(room, |room, item| count(item, room)),
        Json::Object(map) => map.values().try_fold(room, |room, item| count(item, room)),
        _ => Some(room),
    }
}
