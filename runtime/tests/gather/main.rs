//! `outrigger-runtime gather` as clients, leaves and the merging container meet it: the real program, real sockets.
//!
//! [`stage`] starts the program and talks to it; [`leaf`] has leaves that do what a test wants, and tell what they saw;
//! [`processes`] has leaves that are processes of their own; [`names`] is a name server.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod bounds;
mod cancelling;
mod discovery;
mod endpoints;
mod example;
mod hedging;
mod leaf;
mod load;
mod merging;
mod names;
mod passing_on;
mod processes;
mod replicas;
mod requiring;
mod serving;
mod stage;
mod usage;
