//! The picture of a Pod before and after shows what becomes of that Pod.
use json_patch::Patch;
use outrigger_engine::{PodRequest, PodView, Settings, Snapshot, Verdict, admit, compile};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The texts of the picture that have this class, without what is written in other typefaces.
fn texts(picture: &str, class: &str) -> Vec<String> {
    let start = format!("<text class=\"{class}\"");
    let elements = picture.split(&start).skip(1);
    let texts = elements.map(|element| element.split_once('>').unwrap().1.split('<').next().unwrap().to_owned());
    texts.collect()
}

/// The Pod that the picture shows on its left side.
fn pod(picture: &str) -> Value {
    let lines = texts(picture, "code").join(" ");
    let names = lines.split_once("outrigger.dev/inject:").unwrap().1;
    let names = names.split(" localhost:").next().unwrap().trim();
    json!({"metadata": {"name": "web", "annotations": {
        "outrigger.dev/inject": names,
        "log-saver.outrigger.dev/path": "/var/log/nginx",
        "memcached.outrigger.dev/servers": "cache-0:11211, cache-1:11211",
        "content-sync.outrigger.dev/repository": "https://git.example/team/site.git",
    }}, "spec": {"containers": [{"name": "web", "image": "nginx"}]}})
}

fn injected(pod: &Value) -> Value {
    let names = ["content-sync", "log-saver", "memcached", "nginx-metrics"];
    let policies = names.map(|name| {
        let document: Value = serde_saphyr::from_str(&file(&format!("policies/{name}/policy.yaml"))).unwrap();
        Arc::new(compile(&document).unwrap())
    });
    let snapshot = Snapshot::new(policies.into(), Vec::new(), Settings::default());
    let text = pod.to_string();
    let request = PodRequest {
        namespace: "shop",
        pod: &serde_json::from_str::<PodView<'_>>(&text).unwrap(),
        object: &|| Some(pod.clone()),
    };
    let Verdict::Patched(patch) = admit(&snapshot, &request).verdict else {
        panic!("the picture's Pod is not injected")
    };
    let patch: Patch = serde_json::from_slice(&patch).unwrap();
    let mut injected = pod.clone();
    json_patch::patch(&mut injected, &patch).unwrap();
    injected
}

fn names(containers: &Value) -> BTreeSet<String> {
    let names = containers
        .as_array()
        .unwrap()
        .iter()
        .map(|container| container["name"].as_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn the_picture_shows_what_becomes_of_its_pod() {
    let picture = file("docs/pod.svg");
    let injected = injected(&pod(&picture));
    let shown: BTreeSet<String> = texts(&picture, "name").into_iter().collect();
    let helpers = names(&injected["spec"]["initContainers"]);
    assert_eq!(helpers.len(), 4);
    assert!(shown.is_superset(&helpers), "{shown:?} {helpers:?}");
    assert!(shown.is_superset(&names(&injected["spec"]["containers"])));

    let web = &injected["spec"]["containers"][0];
    let added = texts(&picture, "code added");
    let variables = names(&web["env"]);
    let shown: BTreeSet<String> = added
        .iter()
        .filter(|text| text.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .cloned()
        .collect();
    assert!(
        shown.len() > 1 && variables.is_superset(&shown),
        "{shown:?} {variables:?}"
    );
    assert!(added.iter().any(|text| text == "two mounts"), "{added:?}");
    assert_eq!(web["volumeMounts"].as_array().unwrap().len(), 2);

    let record = injected["metadata"]["annotations"]["outrigger.dev/injected"]
        .as_str()
        .unwrap();
    let recorded = record
        .split(',')
        .map(|entry| format!("{}@…", entry.split_once('@').unwrap().0));
    let recorded = format!("outrigger.dev/injected: {}", recorded.collect::<Vec<_>>().join(", "));
    assert!(added.join(" ").starts_with(&recorded), "{recorded:?} {added:?}");

    let address = web["env"]
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == "MEMCACHED_ADDR")
        .unwrap();
    let port = address["value"].as_str().unwrap().rsplit(':').next().unwrap();
    assert!(texts(&picture, "code").contains(&format!("localhost:{port}")));
}
