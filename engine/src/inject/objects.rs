//! The Pod and its namespace as JSON values, made only when somebody asks.

use std::cell::OnceCell;

use serde_json::Value;

use super::own::is_named;
use crate::expr::{self, Scope, Uses};
use crate::policy::Enforcement;
use crate::snapshot::Namespace;

/// How the Pod was before Outrigger, as far as who is believed?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// Its record: what others have changed of our work since is taken out with it.
    Recorded,
    /// The record where it can be proven: nothing else is hidden from who sees this.
    Proven,
}

impl View {
    /// A forged record can keep nobody away but policies that one may opt out of.
    pub(crate) fn of(enforcement: Enforcement) -> View {
        match enforcement {
            Enforcement::Required => View::Proven,
            Enforcement::BestEffort | Enforcement::Audit => View::Recorded,
        }
    }
}

/// Takes out of a Pod what is proven to be ours.
type StripProven<'a> = &'a dyn Fn(&mut Value, &Objects<'_>);

/// Parsed at most once in an admission; most need none of it.
pub(crate) struct Objects<'a> {
    object: &'a dyn Fn() -> Option<Value>,
    namespace: &'a Namespace,
    /// Takes out of a Pod what Outrigger has added by its record.
    strip: &'a dyn Fn(&mut Value),
    strip_proven: StripProven<'a>,
    pod: OnceCell<Option<Value>>,
    recorded: OnceCell<Option<Value>>,
    proven: OnceCell<Option<Value>>,
    namespace_object: OnceCell<Value>,
}

impl<'a> Objects<'a> {
    pub(crate) fn new(
        object: &'a dyn Fn() -> Option<Value>,
        namespace: &'a Namespace,
        strip: &'a dyn Fn(&mut Value),
        strip_proven: StripProven<'a>,
    ) -> Objects<'a> {
        Objects {
            object,
            namespace,
            strip,
            strip_proven,
            pod: OnceCell::new(),
            recorded: OnceCell::new(),
            proven: OnceCell::new(),
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
    pub(crate) fn scope(&self, uses: &Uses, view: View) -> Result<Scope<'_>, String> {
        let mut scope = Scope::new();
        if uses.object {
            let original = match view {
                View::Recorded => self.recorded.get_or_init(|| {
                    let mut pod = self.without_nulls()?;
                    (self.strip)(&mut pod);
                    Some(pod)
                }),
                View::Proven => self.proven.get_or_init(|| {
                    let mut pod = self.without_nulls()?;
                    (self.strip_proven)(&mut pod, self);
                    Some(pod)
                }),
            };
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

    fn without_nulls(&self) -> Option<Value> {
        // Most Pods are not compared with anything: reading twice is rarer than copying would be.
        let mut pod = match self.pod.get() {
            Some(pod) => pod.clone(),
            None => (self.object)(),
        }?;
        drop_nulls(&mut pod);
        Some(pod)
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
