//! Decides what Outrigger adds to a Pod.

mod admit;
mod compile;
pub mod expr;
pub mod params;
mod pod;
pub mod selector;
mod snapshot;

pub use admit::{Admission, Decision, PodRequest, Refusal, Verdict, admit};
pub use compile::{CompiledPolicy, DocumentError, PolicyError, PolicyId, compile};
pub use pod::PodView;
pub use snapshot::{Namespace, Settings, Snapshot};
