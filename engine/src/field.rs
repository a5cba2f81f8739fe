//! Errors that say which field they are about.

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldError {
    /// From the document's root, for example `spec.sidecars[0].container.name`.
    pub(crate) path: String,
    pub(crate) message: String,
}

impl FieldError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> FieldError {
        FieldError {
            path: path.into(),
            message: message.into(),
        }
    }
}

impl From<(String, String)> for FieldError {
    fn from((path, message): (String, String)) -> FieldError {
        FieldError { path, message }
    }
}
