//! The values of the chart: each has a meaning, its place in the schema, and a row in the documents.
use outrigger_harness::rundir::workspace;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;

const VALUES: &str = include_str!("../../charts/outrigger/values.yaml");
const PAGE: &str = "docs/install.md";
const HEADING: &str = "| value | default | meaning |\n|---|---|---|\n";

/// A value that can be set by itself: its dotted path, its default, and the comment above it.
struct Row {
    path: String,
    default: Value,
    meaning: String,
}

/// The rows of `values.yaml`: whatever stands below a comment.
fn rows() -> Vec<Row> {
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let (mut rows, mut parents, mut comment) = (Vec::new(), Vec::<(usize, String)>::new(), String::new());
    for line in VALUES.lines().filter(|line| !line.is_empty()) {
        let indent = line.len() - line.trim_start().len();
        if let Some(text) = line.trim_start().strip_prefix("# ") {
            comment = format!("{comment} {text}").trim().to_owned();
            continue;
        }
        let (key, _) = line.trim_start().split_once(':').unwrap();
        parents.retain(|(depth, _)| *depth < indent);
        parents.push((indent, key.to_owned()));
        let names: Vec<&str> = parents.iter().map(|(_, name)| name.as_str()).collect();
        if let Some(default) = values
            .pointer(&format!("/{}", names.join("/")))
            .filter(|_| !comment.is_empty())
        {
            rows.push(Row {
                path: names.join("."),
                default: default.clone(),
                meaning: std::mem::take(&mut comment),
            });
        }
    }
    rows
}

fn table() -> String {
    let text = |row: &Row| format!("| `{}` | `{}` | {} |\n", row.path, row.default, row.meaning);
    HEADING.to_owned() + &rows().iter().map(text).collect::<String>()
}

#[test]
fn the_page_lists_every_value_with_its_default_and_its_meaning() {
    let path = workspace().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let start = page
        .find(HEADING)
        .unwrap_or_else(|| panic!("{PAGE} has no table of values"));
    let end = page[start..].find("\n\n").map_or(page.len(), |end| start + end + 1);
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, format!("{}{}{}", &page[..start], table(), &page[end..])).unwrap();
        return;
    }
    assert!(
        page[start..end] == table(),
        "{PAGE} is out of date; UPDATE=1 cargo test --test chart -- values"
    );
}

/// Every value that is not a table of further ones is told about.
#[test]
fn every_value_has_a_meaning() {
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let told: BTreeSet<String> = rows().into_iter().map(|row| row.path).collect();
    let mut untold = Vec::new();
    leaves(String::new(), &values, &told, &mut untold);
    assert!(
        untold.is_empty(),
        "{untold:?} have no comment above them in values.yaml"
    );
}

fn leaves(path: String, value: &Value, told: &BTreeSet<String>, untold: &mut Vec<String>) {
    match value.as_object() {
        _ if told.contains(&path) => {}
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                leaves(path, value, told, untold);
            }
        }
        _ => untold.push(path),
    }
}

#[test]
fn the_schema_has_the_values_that_there_are() {
    let values: Value = serde_saphyr::from_str(VALUES).unwrap();
    let schema: Value = serde_json::from_str(include_str!("../../charts/outrigger/values.schema.json")).unwrap();
    let mut differ = Vec::new();
    compare("", &values, &schema, &mut differ);
    assert!(differ.is_empty(), "{differ:?}");
}

/// Where the schema is closed, it lists what is there.
fn compare(path: &str, values: &Value, schema: &Value, differ: &mut Vec<String>) {
    if schema["additionalProperties"] != false {
        return;
    }
    let names = |object: &Value| {
        object
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<BTreeSet<String>>()
    };
    let (there, mut listed) = (names(values), names(&schema["properties"]));
    // Helm itself adds it, when the chart is part of another.
    if path.is_empty() {
        listed.remove("global");
    }
    differ.extend(there.symmetric_difference(&listed).map(|name| format!("{path}/{name}")));
    for name in there.intersection(&listed).filter(|name| *name != "issuerRef") {
        compare(
            &format!("{path}/{name}"),
            &values[name],
            &schema["properties"][name],
            differ,
        );
    }
}

/// The values that the page shows are ones that the chart takes.
#[tokio::test]
async fn the_chart_takes_the_values_that_the_page_shows() {
    let Some(helm) = outrigger_harness::Helm::find() else {
        return;
    };
    let page = fs::read_to_string(workspace().join(PAGE)).unwrap();
    let mut shown = 0;
    for rest in page.split("\n```yaml\n").skip(1) {
        let values: Value = serde_saphyr::from_str(rest.split("\n```").next().unwrap()).unwrap();
        crate::rendering::render(&helm, &values, &[]).await.unwrap();
        shown += 1;
    }
    assert!(shown >= 3);
}
