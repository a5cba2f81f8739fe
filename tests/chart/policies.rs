//! The bundled policies in the chart are those of `policies/`, with the images that the command would give them.
use crate::rendering::{list, render};
use outrigger_harness::Helm;
use outrigger_harness::rundir::workspace;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The text of each file of a folder, by the name that `name` makes of its path; others are left out.
fn texts(folder: &str, file: impl Fn(&str) -> String) -> BTreeMap<String, String> {
    let entries = fs::read_dir(workspace().join(folder)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names
        .map(|name| {
            let text = fs::read_to_string(workspace().join(folder).join(file(&name))).unwrap();
            (name.trim_end_matches(".yaml").to_owned(), text)
        })
        .collect()
}

#[test]
fn the_charts_policies_are_the_bundled_ones() {
    let bundled = texts("policies", |name| format!("{name}/policy.yaml"));
    let kept = workspace().join("charts/outrigger/files/policies");
    if std::env::var_os("UPDATE").is_some() {
        fs::remove_dir_all(&kept).unwrap();
        fs::create_dir(&kept).unwrap();
        for (name, text) in &bundled {
            fs::write(kept.join(format!("{name}.yaml")), text).unwrap();
        }
    }
    let charts = texts("charts/outrigger/files/policies", str::to_owned);
    let differ: Vec<&String> = bundled
        .keys()
        .chain(charts.keys())
        .filter(|name| bundled.get(*name) != charts.get(*name))
        .collect();
    assert!(
        differ.is_empty(),
        "{differ:?} differ; UPDATE=1 cargo test --test chart -- policies"
    );
}

#[test]
fn the_schema_names_the_bundled_policies() {
    let schema: Value = serde_json::from_str(include_str!("../../charts/outrigger/values.schema.json")).unwrap();
    let named = &schema["properties"]["policies"]["properties"]["bundled"]["items"]["enum"];
    let bundled: Vec<String> = texts("policies", |name| format!("{name}/policy.yaml"))
        .into_keys()
        .collect();
    assert_eq!(named, &Value::from(bundled));
}

/// The images of ours that follow the chart's registry and tag are of this version.
#[test]
fn own_images_of_bundled_policies_have_the_version_of_the_chart() {
    let chart: Value = serde_saphyr::from_str(include_str!("../../charts/outrigger/Chart.yaml")).unwrap();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    let mut own = 0;
    for (name, text) in texts("policies", |name| format!("{name}/policy.yaml")) {
        for image in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: outrigger/"))
        {
            assert!(
                image.ends_with(concat!(":", env!("CARGO_PKG_VERSION"))),
                "{name}: {image}"
            );
            own += 1;
        }
    }
    assert!(own > 0);
}

/// What the command makes of the manifests that every bundled policy has beside it.
fn injected(policies: &Path, flags: &[&str]) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger"));
    command
        .args(["inject", "--recursive", "--policies"])
        .arg(policies)
        .args(flags);
    for name in texts("policies", |name| format!("{name}/policy.yaml")).into_keys() {
        command
            .arg("-f")
            .arg(workspace().join(format!("policies/{name}/example.yaml")));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

/// Also the hashes in the annotations are the same, so that what one has injected is not outdated for the other.
#[tokio::test]
async fn images_that_values_choose_are_those_that_the_flags_of_the_command_choose() {
    let Some(helm) = Helm::find() else { return };
    let bundled: Vec<String> = texts("policies", |name| format!("{name}/policy.yaml"))
        .into_keys()
        .collect();
    let (from, to) = ("fluent/fluent-bit:4.0", "registry.example.com/fluent-bit:4.0");
    let one = format!("--image={from}={to}");
    for (image, images, flags) in [
        (json!({}), json!({}), vec![]),
        (
            json!({"registry": "registry.example.com/mirror", "tag": "0.1.1"}),
            json!({from: to}),
            vec![
                "--image-registry=registry.example.com/mirror",
                "--image-tag=0.1.1",
                &one,
            ],
        ),
        (
            json!({"registry": "registry.example.com/"}),
            json!({}),
            vec!["--image-registry=registry.example.com/"],
        ),
        (
            json!({"registry": "registry.example.com"}),
            json!({"outrigger/runtime:0.1.0": "local/runtime:1"}),
            vec![
                "--image-registry=registry.example.com",
                "--image=outrigger/runtime:0.1.0=local/runtime:1",
            ],
        ),
    ] {
        let values = json!({"image": image, "policies": {"bundled": bundled, "images": images}});
        let objects = render(&helm, &values, &[]).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let policies = objects
            .iter()
            .filter(|(name, _)| name.starts_with("ClusterInjectionPolicy/"));
        fs::write(
            folder.path().join("rendered.json"),
            list(policies.map(|(_, policy)| policy)),
        )
        .unwrap();
        let (rendered, given) = (
            injected(folder.path(), &[]),
            injected(&workspace().join("policies"), &flags),
        );
        for (rendered, given) in rendered.iter().zip(&given) {
            assert_eq!(rendered, given, "{flags:?}");
        }
        assert_eq!(rendered.len(), given.len());
        let from_there = |manifest: &Value| manifest.to_string().contains("\"image\":\"registry.example.com/");
        assert_eq!(flags.is_empty(), !given.iter().any(from_there));
    }
}
