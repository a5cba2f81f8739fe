//! What the schema says of fields that may hold `${…}`: as much as is true before they are rendered. An item of a list may
//! itself be one expression, so most of them have no type here; their types are checked when the policy is compiled.
//!
//! None of these has a default: the API server would write it into the policy, and the policy from a file and the same one
//! from the cluster would no longer have the same hash.

use schemars::{Schema, SchemaGenerator, json_schema};

/// As many items as [`crate::compile()`] allows in a list or map.
const MAX_ITEMS: usize = 256;
/// Characters of a text that may hold expressions.
const MAX_TEXT: usize = 65536;

/// Whatever is written.
pub(crate) fn untyped(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-preserve-unknown-fields": true})
}

/// A list of whatever is written.
pub(crate) fn untyped_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": {"x-kubernetes-preserve-unknown-fields": true},
        "x-kubernetes-list-type": "atomic",
    })
}

/// A list that is there to choose from.
pub(crate) fn choices(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = untyped_list(generator);
    schema.insert("minItems".into(), 1.into());
    schema
}

pub(crate) fn number(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "number"})
}

/// A number, or the expression that yields one.
pub(super) fn number_or_text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

pub(super) fn text(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": MAX_TEXT})
}

pub(super) fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": {"type": "string", "maxLength": MAX_TEXT},
        "x-kubernetes-list-type": "atomic",
    })
}

pub(super) fn text_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": MAX_ITEMS,
        "additionalProperties": {"type": "string", "maxLength": MAX_TEXT},
    })
}

pub(super) fn container(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": MAX_TEXT},
            "image": {"type": "string", "maxLength": MAX_TEXT},
        },
        "required": ["name", "image"],
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// Objects, so that rules can see how many there are.
pub(super) fn endpoints(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": {
            "type": "object",
            "properties": {"port": {"x-kubernetes-int-or-string": true}},
            "required": ["port"],
            "x-kubernetes-preserve-unknown-fields": true,
        },
        "x-kubernetes-list-type": "atomic",
    })
}

pub(super) fn files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": MAX_ITEMS,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}
