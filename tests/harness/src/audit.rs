//! The API server's audit log: where a webhook's audit annotations end up.
use serde_json::Value;
use std::path::Path;

/// Writes down who created which Pod, and the annotations that webhooks left, without the Pods themselves.
pub(crate) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
  "rules": [
    {"level": "Metadata", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]},
    {"level": "None"}
  ]
}"#;

/// The audit annotations of all Pods that were created in the namespace, oldest first.
pub(crate) fn annotations(log: &Path, namespace: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let here = events.filter(|event| event["objectRef"]["namespace"] == namespace);
    here.map(|event| event["annotations"].clone()).collect()
}
