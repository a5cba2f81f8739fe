//! Outrigger as it runs once it is installed: several replicas behind a Service, that share a certificate and register
//! themselves.
//!
//! What they make has fixed names in the whole cluster, so these tests take turns ([`stage::Stage`]). The replicas have
//! the rights that the operations page lists, and no others. Names that begin with `row_` prove that row of the checklist
//! for admission webhooks.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod certificate;
mod configurations;
mod events;
mod lease;
mod outage;
mod rotation;
mod stage;
mod start;
mod status;
mod uninstall;
