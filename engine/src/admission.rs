//! One admission as data: what is asked, what is answered.

use crate::select::{Because, Selection};
use crate::{PodView, PolicyId};

/// A Pod about to be created.
pub struct PodRequest<'a> {
    /// `request.namespace` of the review, never the Pod's own `metadata.namespace`.
    pub namespace: &'a str,
    /// The Pod.
    pub pod: &'a PodView<'a>,
    /// The Pod as a JSON value, asked for only when an expression reads `object`, or a container is to be compared.
    pub object: &'a dyn Fn() -> Option<serde_json::Value>,
}

/// What becomes of the Pod.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// Admitted as it is.
    Unchanged,
    /// Admitted with this JSON Patch (RFC 6902), an array of `add` operations.
    Patched(Vec<u8>),
    /// Refused.
    Refused(Refusal),
}

/// Why a Pod is refused.
#[derive(Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status for the review's `status.code`: 403 or 422.
    pub code: u16,
    /// For the user.
    pub message: String,
}

/// What was decided about one policy.
#[derive(Debug, PartialEq)]
pub struct Decision {
    /// Which policy.
    pub policy: PolicyId,
    /// From a closed set, so that it can label a metric.
    pub reason: &'static str,
}

impl Decision {
    /// Whether the Pod gets the policy, or has it already.
    pub fn is_injection(&self) -> bool {
        Because::ALL
            .into_iter()
            .any(|because| Selection::Selected(because).reason() == self.reason)
    }
}

/// That a Pod is refused, or goes without a policy that it should have, told so that others may read it: without any
/// value that the Pod or its namespace holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trouble {
    /// Which policy, if it is about one.
    pub policy: Option<PolicyId>,
    /// Whether the Pod is refused for it.
    pub refused: bool,
    /// Why.
    pub why: String,
}

/// The answer to one [`PodRequest`].
#[derive(Debug)]
pub struct Admission {
    /// What becomes of the Pod.
    pub verdict: Verdict,
    /// For the user, each once, unbounded: the webhook cuts them to what the API server lets through.
    pub warnings: Vec<String>,
    /// Keys without a prefix, and values, for the API server's audit log.
    pub audit_annotations: Vec<(&'static str, String)>,
    /// For metrics and logs.
    pub decisions: Vec<Decision>,
    /// For Events. Empty where an earlier call has told of the same.
    pub troubles: Vec<Trouble>,
}
