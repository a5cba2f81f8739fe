//! The guard: admission policies that the API server itself evaluates, so that a Pod that asked for a helper, or must
//! have one, does not pass without it while Outrigger is away.
//!
//! [`Guard::of`] makes them from the policies that are served: values in, values out. Two objects with fixed names, each
//! with a binding of the same name: `requested` is about Pods that name a policy, `required` about those that a
//! `Required` policy selects. Both also keep from later changes what they go by.
//!
//! **Architecture Invariant:** a Pod that neither asks for a policy nor has to have one passes, whatever the policies say.
mod cel;
mod check;
mod duty;
mod glass;
mod requested;
mod required;

pub use check::{Check, LeftOut, REQUESTED, REQUIRED};
pub use duty::GuardDuty;

use outrigger_engine::Snapshot;
use std::collections::BTreeSet;

/// Both objects with their bindings.
#[derive(Debug)]
pub struct Guard {
    /// `outrigger-requested`.
    pub requested: Check,
    /// `outrigger-required`.
    pub required: Check,
}

/// What the guard goes by besides the policies that are served.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Who may change what the guard goes by: the user name that Outrigger itself has at the API server.
    pub injector: Option<String>,
    /// A namespace that is protected besides those of the settings: Outrigger's own.
    pub namespace: Option<String>,
    /// Names of policies of which the API server takes no check.
    pub unusable: BTreeSet<String>,
}

impl Guard {
    /// The guard for these policies.
    pub fn of(snapshot: &Snapshot, facts: &Facts) -> Guard {
        Guard {
            requested: requested::check(snapshot, facts),
            required: required::check(snapshot, facts),
        }
    }
}
