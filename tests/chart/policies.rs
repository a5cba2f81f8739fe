//! The bundled policies in the chart are those of `policies/`.
use outrigger_harness::rundir::workspace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

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
