//! The Pod and its namespace as JSON values, made only when somebody asks.

use std::cell::OnceCell;

use serde_json::Value;

use super::own::is_named;
use crate::expr::{self, Scope, Uses};
use crate::snapshot::Namespace;

/// Parsed at most once in an admission; most need none of it.
pub(crate) struct Objects<'a> {
    object: &'a dyn Fn() -> Option<Value>,
    namespace: &'a Namespace,
    /// Takes what Outrigger has added out of a Pod.
    strip: &'a dyn Fn(&mut Value),
    pod: OnceCell<Option<Value>>,
    original: OnceCell<Option<Value>>,
    namespace_object: OnceCell<Value>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new(
        object: &'a dyn Fn() -> Option<Value>,
        namespace: &'a Namespace,
        strip: &'a dyn Fn(&mut Value),
    ) -> Objects<'a> {
        Objects {
            object,
            namespace,
            strip,
            pod: OnceCell::new(),
            original: OnceCell::new(),
            namespace_object: OnceCell::new(),
        }
    }

    /// The Pod as it came.
    pub(crate) fn pod(&self) -> Option<&Value> {
        self.pod.get_or_init(|| (self.object)()).as_ref()
    }

    /// An item of `spec.<list>` by its name.
    pub(crate) fn named(&self, list: &str, name: &str) -> Option<&Value> {
        let items = self.pod()?.get("spec")?.get(list)?.as_array()?;
        items.iter().find(|item| is_named(item, name))
    }

    /// A scope with what `uses` reads, but for parameters.
    ///
    /// # Errors
    /// When the Pod's JSON cannot be read as a value, for example because it is nested too deeply.
    pub(crate) fn scope(&self, uses: &Uses) -> Result<Scope<'_>, String> {
        let mut scope = Scope::new();
        if uses.object {
            let original = self.original.get_or_init(|| {
                // Most Pods are not compared with anything: reading twice is rarer than copying would be.
                let mut pod = match self.pod.get() {
                    Some(pod) => pod.clone(),
                    None => (self.object)(),
                }?;
                drop_nulls(&mut pod);
                (self.strip)(&mut pod);
                Some(pod)
            });
            scope =
                scope.object(original.as_ref().ok_or(
                    "the Pod's JSON cannot be read as a whole; it is nested too deeply, or has too many values",
                )?);
        }
        if uses.namespace_object {
            let namespace = self.namespace;
            scope = scope
                .namespace_object(self.namespace_object.get_or_init(|| {
                    expr::namespace_object(&namespace.name, &namespace.labels, &namespace.annotations)
                }));
        }
        if uses.request {
            scope = scope.request_namespace(&self.namespace.name);
        }
        Ok(scope)
    }
}

/// As in Kubernetes' own decoder a member that is `null` is absent: where we had to put a list into its place, the
/// second call could not tell.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
