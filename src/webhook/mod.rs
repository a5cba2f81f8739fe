//! The admission webhook.
pub mod answer;
pub mod limits;
pub mod review;
