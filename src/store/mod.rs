//! Where policies and namespaces come from, and the snapshot that requests see.
//!
//! A snapshot is never changed, only replaced; who reads it holds no lock.
pub mod cluster;
pub mod documents;
pub mod files;
pub mod listing;
pub mod namespaces;
pub mod policies;
pub mod renderings;

use arc_swap::ArcSwap;
use outrigger_engine::Snapshot;
use std::sync::Arc;

/// The snapshot of the moment.
pub type Current = Arc<ArcSwap<Snapshot>>;
