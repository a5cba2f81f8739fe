//! What a helper is made ready from.

use serde_json::Value;

use super::Kind;
use crate::policy::{Lifecycle, PlacementSpec};

/// A helper's rendered values.
pub(crate) struct Parts<'a> {
    pub(crate) policy: &'a str,
    pub(crate) kind: Kind,
    /// For example `spec.sidecars[0]`.
    pub(crate) path: &'a str,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) placement: &'a PlacementSpec,
    /// An object with `container`, `serviceAccountToken`, `sharedVolumes`, `endpoints`, `metrics` and
    /// `files` (`mountPath`, `mode`), each where the policy has it.
    pub(crate) value: &'a Value,
    /// File names and contents, by name.
    pub(crate) files: &'a [(String, String)],
    /// How many files the policy's earlier helpers have.
    pub(crate) files_before: usize,
}
