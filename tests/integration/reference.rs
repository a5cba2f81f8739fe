//! `docs/reference.md` is made of the CustomResourceDefinitions: `UPDATE=1 cargo test --test integration -- reference` writes it.
use serde_json::{Map, Value};
use std::{fmt::Write as _, fs, path::Path};

const HEAD: &str = "\
# Reference of policies

Every field of a policy, as the CustomResourceDefinitions have it; made of them, so do not edit. What the fields do, with examples, is in
[policies.md](policies.md), and what `${…}` means in [expressions.md](expressions.md). In a cluster, `kubectl explain cinj.spec` tells the same.

A `ClusterInjectionPolicy` and an `InjectionPolicy` have the same fields. The API server also holds to the rules below this and
below the tables.
";

/// An object with fields of its own; the same one may be in several places.
struct Section<'a> {
    places: Vec<String>,
    schema: &'a Value,
    /// What an InjectionPolicy has there.
    namespaced: &'a Value,
}

fn schema(definition: &Value) -> &Value {
    definition
        .pointer("/spec/versions/0/schema/openAPIV3Schema/properties")
        .unwrap()
}

fn page() -> String {
    let [cluster, namespaced] = outrigger::crds::all().unwrap();
    let mut sections = Vec::new();
    for part in ["spec", "status"] {
        collect(part, &schema(&cluster)[part], &schema(&namespaced)[part], &mut sections);
    }
    let mut page = HEAD.to_owned();
    let rules = messages(&cluster["spec"]["versions"][0]["schema"]["openAPIV3Schema"]);
    if !rules.is_empty() {
        let _ = write!(page, "\n- {}\n", rules.join("\n- "));
    }
    for section in &sections {
        write_section(section, &mut page);
    }
    page
}

/// The object, and those below it, depth first; one that is there already gets another place.
fn collect<'a>(place: &str, schema: &'a Value, namespaced: &'a Value, sections: &mut Vec<Section<'a>>) {
    let Some(properties) = properties(schema) else { return };
    if let Some(same) = sections
        .iter_mut()
        .find(|section| properties_of(section.schema) == properties)
    {
        same.places.push(place.to_owned());
        return;
    }
    sections.push(Section {
        places: vec![place.to_owned()],
        schema,
        namespaced,
    });
    for (name, field) in properties {
        let other = namespaced
            .pointer(&format!("/properties/{name}"))
            .unwrap_or(&Value::Null);
        let place = format!("{place}.{name}");
        match field.get("items") {
            Some(items) => collect(&format!("{place}[]"), items, &other["items"], sections),
            None => collect(&place, field, other, sections),
        }
    }
}

fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema["properties"]
        .as_object()
        .filter(|properties| !properties.is_empty())
}

fn properties_of(schema: &Value) -> &Map<String, Value> {
    properties(schema).unwrap()
}

fn write_section(section: &Section<'_>, page: &mut String) {
    let places: Vec<String> = section.places.iter().map(|place| format!("`{place}`")).collect();
    let _ = write!(
        page,
        "\n## {}\n\n| field | type | limits | meaning |\n|---|---|---|---|\n",
        places.join(", ")
    );
    let required = section.schema["required"].as_array();
    for (name, field) in properties_of(section.schema) {
        let is_required = required.is_some_and(|required| required.contains(&Value::from(name.as_str())));
        let limits = limits(field, is_required).join("; ");
        let meaning = field["description"].as_str().unwrap_or_default();
        let meaning = meaning
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {} | {limits} | {meaning} |", kind(field));
    }
    let rules = messages(section.schema);
    let further = messages(section.namespaced);
    let further = further.into_iter().filter(|message| !rules.contains(message));
    let lines = rules.iter().map(|rule| format!("- {rule}"));
    let lines = lines.chain(further.map(|rule| format!("- of an InjectionPolicy: {rule}")));
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        let _ = write!(page, "\n{}\n", lines.join("\n"));
    }
}

/// What its CEL rules say when they do not hold.
fn messages(schema: &Value) -> Vec<&str> {
    let rules = schema["x-kubernetes-validations"].as_array();
    rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule["message"].as_str())
        .collect()
}

fn kind(field: &Value) -> String {
    let any = field["x-kubernetes-preserve-unknown-fields"] == true;
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") => match &field["additionalProperties"] {
            Value::Object(_) => format!("map to {}", kind(&field["additionalProperties"])),
            _ => "object".to_owned(),
        },
        Some(kind) => kind.to_owned(),
        None if field["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        None if any => "anything".to_owned(),
        None => panic!("{field} has no type"),
    }
}

fn limits(field: &Value, required: bool) -> Vec<String> {
    let mut limits = Vec::new();
    if required {
        limits.push("required".to_owned());
    }
    if let Some(choices) = field["enum"].as_array() {
        let choices: Vec<String> = choices.iter().map(|choice| format!("`{}`", text(choice))).collect();
        limits.push(format!("one of {}", choices.join(", ")));
    }
    if let Some(default) = field.get("default") {
        limits.push(format!("default `{}`", text(default)));
    }
    for (key, words) in [
        ("minLength", "at least {} characters"),
        ("maxLength", "at most {} characters"),
        ("minItems", "at least {} items"),
        ("maxItems", "at most {} items"),
        ("minProperties", "at least {} entries"),
        ("maxProperties", "at most {} entries"),
        ("minimum", "at least {}"),
        ("maximum", "at most {}"),
    ] {
        // That there is something of what is there goes without saying.
        let limit = field
            .get(key)
            .filter(|limit| !(key.ends_with("Length") && limit.as_u64() == Some(1)));
        limits.extend(limit.map(|limit| words.replace("{}", &text(limit))));
    }
    if let Some(pattern) = field["pattern"].as_str() {
        limits.push(format!("matches `{}`", pattern.replace('|', "\\|")));
    }
    limits
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn the_reference_is_what_the_definitions_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let hint = "docs/reference.md is out of date; UPDATE=1 cargo test --test integration -- reference";
    assert!(fs::read_to_string(&path).unwrap_or_default() == page, "{hint}");
    for part in [
        "## `spec`\n",
        "`spec.ambassadors[]`",
        "`spec.parameters[]`",
        "## `status`\n",
    ] {
        assert!(page.contains(part), "{part}");
    }
}
