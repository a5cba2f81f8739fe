//! From a policy document to a [`CompiledPolicy`]. Every error in a policy is made here; nothing downstream checks again.

mod body;
mod head;
mod sizes;
mod templates;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) use body::Body;
pub(crate) use head::{Head, Match};

use crate::field::FieldError;
use crate::names;
use crate::policy::{API_VERSION, CLUSTER_KIND, Enforcement, NAMESPACED_KIND, PolicySpec};
use crate::render::decode;

/// Name and scope of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyId {
    /// `None` for a `ClusterInjectionPolicy`.
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl fmt::Display for PolicyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{namespace}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why a document cannot be a policy at all: no name, another kind, not an object.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DocumentError(pub String);

/// One thing that is wrong with a policy, with the path of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("policy \"{policy}\": {path}: {message}")]
pub struct PolicyError {
    /// The policy's name.
    pub policy: String,
    /// For example `spec.sidecars[0].container.name`.
    pub path: String,
    /// What is wrong, and the way out.
    pub message: String,
}

/// A policy, checked and made ready for admission; or known to be broken, with the reasons.
#[derive(Debug)]
pub struct CompiledPolicy {
    id: PolicyId,
    head: Head,
    body: Option<Arc<Body>>,
    errors: Vec<PolicyError>,
    warnings: Vec<String>,
}

/// Names that mean something else in the annotation `outrigger.dev/inject`.
const RESERVED_NAMES: [&str; 3] = ["inject", "true", "false"];

/// Compiles one `ClusterInjectionPolicy` or `InjectionPolicy`. A policy whose spec is wrong is returned all the same,
/// with [`CompiledPolicy::errors`] not empty: Pods that it selects must be told.
///
/// # Errors
/// When the document is not a policy at all.
pub fn compile(document: &Value) -> Result<CompiledPolicy, DocumentError> {
    let id = identify(document)?;
    let mut errors = Vec::new();
    if let Err(message) = names::dns_label(&id.name) {
        errors.push(FieldError::new("metadata.name", message));
    }
    if RESERVED_NAMES.contains(&id.name.as_str()) {
        let message = format!(
            "\"{}\" is reserved for the annotation outrigger.dev/inject; choose another name",
            id.name
        );
        errors.push(FieldError::new("metadata.name", message));
    }
    let empty = Value::Object(serde_json::Map::new());
    let spec = document.get("spec").filter(|spec| !spec.is_null()).unwrap_or(&empty);
    let (head, head_errors) = head::compile(spec, id.namespace.is_some());
    let mut warnings = Vec::new();
    let body = match decode::<PolicySpec>(spec, "spec") {
        // A list would be read as the fields in their order.
        _ if !spec.is_object() => {
            errors.push(FieldError::new("spec", "must be an object; write its fields below it"));
            None
        }
        Ok(spec) => {
            errors.extend(head_errors);
            // On its own: what is wrong with the head must not hide what is wrong with the body.
            let mut body_errors = Vec::new();
            let body = body::compile(&spec, &id.name, &mut body_errors, &mut warnings);
            errors.append(&mut body_errors);
            body
        }
        // The head is read from the same document: its errors would be the same again.
        Err(error) => {
            errors.push(error);
            None
        }
    };
    let policy = id.name.clone();
    let errors: Vec<PolicyError> = errors
        .into_iter()
        .map(|error| PolicyError {
            policy: policy.clone(),
            path: error.path,
            message: error.message,
        })
        .collect();
    let body = body.filter(|_| errors.is_empty()).map(Arc::new);
    let warnings = warnings
        .into_iter()
        .map(|warning| format!("policy \"{policy}\": {warning}"))
        .collect();
    Ok(CompiledPolicy {
        id,
        head,
        body,
        errors,
        warnings,
    })
}

fn identify(document: &Value) -> Result<PolicyId, DocumentError> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let kind = text("/kind").unwrap_or_default();
    let api_version = text("/apiVersion").unwrap_or_default();
    if api_version != API_VERSION || !matches!(kind, CLUSTER_KIND | NAMESPACED_KIND) {
        return Err(DocumentError(format!(
            "\"{api_version}\" \"{kind}\" is not a policy; write apiVersion: {API_VERSION} and kind: {CLUSTER_KIND} or {NAMESPACED_KIND}"
        )));
    }
    let name = text("/metadata/name").filter(|name| !name.is_empty());
    let name =
        name.ok_or_else(|| DocumentError(format!("{kind}: metadata.name is missing; give the policy a name")))?;
    let namespace = match kind {
        CLUSTER_KIND => None,
        _ => Some(
            text("/metadata/namespace")
                .filter(|namespace| !namespace.is_empty())
                .unwrap_or("default")
                .to_owned(),
        ),
    };
    Ok(PolicyId {
        namespace,
        name: name.to_owned(),
    })
}

/// Twelve hexadecimal digits over all that is rendered, the same for a policy from a file and from the cluster.
fn hash(spec: &PolicySpec) -> String {
    let canonical = serde_json::to_value(spec.body()).unwrap_or_default();
    let digest = Sha256::digest(crate::render::sorted(&canonical).to_string());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

impl CompiledPolicy {
    /// Name and scope.
    pub fn id(&self) -> &PolicyId {
        &self.id
    }

    /// What is wrong with it; empty when it is accepted.
    pub fn errors(&self) -> &[PolicyError] {
        &self.errors
    }

    /// What its author should know.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// How binding it is.
    pub fn enforcement(&self) -> Enforcement {
        self.head.enforcement
    }

    /// For a broken policy: itself, serving on with what `previous` (an earlier version of the same policy) renders and
    /// selects. An accepted policy is returned as it is.
    #[must_use]
    pub fn or_last_good(mut self, previous: Option<&CompiledPolicy>) -> CompiledPolicy {
        let last_good = previous.filter(|previous| previous.id == self.id && previous.body.is_some());
        if let (None, Some(previous)) = (&self.body, last_good) {
            self.body.clone_from(&previous.body);
            self.head = previous.head.clone();
        }
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.id.name
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// What it renders; `None` for a broken policy without a good version.
    pub(crate) fn body(&self) -> Option<&Body> {
        self.body.as_deref()
    }
}
