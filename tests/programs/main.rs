//! The bundled policies with the programs that they name: what is rendered is started, and does what the policy promises.
//!
//! A policy is rendered into a Pod by the code that the webhook runs ([`pods`]); [`kubelet`] then does with the helper what kubelet
//! would do, save for the image: the program is the one that this machine has. For programs that cannot be had, [`options`]
//! compares what is rendered with their documentation. No cluster, no container engine.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod built;
mod content_sync;
mod edges;
mod guided;
mod image;
mod kubelet;
mod leader_elector;
mod limits;
mod log_saver;
mod machine;
mod memcached;
mod nginx_metrics;
mod options;
mod pods;
mod scatter_gather;
mod shards;
mod signed;
#[path = "../../engine/tests/support/mod.rs"]
mod support;
mod work_queue;
