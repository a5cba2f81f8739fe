//! `outrigger-runtime elect`: the real program, many of it, with a real API server, that are killed, stopped and cut off.
//!
//! [`outrigger_harness::claims`] says whether what they answered can be true; it knows nothing of how they decide.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod api;
mod asking;
mod chaos;
mod elector;
mod endings;
mod flags;
mod hostile;
mod label;
mod page;
mod permission;
mod ports;
mod several;
