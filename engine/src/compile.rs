//! From a policy document to a [`CompiledPolicy`].
use serde_json::Value;
use std::fmt;

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
    errors: Vec<PolicyError>,
    warnings: Vec<String>,
}

/// Compiles one `ClusterInjectionPolicy` or `InjectionPolicy`. A policy whose spec is wrong is returned all the same,
/// with [`CompiledPolicy::errors`] not empty: Pods that it selects must be told.
///
/// # Errors
/// When the document is not a policy at all.
pub fn compile(document: &Value) -> Result<CompiledPolicy, DocumentError> {
    let name = document
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .ok_or_else(|| DocumentError("metadata.name is missing".into()))?;
    Ok(CompiledPolicy {
        id: PolicyId {
            namespace: None,
            name: name.into(),
        },
        errors: vec![],
        warnings: vec![],
    })
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
    /// For a broken policy: itself, serving on with what `previous` (an earlier version of the same policy) renders.
    /// An accepted policy is returned as it is.
    #[must_use]
    pub fn or_last_good(self, previous: Option<&CompiledPolicy>) -> CompiledPolicy {
        let _ = previous;
        self
    }
}
