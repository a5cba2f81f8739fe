//! The CustomResourceDefinitions of both kinds of policy, made from the engine's types.
//!
//! The schema says what it can of what a policy must be, so that most mistakes are refused by the API server itself, also
//! while nobody here is running. It is never stricter than the engine, which has the last word.
mod rules;
mod structural;

use anyhow::{Context, Result};
use outrigger_engine::{
    policy::{CLUSTER_KIND, CLUSTER_PLURAL, GROUP, NAMESPACED_KIND, NAMESPACED_PLURAL, PolicySpec, VERSION},
    status::PolicyStatus,
};
use serde_json::{Value, json};

/// What sets the kinds apart.
struct Kind {
    kind: &'static str,
    plural: &'static str,
    short: &'static str,
    scope: &'static str,
    about: &'static str,
}

const CLUSTER: Kind = Kind {
    kind: CLUSTER_KIND,
    plural: CLUSTER_PLURAL,
    short: "cinj",
    scope: "Cluster",
    about: "Describes helper containers, and the Pods of any namespace that get them.",
};

/// `ip` would be the IPAddress of networking.k8s.io.
const NAMESPACED: Kind = Kind {
    kind: NAMESPACED_KIND,
    plural: NAMESPACED_PLURAL,
    short: "inj",
    scope: "Namespaced",
    about: "Describes helper containers, and the Pods of its own namespace that get them.",
};

/// Both definitions.
///
/// # Errors
/// When a rule is for a field that does not exist.
pub fn all() -> Result<[Value; 2]> {
    Ok([definition(&CLUSTER)?, definition(&NAMESPACED)?])
}

/// Both definitions, as YAML.
///
/// # Errors
/// As [`all`].
pub fn yaml() -> Result<String> {
    let mut text = String::new();
    for definition in all()? {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition).context("failed to write YAML")?);
    }
    Ok(text)
}

fn definition(kind: &Kind) -> Result<Value> {
    let singular = kind.kind.to_ascii_lowercase();
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{GROUP}", kind.plural)},
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.kind,
                "listKind": format!("{}List", kind.kind),
                "plural": kind.plural,
                "singular": singular,
                "shortNames": [kind.short],
                "categories": ["outrigger"],
            },
            "versions": [{
                "name": VERSION,
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns(),
                "schema": {"openAPIV3Schema": schema(kind)?},
            }],
        },
    }))
}

fn schema(kind: &Kind) -> Result<Value> {
    let mut schema = json!({
        "description": kind.about,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": structural::schema_of::<PolicySpec>(),
            "status": structural::schema_of::<PolicyStatus>(),
        },
    });
    rules::add(&mut schema, kind.scope == NAMESPACED.scope)?;
    Ok(schema)
}

fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str, priority: u32| json!({"name": name, "type": kind, "jsonPath": path, "priority": priority});
    json!([
        column("Pattern", "string", ".status.pattern", 0),
        column("Selection", "string", ".status.selection", 0),
        column("Enforcement", "string", ".spec.enforcement", 0),
        column("Paused", "boolean", ".spec.paused", 1),
        column(
            "Accepted",
            "string",
            ".status.conditions[?(@.type==\"Accepted\")].status",
            0
        ),
        column("Injected", "integer", ".status.injected", 0),
        column("Outdated", "integer", ".status.outdated", 1),
        column("Missing", "integer", ".status.missing", 1),
        column("Age", "date", ".metadata.creationTimestamp", 0),
    ])
}
