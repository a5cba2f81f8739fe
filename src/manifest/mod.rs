//! Manifests as text: a stream taken apart into documents, each read as kubectl reads it, changed, and written again.
//!
//! **Architecture Invariant:** what is written is read back by kubectl as the value that was read. Where that cannot be
//! kept, reading or writing is an error, never another value. It knows where Pods are in a workload, and nothing of policies.
mod change;
mod created;
mod json;
mod number;
mod read_yaml;
mod rewrite;
mod scalar;
mod split;
mod value;
mod workload;
mod write_yaml;

pub use change::{Operation, apply, operations};
pub use created::as_created;
pub use rewrite::{Target, is_yaml_too, rewrite};
pub use split::{Form, Part, split};
pub use value::{Json, List, Map, Number, Numbers, Style, Text, Value};
pub use workload::{Owner, Workload, WorkloadKind, find, items};

/// Deepest nesting that is read.
const DEEPEST: usize = 100;

/// Why a document cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", .line.map_or(String::new(), |line| format!("line {line}: ")))]
pub struct ManifestError {
    /// Counted from 1, in the text that was given.
    pub line: Option<usize>,
    /// What is wrong, and the way out.
    pub message: String,
}

impl ManifestError {
    fn at(line: usize, message: impl Into<String>) -> Self {
        ManifestError {
            line: Some(line),
            message: message.into(),
        }
    }

    fn new(message: impl Into<String>) -> Self {
        ManifestError {
            line: None,
            message: message.into(),
        }
    }

    /// The same, in a text that begins `lines` further up.
    #[must_use]
    fn below(self, lines: usize) -> Self {
        ManifestError {
            line: self.line.map(|line| line + lines),
            ..self
        }
    }
}
