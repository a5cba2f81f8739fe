//! What helm makes of values.
use outrigger_harness::Helm;
use serde_json::Value;
use std::collections::BTreeMap;

pub const CHART: &str = "charts/outrigger";
pub const NAMESPACE: &str = "outrigger-system";

/// The objects of a rendering, by kind and name.
pub type Objects = BTreeMap<String, Value>;

/// The objects that an installation with these values has, besides the CRDs; helm's message when it refuses them.
pub async fn render(helm: &Helm, values: &Value, further: &[&str]) -> Result<Objects, String> {
    let arguments = ["template", "outrigger", CHART, "--namespace", NAMESPACE];
    let version = ["--kube-version", "1.37.2", "--values", "-"];
    let output = helm.run(&[&arguments[..], &version, further].concat(), values).await;
    if !output.success {
        return Err(output.stderr);
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&output.stdout).map_err(|error| error.to_string())?;
    let named = documents.into_iter().filter(|document| !document.is_null());
    Ok(named.map(|object| (name(&object), object)).collect())
}

/// `Kind/name`.
pub fn name(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// The text of a kubectl list of them.
pub fn list<'a>(objects: impl IntoIterator<Item = &'a Value>) -> String {
    let items: Vec<&Value> = objects.into_iter().collect();
    serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}
