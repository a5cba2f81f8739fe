//! The webhook from outside: bytes in, bytes out, over real sockets. What is injected is tested elsewhere.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod advise;
mod api_server;
mod attack;
mod bad_input;
mod certificates;
mod client;
mod client_certificates;
mod cluster_store;
mod connections;
mod contract;
mod documents;
mod examples;
#[path = "../support/expression_table.rs"]
mod expression_table;
mod guard;
mod inject;
mod lifecycle;
mod lints;
mod picture;
mod ports;
mod program;
mod reference;
mod reviews;
#[path = "../support/security_page.rs"]
mod security_page;
mod server;
mod validate;
