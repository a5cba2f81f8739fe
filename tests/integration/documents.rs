//! What the documents say is true.
use crate::{
    expression_table::{Page, evaluate},
    program::{OUTRIGGER, Program, policy},
    reviews::creation_with,
};
use outrigger_engine::{Namespace, PodRequest, PodView, Settings, Snapshot, Verdict};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

#[test]
fn every_row_of_the_table_of_expressions_has_the_result_that_is_stated() {
    let page = Page::read();
    let (namespace, pod) = page.facts();
    let rows = page.rows();
    assert!(rows.len() > 100, "only {} rows", rows.len());
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|row| {
            let found = evaluate(&row.expression, &namespace, &pod);
            (found.as_ref() != Ok(&row.result)).then(|| format!("{}: {found:?}, not {}", row.expression, row.result))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_list_of_functions_is_the_engines() {
    let page = Page::read();
    let tokens = |text: &str| -> BTreeSet<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut documented: BTreeSet<String> = page
        .table("| about | functions |")
        .iter()
        .flat_map(|cells| tokens(&cells[1]))
        .collect();
    documented.extend(
        tokens(page.line("Macros: "))
            .into_iter()
            .filter(|token| !token.contains('(')),
    );
    let known: BTreeSet<String> = outrigger_engine::expr::function_names().map(str::to_owned).collect();
    assert_eq!(documented, known);
}

/// The documents that are checked: their paths from the root of the sources, and their texts.
fn documents() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![
        "README.md".to_owned(),
        "tests/README.md".to_owned(),
        "tests/comparison/README.md".to_owned(),
        "tests/kubernetes/README.md".to_owned(),
    ];
    let markdown = |folder: &str| {
        let entries = fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap());
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        names.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
    };
    paths.extend(markdown("docs").into_iter().filter(|path| path.ends_with(".md")));
    let bundled = markdown("policies").into_iter().filter(|path| root.join(path).is_dir());
    paths.extend(bundled.map(|path| format!("{path}/README.md")));
    let read = |path: String| {
        let text = fs::read_to_string(root.join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, text)
    };
    paths.into_iter().map(read).collect()
}

fn document(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The code blocks in this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("\n```{language}\n");
    text.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

/// The cells of the table below this heading, as text.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is no table {heading}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        line.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

/// What stands in backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_whole_policy_and_manifest_in_the_documents_is_good() {
    let (mut policies, mut manifests) = (0, 0);
    for (path, text) in documents() {
        for block in blocks(&text, "yaml") {
            let whole = block.lines().any(|line| line.starts_with("apiVersion: "));
            if !whole {
                continue;
            }
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(block).unwrap_or_else(|error| panic!("{path}: {error}\n{block}"));
            for document in documents {
                match document["apiVersion"].as_str() {
                    Some(version) if version.starts_with("outrigger.dev/") => {
                        let policy = outrigger_engine::compile(&document).unwrap();
                        assert_eq!(policy.errors(), [], "{path}\n{block}");
                        assert_eq!(policy.warnings(), [""; 0], "{path}\n{block}");
                        policies += 1;
                    }
                    _ => {
                        decode(&document).unwrap_or_else(|error| panic!("{path}: {error}\n{block}"));
                        manifests += 1;
                    }
                }
            }
        }
    }
    assert!(
        policies >= 4 && manifests >= 3,
        "{policies} policies, {manifests} manifests"
    );
}

/// Whether a manifest has the fields of its kind with the right types.
fn decode(manifest: &Value) -> Result<(), String> {
    use k8s_openapi::api::{admissionregistration::v1 as admission, apps::v1 as apps, core::v1 as core};
    fn is<T: serde::de::DeserializeOwned>(manifest: &Value) -> Result<(), String> {
        serde_json::from_value::<T>(manifest.clone())
            .map(drop)
            .map_err(|error| error.to_string())
    }
    match manifest["kind"].as_str().unwrap_or_default() {
        "Pod" => is::<core::Pod>(manifest),
        "Namespace" => is::<core::Namespace>(manifest),
        "Deployment" => is::<apps::Deployment>(manifest),
        "MutatingWebhookConfiguration" => is::<admission::MutatingWebhookConfiguration>(manifest),
        kind => Err(format!("no test knows kind {kind:?}")),
    }
}

#[test]
fn every_example_beside_a_bundled_policy_is_a_manifest() {
    let deployment: Value = serde_saphyr::from_str(&document("policies/log-saver/example.yaml")).unwrap();
    decode(&deployment).unwrap();
}

