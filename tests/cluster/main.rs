//! Outrigger in front of a real API server: what becomes of a Pod, and what its user is told.
//!
//! Each test has a namespace, a webhook process and policies of its own ([`scene::Scene`]). Names that begin with `row_`
//! prove that row of the checklist for admission webhooks.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod advice;
mod bundled;
mod client_certificates;
mod contract;
mod crds;
mod dry_run;
#[path = "../support/expression_table.rs"]
mod expression_table;
mod expressions;
mod goldens;
mod guard;
mod inject;
mod inject_scalars;
mod known_refusals;
mod mutating_admission_policy;
mod other_webhooks;
mod parents;
mod patterns;
#[path = "../support/permission_table.rs"]
mod permission_table;
mod permissions;
mod pods;
mod policies;
mod readme;
mod refusals;
mod reload;
mod scene;
mod security;
#[path = "../support/security_page.rs"]
mod security_page;
mod selection;
mod service_account;
mod stage;
mod store;
mod unknown_fields;
mod warnings;
