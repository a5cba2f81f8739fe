//! From the schema of a Rust type to a structural schema, as CustomResourceDefinitions must have it.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema>
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

/// The structural schema of `T`.
pub(super) fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    restructure(&mut schema);
    schema
}

fn restructure(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    drop_null(schema);
    gather_choices(schema);
    schema.remove("title");
    // A default that the API server writes into the object is a decision of its own, made in `rules`.
    schema.remove("default");
    // Unknown fields are told by the API server's field validation; `false` is not allowed beside `properties`.
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
    if schema
        .get("format")
        .is_some_and(|format| format == "int64" || format == "double")
    {
        schema.remove("format");
    }
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(restructure);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(below) {
            restructure(below);
        }
    }
}

/// `Option<T>`: what is not there is left out, and never `null`.
fn drop_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let Some(Value::Array(either)) = schema.remove("anyOf") else {
        return;
    };
    let is_null = |one: &Value| one.get("type").is_some_and(|kind| kind == "null");
    for members in either.into_iter().filter(|one| !is_null(one)) {
        let Value::Object(members) = members else { continue };
        for (key, value) in members {
            // The field's own description, where it has one, says more than its type's.
            schema.entry(key).or_insert(value);
        }
    }
}

/// An enum with comments on its variants: one list of values, and the comments in the description.
fn gather_choices(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.remove("oneOf") else {
        return;
    };
    let mut values = Vec::with_capacity(choices.len());
    let mut said = String::new();
    for choice in &choices {
        values.extend(choice.get("const").cloned());
        values.extend(
            choice
                .get("enum")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .cloned(),
        );
        if let (Some(value), Some(about)) = (values.last().and_then(Value::as_str), choice.get("description")) {
            said.push_str(&format!("\n{value}: {}", about.as_str().unwrap_or_default()));
        }
    }
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), values.into());
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let about = format!("{about}{said}");
    schema.insert("description".into(), about.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A type.
    #[derive(JsonSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Example {
        /// A text.
        text: Option<String>,
        /// A choice.
        choice: Option<Choice>,
        #[serde(default)]
        list: Vec<Option<u8>>,
    }

    /// Either.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum Choice {
        /// The first.
        One,
        /// The second.
        Two,
    }

    #[test]
    fn what_structural_schemas_do_not_know_is_said_in_their_way() {
        let schema = schema_of::<Example>();
        assert_eq!(
            schema["properties"]["text"],
            json!({"description": "A text.", "type": "string"})
        );
        let choice = &schema["properties"]["choice"];
        assert_eq!(choice["enum"], json!(["One", "Two"]));
        assert_eq!(choice["type"], "string");
        assert!(
            choice["description"].as_str().unwrap().starts_with("A choice."),
            "{choice}"
        );
        assert_eq!(schema["properties"]["list"]["items"]["type"], "integer");
        for word in [
            "null",
            "oneOf",
            "anyOf",
            "$ref",
            "$defs",
            "title",
            "default",
            "additionalProperties",
        ] {
            assert!(
                !schema.to_string().contains(&format!("\"{word}\"")),
                "{word} in {schema}"
            );
        }
    }
}
