//! Outrigger on a whole node: Pods are not only admitted, they run.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod content_sync;
mod images;
mod injector;
mod installed;
mod leader_elector;
mod log_saver;
mod memcached;
mod nginx_metrics;
mod room;
mod scatter_gather;
mod stand_in;
mod works;
