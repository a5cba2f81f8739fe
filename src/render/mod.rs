//! Does to manifests what the webhook does to Pods: from files to documents (`input`), to what the engine says of each Pod in
//! them (`decide`), to text (`output`, `diff`, `report`).
//!
//! **Architecture Invariant:** nothing is written before everything is decided. It knows no terminal and no exit code; it reads
//! files only in `input` and `policies`.
pub mod decide;
pub mod diff;
pub mod facts;
pub mod input;
pub mod output;
pub mod policies;
pub mod report;

/// What makes a run impossible: input that cannot be read. Each is one line.
#[derive(Debug, Default)]
pub struct Unusable(pub Vec<String>);

impl Unusable {
    /// `value`, unless something is unusable.
    ///
    /// # Errors
    /// With all of it.
    pub fn unless_any<T>(self, value: T) -> Result<T, Unusable> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}
