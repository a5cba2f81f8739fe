//! What an operator sees of the process: metrics, logs, health. Nothing here decides anything.
pub mod events;
pub mod health;
pub mod lines;
pub mod logs;
pub mod metrics;
