//! A policy's parameters: what they may be, and which value holds for a Pod.
//!
//! A value is a literal, whatever is in it; it is checked here against the parameter's rules, and nothing downstream
//! checks again. A value comes from the policy's default, from an annotation of the namespace or from one of the Pod.

mod declaration;
mod resolve;
mod rule;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

pub use resolve::{Source, Values, annotation_key, resolve};
pub use rule::Parameter;

/// Bytes of a parameter's value.
pub const VALUE_BYTES: usize = 4096;

/// What kind of value a parameter has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ParameterType {
    /// Any text.
    String,
    /// A whole number of 64 bits, in decimal.
    Integer,
    /// A finite number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// Texts, separated by commas in an annotation.
    StringList,
}

impl ParameterType {
    /// The name as it is written in a policy.
    pub fn name(self) -> &'static str {
        match self {
            ParameterType::String => "string",
            ParameterType::Integer => "integer",
            ParameterType::Number => "number",
            ParameterType::Boolean => "boolean",
            ParameterType::StringList => "stringList",
        }
    }
}

/// Who may set a parameter by an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Setter {
    /// The Pod, or the template that it is made from.
    Pod,
    /// The namespace.
    Namespace,
}

/// A parameter as a policy declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParameterSpec {
    /// The name in expressions, `params.<name>`, and in the annotation, `<policy>.outrigger.dev/<name>`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?$"))]
    pub name: String,
    /// What kind of value it has.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The value when nobody sets one; without it the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::policy::schema::untyped")]
    pub default: Option<Value>,
    /// A regular expression for the whole of a string, or of each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub pattern: Option<String>,
    /// The only values, of a list the only items, that are allowed.
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::policy::schema::choices")]
    pub one_of: Option<Vec<Value>>,
    /// The smallest number that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::policy::schema::number")]
    pub minimum: Option<Number>,
    /// The largest number that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::policy::schema::number")]
    pub maximum: Option<Number>,
    /// Who may set it; absent: Pod and Namespace; empty: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2))]
    pub settable_by: Option<Vec<Setter>>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
}
