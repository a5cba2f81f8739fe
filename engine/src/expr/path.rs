//! Selections from variables by constant names, answered from JSON without converting what they pass.

use serde_json::Value as Json;

/// A variable that expressions may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Params,
    Object,
    NamespaceObject,
    Request,
}

impl Root {
    pub(super) const NAMES: [&'static str; 4] = ["params", "object", "namespaceObject", "request"];

    pub(super) fn parse(name: &str) -> Option<Root> {
        match name {
            "params" => Some(Root::Params),
            "object" => Some(Root::Object),
            "namespaceObject" => Some(Root::NamespaceObject),
            "request" => Some(Root::Request),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Root::Params => "params",
            Root::Object => "object",
            Root::NamespaceObject => "namespaceObject",
            Root::Request => "request",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Key {
    Field(String),
    Item(i64),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub key: Key,
    pub optional: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub root: Root,
    pub steps: Vec<Step>,
}

/// What a path leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Value(&'a Json),
    /// The path has a `?`, so that its value is an optional.
    Optional(Option<&'a Json>),
}

impl Path {
    /// The path of a source that is nothing but a variable and names of fields: `params.path`.
    pub(super) fn plain(source: &str) -> Option<Path> {
        let mut names = source.trim().split('.');
        let root = Root::parse(names.next()?)?;
        let step = |name: &str| {
            let plain = name.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && !matches!(name, "in" | "true" | "false" | "null");
            plain.then(|| Step {
                key: Key::Field(name.to_string()),
                optional: false,
            })
        };
        Some(Path {
            root,
            steps: names.map(step).collect::<Option<_>>()?,
        })
    }

    /// Whether it is `params.<name>`.
    pub(super) fn parameter(&self) -> Option<&str> {
        match (self.root, self.steps.first()) {
            (
                Root::Params,
                Some(Step {
                    key: Key::Field(name), ..
                }),
            ) => Some(name),
            _ => None,
        }
    }

    /// Follows `steps` from `value`. Once a step is optional, all after it are, as in CEL.
    pub(super) fn follow<'a>(steps: &[Step], mut value: &'a Json) -> Result<Found<'a>, String> {
        let mut optional = false;
        for step in steps {
            optional |= step.optional;
            match step.key.get(value) {
                Ok(next) => value = next,
                Err(_) if optional => return Ok(Found::Optional(None)),
                Err(message) => return Err(message),
            }
        }
        Ok(if optional {
            Found::Optional(Some(value))
        } else {
            Found::Value(value)
        })
    }
}

impl Key {
    fn get<'a>(&self, value: &'a Json) -> Result<&'a Json, String> {
        match (self, value) {
            (Key::Field(name), Json::Object(map)) => map.get(name).ok_or_else(|| no_such_key(name)),
            (Key::Item(index), Json::Array(items)) => usize::try_from(*index)
                .ok()
                .and_then(|index| items.get(index))
                .ok_or_else(|| {
                    format!(
                        "index {index} is out of the list's range (it has {} items)",
                        items.len()
                    )
                }),
            (Key::Field(name), _) => Err(format!("cannot select {name:?} from what is not a map")),
            (Key::Item(index), _) => Err(format!("cannot take item {index} of what is not a list")),
        }
    }
}

/// The message for a field that is absent, with the way out.
pub(super) fn no_such_key(name: &str) -> String {
    format!("no such key: {name:?}; where it may be absent, write .?{name}.orValue(…) or has(…)")
}
