//! `${CEL}` in the values of a policy.
//!
//! An expression is read by the parser of the `cel` crate, checked and turned into a small tree when the policy is
//! loaded ([`Expression::compile`], [`Template::compile`]) and walked when a Pod arrives. The functions are those of
//! `cel` and `kube-cel`. The walk is our own, because the crate's has no budget, copies whole maps at each selection and
//! fails on `.?` of a field that is absent.
//!
//! **Architecture Invariant:** nothing here knows what a Pod or a policy looks like; values in, values out. Every cost is
//! bounded by the constants of [`limits`], whatever the policy's author and the Pod's author write.

mod call;
mod compile;
mod escape;
mod evaluate;
mod fold;
mod functions;
mod json;
pub mod limits;
mod lower;
mod native;
mod operators;
mod path;
mod pattern;
mod print;
mod scan;
mod scope;
mod template;
mod text;
mod tree;

#[cfg(test)]
mod tests;

pub use compile::{Expression, Uses, Vocabulary};
pub use functions::function_names;
pub use limits::Budget;
pub(crate) use pattern::compile as compile_pattern;
pub use scope::{Scope, namespace_object};
pub use template::{Place, Template};
