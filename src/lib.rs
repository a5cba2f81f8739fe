//! Outrigger's edges: what touches the network, the disk, the cluster, the clock.
//!
//! What is decided about a Pod, and what is added to it, is the engine's; nothing here looks into a policy.

pub mod cli;
pub mod controller;
pub mod crds;
pub mod manifest;
pub mod observe;
pub mod regular_file;
pub mod render;
pub mod store;
pub mod tls;
pub mod webhook;