#[test]
fn the_parameters_of_log_saver_are_those_that_its_page_lists() {
    let policy: Value = serde_saphyr::from_str(&document("policies/log-saver/policy.yaml")).unwrap();
    let declared: BTreeSet<[String; 3]> = policy["spec"]["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(parameter)
        .collect();
    let page = document("policies/log-saver/README.md");
    let listed: BTreeSet<[String; 3]> = table(&page, "| parameter | who | default | |")
        .into_iter()
        .map(|cells| [0, 1, 2].map(|cell| cells[cell].replace('`', "")))
        .collect();
    assert_eq!(listed, declared);
}

fn parameter(declared: &Value) -> [String; 3] {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let setters = declared["settableBy"].as_array().map_or_else(
        || "Pod, namespace".to_owned(),
        |setters| setters.iter().map(text).collect::<Vec<_>>().join(", "),
    );
    [
        text(&declared["name"]),
        setters.replace("Namespace", "namespace"),
        text(&declared["default"]),
    ]
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for (path, text) in documents() {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root.join(&path),
                file => root.join(&path).parent().unwrap().join(file),
            };
            let found = file.exists();
            let heading = |line: &str| {
                let title = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                line.starts_with('#')
                    && title
                        .chars()
                        .filter(|c| c.is_alphanumeric() || *c == '-')
                        .eq(anchor.chars())
            };
            if !found || (!anchor.is_empty() && !fs::read_to_string(&file).unwrap().lines().any(heading)) {
                broken.push(format!("{path}: {target}"));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_flags_of_serve_are_those_that_the_operations_page_lists() {
    let help = Command::new(OUTRIGGER).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options = help
        .lines()
        .map(str::trim_start)
        .map(|line| line.trim_start_matches("-h, "));
    let known: BTreeSet<&str> = options
        .filter(|line| line.starts_with("--"))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let page = document("docs/operations.md");
    let rows = table(&page, "| flag | default | meaning |");
    let listed: BTreeSet<&str> = rows.iter().flat_map(|cells| code(&cells[0])).collect();
    assert_eq!(listed, known);
    let named = code(&page).into_iter().filter(|code| code.starts_with("--"));
    let unknown: Vec<&str> = named.filter(|flag| !known.contains(flag)).collect();
    assert_eq!(unknown, [""; 0]);
}

#[tokio::test]
async fn the_metrics_are_those_that_the_operations_page_lists() {
    let program = Program::start(&[], |directory| {
        fs::write(directory.join("policies/a.yaml"), policy("a")).unwrap()
    });
    // Decisions are there once there is one.
    let asking = creation_with(
        "/request/object/metadata/annotations",
        json!({"outrigger.dev/inject": "a"}),
    );
    assert_eq!(program.connect().await.post(asking).await.status, 200);
    let text = program.get("/metrics").await.body;
    let families = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let known: BTreeSet<String> = families
        .map(|(name, kind)| {
            if kind == "counter" {
                format!("{name}_total")
            } else {
                name.to_owned()
            }
        })
        .collect();
    let rows = table(&document("docs/operations.md"), "| metric | labels | meaning |");
    let listed: BTreeSet<String> = rows.iter().map(|cells| cells[0].replace('`', "")).collect();
    assert_eq!(listed, known);
    for cells in rows
        .iter()
        .filter(|cells| cells[0].contains("admissions") || cells[0].contains("policies"))
    {
        let name = cells[0].replace('`', "");
        let label = code(&cells[1])[0];
        for value in &code(&cells[1])[1..] {
            let series = format!("{name}{{{label}=\"{value}\"}}");
            assert!(text.contains(&series), "{series} is not in\n{text}");
        }
    }
}

#[test]
fn the_rows_of_the_checklist_are_those_that_have_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut tested = BTreeSet::new();
    for folder in ["engine/src", "engine/tests", "src", "tests"] {
        rows_tested(&root.join(folder), root, &mut tested);
    }
    let mut listed = BTreeSet::new();
    for cells in table(&document("tests/README.md"), "| row | what must hold | tests in |") {
        let row: u32 = cells[0].parse().unwrap();
        listed.extend(code(&cells[2]).into_iter().map(|file| (row, file.to_owned())));
    }
    assert_eq!(listed, tested);
}

/// Which rows the test names of the files below `folder` name.
fn rows_tested(folder: &Path, root: &Path, found: &mut BTreeSet<(u32, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            rows_tested(&entry, root, found);
        } else if entry.extension().is_some_and(|suffix| suffix == "rs") {
            let file = entry.strip_prefix(root).unwrap().display().to_string();
            for line in fs::read_to_string(&entry).unwrap().lines().map(str::trim_start) {
                let name = line
                    .strip_prefix("async ")
                    .unwrap_or(line)
                    .strip_prefix("fn ")
                    .unwrap_or_default();
                let numbers = match (name.strip_prefix("row_"), name.strip_prefix("rows_")) {
                    (Some(rest), _) => rest.split('_').take(1).collect::<Vec<_>>(),
                    (_, Some(rest)) => rest
                        .split('_')
                        .take_while(|word| *word == "and" || word.parse::<u32>().is_ok())
                        .collect(),
                    _ => continue,
                };
                let numbers = numbers.into_iter().filter_map(|number| number.parse::<u32>().ok());
                found.extend(numbers.map(|number| (number, file.clone())));
            }
        }
    }
}

#[test]
fn every_whole_policy_in_the_policies_page_is_injected_into_a_pod_that_asks_for_it() {
    let page = document("docs/policies.md");
    let mut injected = Vec::new();
    for block in blocks(&page, "yaml") {
        let document: Value = serde_saphyr::from_str(block).unwrap();
        let policy = outrigger_engine::compile(&document).unwrap();
        let name = policy.id().name.clone();
        let servers = ("cache.outrigger.dev/servers".to_owned(), "a:11211,b:11211".to_owned());
        let namespace = Namespace {
            name: "shop".into(),
            annotations: [servers].into(),
            ..Namespace::default()
        };
        let snapshot = Snapshot::new(vec![policy.into()], vec![namespace], Settings::default());
        let pod = json!({
            "metadata": {"name": "web", "annotations": {"outrigger.dev/inject": name}},
            "spec": {"containers": [{"name": "web", "image": "nginx"}]},
        });
        let text = pod.to_string();
        let request = PodRequest {
            namespace: "shop",
            pod: &serde_json::from_str::<PodView<'_>>(&text).unwrap(),
            object: &|| Some(pod.clone()),
        };
        let admission = outrigger_engine::admit(&snapshot, &request);
        assert!(
            matches!(admission.verdict, Verdict::Patched(_)),
            "{name}: {admission:?}"
        );
        assert_eq!(admission.warnings, [""; 0], "{name}");
        injected.push(name);
    }
    assert_eq!(injected, ["log-reader", "cache", "web-metrics", "site"]);
}
