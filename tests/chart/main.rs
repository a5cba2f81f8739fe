//! The Helm chart: what helm makes of its values, what it refuses, and what the API server says of the objects.
//!
//! A table of values ([`variants`]) says which objects each gives; all of them are shown to a real API server. What runs of them, and
//! what an installation does, is in `tests/installed/`.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/permission_table.rs"]
mod permission_table;
mod permissions;
mod policies;
mod refusals;
mod rendering;
mod server;
mod values;
mod variants;
