//! Decides what Outrigger adds to a Pod: values in, values out.
//!
//! [`compile()`] turns a policy document into a [`CompiledPolicy`], a [`Snapshot`] holds compiled policies and namespaces,
//! and [`admit`] answers for one Pod. The reader's way through an admission: `inject` selects (`select`), renders
//! (`render`), plans (`inject::plan`) and writes the patch (`inject::emit`).
//!
//! **Architecture Invariant:** this crate knows no network, disk, cluster, clock or lock. The webhook, the command line
//! and the controller call the same functions, so what one shows is what the others do.

mod admission;
pub mod change;
pub mod clash;
mod compile;
pub mod expr;
mod field;
mod images;
mod inject;
pub mod json;
mod names;
mod outline;
pub mod params;
mod pod;
mod pod_resources;
mod pod_security;
pub mod policy;
mod quantity;
mod render;
mod request;
mod select;
pub mod selector;
mod settings;
mod snapshot;
mod standing;
pub mod status;
mod text;

pub use admission::{Admission, Decision, PodRequest, Refusal, Trouble, Verdict};
pub use compile::{CompiledPolicy, DocumentError, PolicyError, PolicyId, compile};
pub use images::Images;
pub use inject::admit;
pub use outline::{CertainContainer, MatchOutline, Outline};
pub use pod::{OwnerReference, PodView};
pub use render::{Rendering, Renderings};
pub use request::is_for_pods;
pub use settings::Settings;
pub use snapshot::{Namespace, Snapshot};
pub use standing::{Standing, missing_is_not_told, named, standings};
pub use text::Text;
