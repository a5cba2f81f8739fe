//! A release of the chart in a cluster: installed by helm, run, upgraded, rolled, uninstalled, and installed again.
//!
//! The API server, its admission and its garbage collector are real. There is no node: the Pod template of the Deployment is started as
//! processes, with the rights of the chart's ServiceAccount, and the Service leads to them through a small balancer.
// Clippy knows test functions, not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod documents;
mod life;
#[path = "../support/permission_table.rs"]
mod permission_table;
mod release;
