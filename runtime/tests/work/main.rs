//! `outrigger-runtime work` as a process, with a real nats-server and an application that can be told to fail.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod accounts;
mod application;
mod chaos;
mod cluster;
mod dead;
mod files;
mod flags;
mod items;
mod queue;
mod readme;
mod retries;
mod secured;
mod stopping;
mod streams;
mod waiting;
mod worker;
