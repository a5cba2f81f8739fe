//! Outrigger on a whole node: Pods are not only admitted, they run.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod applications;
mod certificates;
mod content_sync;
mod elsewhere;
mod forward;
mod images;
mod injector;
mod installed;
mod leader_elector;
mod life;
mod log_saver;
mod memcached;
mod mounts;
mod nginx_metrics;
mod outage;
mod processes;
mod room;
mod scatter_gather;
mod stand_in;
mod stream;
mod together;
mod work_queue;
mod works;
