//! The tables of golden cases in `tests/golden/cases/`.

use std::path::{Path, PathBuf};

use outrigger_engine::Settings;
use serde::Deserialize;
use serde_json::Value;

/// One file: policies, namespaces, and what becomes of some Pods with them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Table {
    /// The file's name without its suffix.
    #[serde(skip)]
    pub name: String,
    /// Names of folders of `policies/`.
    #[serde(default)]
    bundled: Vec<String>,
    /// In the file without `apiVersion` and `kind`: the cluster's, or a namespace's where there is a
    /// `metadata.namespace`.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// Namespace manifests.
    #[serde(default)]
    pub namespaces: Vec<Value>,
    kubernetes_minor: Option<u32>,
    #[serde(default)]
    foreign_changes: Vec<String>,
    /// The Pods.
    pub cases: Vec<Case>,
}

/// One Pod.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Where it is created.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// As it comes.
    pub pod: Value,
}

fn default_namespace() -> String {
    "default".into()
}

/// The engine's folder; these files are shared with the tests of the program.
fn engine() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let below = here.join("engine");
    if below.is_dir() { below } else { here.to_path_buf() }
}

/// All tables, by name.
pub fn tables() -> Vec<Table> {
    let cases = engine().join("tests/golden/cases");
    let mut paths: Vec<_> = std::fs::read_dir(cases)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn read(path: &Path) -> Table {
    let mut table: Table = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let folder = engine().join("../policies");
    let bundled = table.bundled.iter().map(|name| {
        let text = std::fs::read_to_string(folder.join(name).join("policy.yaml")).unwrap();
        serde_saphyr::from_str::<Value>(&text).unwrap()
    });
    table.policies = bundled.chain(table.policies.iter().map(policy)).collect();
    table.name = path.file_stem().unwrap().to_string_lossy().into_owned();
    table
}

/// A whole policy document.
pub fn policy(short: &Value) -> Value {
    let kind = match short["metadata"]["namespace"] {
        Value::Null => "ClusterInjectionPolicy",
        _ => "InjectionPolicy",
    };
    let mut policy = short.clone();
    policy["apiVersion"] = "outrigger.dev/v1alpha1".into();
    policy["kind"] = kind.into();
    policy
}

impl Table {
    /// The operator's settings.
    pub fn settings(&self) -> Settings {
        let default = Settings::default();
        Settings {
            kubernetes_minor: self.kubernetes_minor.unwrap_or(default.kubernetes_minor),
            foreign_changes: self.foreign_changes.clone(),
            ..default
        }
    }
}
