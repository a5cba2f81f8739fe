//! The table of values, with the objects that each gives.
use crate::rendering::{NAMESPACE, Objects, render};
use outrigger_harness::{Helm, Page};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A row of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    #[serde(default)]
    pub values: Value,
    /// Further arguments of helm.
    #[serde(default)]
    helm: Vec<String>,
    /// What there is besides what the defaults give.
    #[serde(default)]
    more: Vec<String>,
    /// What there is not, though the defaults give it.
    #[serde(default)]
    less: Vec<String>,
    /// Values by object and JSON pointer; `null`: absent.
    #[serde(default)]
    fields: BTreeMap<String, BTreeMap<String, Value>>,
    /// Flags of `outrigger serve` that are there.
    #[serde(default)]
    flags: Vec<String>,
    /// Beginnings of flags that are not.
    #[serde(default)]
    no_flags: Vec<String>,
}

const DEFAULTS: [&str; 12] = [
    "ClusterRole/outrigger",
    "ClusterRoleBinding/outrigger",
    "Deployment/outrigger",
    "Lease/outrigger-controller",
    "NetworkPolicy/outrigger",
    "PodDisruptionBudget/outrigger",
    "PriorityClass/outrigger",
    "Role/outrigger",
    "RoleBinding/outrigger",
    "Secret/outrigger-certificate",
    "Service/outrigger",
    "ServiceAccount/outrigger",
];

pub fn all() -> Vec<Variant> {
    let variants: Vec<Variant> = serde_saphyr::from_str(include_str!("variants.yaml")).unwrap();
    assert!(variants.len() > 10);
    variants
}

/// The values that the page on installing shows.
pub fn shown() -> Vec<Variant> {
    let blocks = Page::read("docs/install.md").blocks("yaml");
    assert!(blocks.len() >= 3, "{blocks:?}");
    let variant = |block: &String| Variant {
        name: block.clone(),
        values: serde_saphyr::from_str(block).unwrap(),
        helm: Vec::new(),
        more: Vec::new(),
        less: Vec::new(),
        fields: BTreeMap::new(),
        flags: Vec::new(),
        no_flags: Vec::new(),
    };
    blocks.iter().map(variant).collect()
}

impl Variant {
    /// The objects; the chart must take the values.
    pub async fn render(&self, helm: &Helm) -> Objects {
        let further: Vec<&str> = self.helm.iter().map(String::as_str).collect();
        let objects = render(helm, &self.values(), &further).await;
        objects.unwrap_or_else(|message| panic!("{}: {message}", self.name))
    }

    fn values(&self) -> Value {
        if self.values.is_null() {
            json!({})
        } else {
            self.values.clone()
        }
    }

    fn expected(&self) -> BTreeSet<String> {
        let kept = DEFAULTS.iter().map(|name| (*name).to_owned());
        let kept = kept.filter(|name| !self.less.contains(name));
        kept.chain(self.more.iter().cloned()).collect()
    }

    fn wrong(&self, objects: &Objects) -> Vec<String> {
        let mut wrong = Vec::new();
        let found: BTreeSet<String> = objects.keys().cloned().collect();
        if found != self.expected() {
            wrong.push(format!("objects: {found:?}, not {:?}", self.expected()));
        }
        for (name, fields) in &self.fields {
            for (pointer, expected) in fields {
                let found = objects.get(name).and_then(|object| object.pointer(pointer));
                if found.unwrap_or(&Value::Null) != expected {
                    wrong.push(format!("{name} {pointer}: {found:?}, not {expected}"));
                }
            }
        }
        let flags = flags(objects);
        wrong.extend(
            self.flags
                .iter()
                .filter(|flag| !flags.contains(flag))
                .map(|flag| format!("no {flag} in {flags:?}")),
        );
        let there = |flag: &&String| flags.iter().any(|found| found.starts_with(flag.as_str()));
        wrong.extend(
            self.no_flags
                .iter()
                .filter(there)
                .map(|flag| format!("{flag} in {flags:?}")),
        );
        wrong
    }
}

/// The arguments of the program.
pub fn flags(objects: &Objects) -> Vec<String> {
    let arguments = objects["Deployment/outrigger"].pointer("/spec/template/spec/containers/0/args");
    let arguments = arguments.and_then(Value::as_array).unwrap();
    arguments
        .iter()
        .map(|argument| argument.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn values_give_the_objects_that_the_table_says() {
    let Some(helm) = Helm::find() else { return };
    let mut wrong = Vec::new();
    for variant in all() {
        let objects = variant.render(&helm).await;
        let name = &variant.name;
        wrong.extend(
            variant
                .wrong(&objects)
                .into_iter()
                .map(|line| format!("{name}: {line}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What every object is found by, and that none says of itself where it is unless it is in a namespace.
#[tokio::test]
async fn every_object_is_labelled_and_in_the_namespace_of_the_release() {
    let Some(helm) = Helm::find() else { return };
    let cluster_scoped = [
        "ClusterRole",
        "ClusterRoleBinding",
        "PriorityClass",
        "ClusterInjectionPolicy",
    ];
    for variant in all() {
        for (name, object) in variant.render(&helm).await {
            if name.starts_with("CustomResourceDefinition/") {
                continue;
            }
            let labels = &object["metadata"]["labels"];
            for (label, value) in [("name", "outrigger"), ("instance", "outrigger"), ("managed-by", "Helm")] {
                assert_eq!(labels[format!("app.kubernetes.io/{label}")], value, "{name} {label}");
            }
            let kind = name.split('/').next().unwrap();
            let expected = if cluster_scoped.contains(&kind) {
                Value::Null
            } else {
                json!(NAMESPACE)
            };
            assert_eq!(object["metadata"]["namespace"], expected, "{name}");
        }
    }
}

/// Each flag is one of the program.
#[tokio::test]
async fn the_program_knows_every_flag_that_it_is_given() {
    let Some(helm) = Helm::find() else { return };
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let known: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("--")))
        .collect();
    for variant in all() {
        let objects = variant.render(&helm).await;
        let flags = flags(&objects);
        assert_eq!(flags[0], "serve");
        let unknown: Vec<&String> = flags[1..]
            .iter()
            .filter(|flag| !known.contains(flag.split('=').next().unwrap()))
            .collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", variant.name);
    }
}

/// What the operations page lists is what the chart allows.
#[tokio::test]
async fn the_chart_gives_the_rights_that_the_documents_list() {
    let Some(helm) = Helm::find() else { return };
    let objects = render(&helm, &json!({"countPods": true}), &[]).await.unwrap();
    let mut listed = 0;
    for block in Page::read("docs/operations.md").blocks("yaml") {
        for role in serde_saphyr::from_multiple::<Value>(&block).unwrap() {
            if !["ClusterRole", "Role"].contains(&role["kind"].as_str().unwrap_or_default()) {
                continue;
            }
            let given = objects[&crate::rendering::name(&role)]["rules"].as_array().unwrap();
            let missing: Vec<&Value> = role["rules"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|rule| !given.contains(rule))
                .collect();
            assert!(missing.is_empty(), "{missing:?} are not in the chart");
            listed += 1;
        }
    }
    assert!(listed >= 3);
}
