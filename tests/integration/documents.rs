//! What the documents say is true.
use crate::{
    expression_table::{Table, evaluate},
    program::{OUTRIGGER, Program, policy},
    reviews::creation_with,
};
use outrigger_engine::{Namespace, PodRequest, PodView, Settings, Snapshot, Verdict};
use outrigger_harness::Page;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

#[test]
fn every_row_of_the_table_of_expressions_has_the_result_that_is_stated() {
    let page = Table::read();
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
    let page = Table::read();
    let tokens = |text: &str| -> BTreeSet<String> { text.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let mut documented: BTreeSet<String> = page
        .0
        .table("| about | functions |")
        .iter()
        .flat_map(|cells| tokens(&cells[1]))
        .collect();
    documented.extend(
        tokens(page.0.line("Macros: "))
            .into_iter()
            .filter(|token| !token.contains('(')),
    );
    let known: BTreeSet<String> = outrigger_engine::expr::function_names().map(str::to_owned).collect();
    assert_eq!(documented, known);
}

/// The documents that are checked.
fn documents() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = vec![
        "README.md".to_owned(),
        "examples/README.md".to_owned(),
        "tests/README.md".to_owned(),
        "tests/comparison/README.md".to_owned(),
        "tests/helm/README.md".to_owned(),
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
    paths.iter().map(|path| Page::read(path)).collect()
}

fn document(path: &str) -> String {
    Page::read(path).text().to_owned()
}

/// What stands in backticks.
fn code(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_whole_policy_and_manifest_in_the_documents_is_good() {
    let (mut policies, mut manifests) = (0, 0);
    for page in documents() {
        let path = page.path();
        for block in page.blocks("yaml") {
            let whole = block.lines().any(|line| line.starts_with("apiVersion: "));
            if !whole {
                continue;
            }
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&block).unwrap_or_else(|error| panic!("{path}: {error}\n{block}"));
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
pub fn decode(manifest: &Value) -> Result<(), String> {
    use k8s_openapi::api::{
        admissionregistration::v1 as admission, apps::v1 as apps, core::v1 as core, rbac::v1 as rbac,
    };
    fn is<T: serde::de::DeserializeOwned>(manifest: &Value) -> Result<(), String> {
        serde_json::from_value::<T>(manifest.clone())
            .map(drop)
            .map_err(|error| error.to_string())
    }
    match manifest["kind"].as_str().unwrap_or_default() {
        "Pod" => is::<core::Pod>(manifest),
        "Namespace" => is::<core::Namespace>(manifest),
        "ConfigMap" => is::<core::ConfigMap>(manifest),
        "Service" => is::<core::Service>(manifest),
        "ServiceAccount" => is::<core::ServiceAccount>(manifest),
        "Deployment" => is::<apps::Deployment>(manifest),
        "StatefulSet" => is::<apps::StatefulSet>(manifest),
        "ClusterRole" => is::<rbac::ClusterRole>(manifest),
        "Role" => is::<rbac::Role>(manifest),
        "RoleBinding" => is::<rbac::RoleBinding>(manifest),
        "ValidatingWebhookConfiguration" => is::<admission::ValidatingWebhookConfiguration>(manifest),
        "ValidatingAdmissionPolicyBinding" => is::<admission::ValidatingAdmissionPolicyBinding>(manifest),
        "MutatingWebhookConfiguration" => is::<admission::MutatingWebhookConfiguration>(manifest),
        // A real API server reads these, in tests/cluster/client_certificates.rs.
        "AdmissionConfiguration" | "Config" => Ok(()),
        "ScaledObject" => scaled_object(manifest),
        kind => Err(format!("no test knows kind {kind:?}")),
    }
}

/// What KEDA's documentation demands of its scaler for JetStream.
fn scaled_object(manifest: &Value) -> Result<(), String> {
    let spec = &manifest["spec"];
    let trigger = &spec["triggers"][0];
    let given = |name: &str| trigger["metadata"][name].is_string();
    let needed = [
        "natsServerMonitoringEndpoint",
        "account",
        "stream",
        "consumer",
        "lagThreshold",
    ];
    let good = spec["scaleTargetRef"]["name"].is_string()
        && trigger["type"] == "nats-jetstream"
        && needed.into_iter().all(given);
    good.then_some(())
        .ok_or_else(|| "the scaler lacks something".to_owned())
}

/// The names of the folders of `policies/`.
pub fn bundled() -> Vec<String> {
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")).unwrap();
    let mut names: Vec<String> = folders
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert!(names.len() > 3, "{names:?}");
    names
}

#[test]
fn every_example_beside_a_bundled_policy_is_of_manifests_that_ask_for_it() {
    for name in bundled() {
        let text = document(&format!("policies/{name}/example.yaml"));
        let manifests: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        for manifest in &manifests {
            decode(manifest).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let asked = |manifest: &Value| {
            manifest
                .pointer("/spec/template/metadata/annotations/outrigger.dev~1inject")
                .cloned()
        };
        assert!(
            manifests.iter().filter_map(asked).eq([Value::from(name.as_str())]),
            "{name}"
        );
    }
}

#[test]
fn the_bundled_policies_are_those_that_the_readme_lists() {
    let rows = Page::read("README.md").table("| bundled policy | pattern | what it does |");
    let mut listed = Vec::new();
    for cells in rows {
        let name = cells[0].split(['[', ']']).nth(1).unwrap().to_owned();
        let policy: Value = serde_saphyr::from_str(&document(&format!("policies/{name}/policy.yaml"))).unwrap();
        let compiled = outrigger_engine::compile(&policy).unwrap();
        assert_eq!(
            (compiled.errors().len(), compiled.warnings()),
            (0, &[] as &[String]),
            "{name}"
        );
        let list = match cells[1].as_str() {
            "ambassador" => "ambassadors".to_owned(),
            pattern => format!("{pattern}s"),
        };
        assert!(policy["spec"][&list][0].is_object(), "{name} has no {list}");
        listed.push(name);
    }
    listed.sort();
    assert_eq!(listed, bundled());
}

#[test]
fn the_parameters_of_every_bundled_policy_are_those_that_its_page_lists() {
    for name in bundled() {
        let policy: Value = serde_saphyr::from_str(&document(&format!("policies/{name}/policy.yaml"))).unwrap();
        let parameters = policy["spec"]["parameters"].as_array().unwrap();
        let declared: BTreeSet<[String; 3]> = parameters.iter().map(parameter).collect();
        let page = Page::read(&format!("policies/{name}/README.md"));
        let listed: BTreeSet<[String; 3]> = page
            .table("| parameter | who | default | |")
            .into_iter()
            .map(|cells| [0, 1, 2].map(|cell| cells[cell].replace('`', "")))
            .collect();
        assert_eq!(listed, declared, "{name}");
        // And each page shows the image that the policy has.
        let images = policy.to_string();
        let shown = page
            .text()
            .lines()
            .filter_map(|line| line.trim().strip_prefix("image: "));
        for image in shown.filter(|image| *image != "nginx") {
            assert!(images.contains(&format!("\"image\":\"{image}\"")), "{name}: {image}");
        }
    }
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
        declared.get("default").map_or_else(|| "required".to_owned(), text),
    ]
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for page in documents() {
        let path = page.path();
        // Code may look like a link.
        let text: String = page.text().split('`').step_by(2).collect();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => root.join(path),
                file => root.join(path).parent().unwrap().join(file),
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

/// The long flags of a command, by its own help.
fn flags(command: &str) -> BTreeSet<String> {
    let help = Command::new(OUTRIGGER).args([command, "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let options = help
        .lines()
        .map(str::trim_start)
        .map(|line| match line.split_once(", ") {
            Some((short, long)) if short.len() == 2 => long,
            _ => line,
        });
    let flags = options.filter(|line| line.starts_with("--"));
    flags
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_flags_of_serve_and_inject_are_those_that_their_pages_list() {
    for (command, path) in [("serve", "docs/operations.md"), ("inject", "docs/inject.md")] {
        let known = flags(command);
        let page = Page::read(path);
        let rows = page.table("| flag | default | meaning |");
        let codes = rows.iter().flat_map(|cells| code(&cells[0]));
        let listed: BTreeSet<String> = codes.filter(|code| code.starts_with("--")).map(str::to_owned).collect();
        assert_eq!(listed, known, "{path}");
        let named = code(page.text())
            .into_iter()
            .filter(|code| code.starts_with("--") && *code != "---");
        let unknown: Vec<&str> = named.filter(|flag| !known.contains(*flag)).collect();
        assert_eq!(unknown, [""; 0], "{path}");
    }
}

/// Runs the commands of the page from a folder that has the bundled policies; each line of the text below a command is in what
/// it says.
#[test]
fn every_command_of_the_inject_page_says_what_stands_below_it() {
    let page = document("docs/inject.md");
    let folder = tempfile::tempdir().unwrap();
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    std::os::unix::fs::symlink(policies, folder.path().join("policies")).unwrap();
    let programs = Path::new(OUTRIGGER).parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap());
    let mut commands = 0;
    for section in page.split("\n```sh\n").skip(1) {
        let (command, rest) = section.split_once("\n```").unwrap();
        let output = Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{command}\n{said}");
        let expected = rest.trim_start().strip_prefix("```text\n");
        for line in expected
            .and_then(|text| text.split("\n```").next())
            .unwrap_or_default()
            .lines()
        {
            assert!(said.contains(line), "{command}\n{line}\nis not in\n{said}");
        }
        commands += 1;
    }
    assert!(commands >= 5);
}

#[test]
fn the_crds_of_the_chart_are_those_that_the_program_prints() {
    let output = Command::new(OUTRIGGER).arg("crds").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let hint = "the CRDs have changed: outrigger crds > charts/outrigger/crds/policies.yaml";
    assert!(printed == document("charts/outrigger/crds/policies.yaml"), "{hint}");
    let definitions: Vec<Value> = serde_saphyr::from_multiple(&printed).unwrap();
    assert_eq!(definitions, outrigger::crds::all().unwrap());
    for definition in definitions {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        serde_json::from_value::<CustomResourceDefinition>(definition).unwrap();
    }
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
    let rows = Page::read("docs/operations.md").table("| metric | labels | meaning |");
    let listed: BTreeSet<String> = rows.iter().map(|cells| cells[0].replace('`', "")).collect();
    // Of the controller, which does not run here: tests/installed reads them.
    let of_the_controller = [
        "outrigger_guard_in_effect",
        "outrigger_object_wrong",
        "outrigger_repairs_total",
    ];
    let of_the_controller = of_the_controller.map(str::to_owned);
    let known: BTreeSet<String> = known.into_iter().chain(of_the_controller).collect();
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
    for cells in Page::read("tests/README.md").table("| row | what must hold | tests in |") {
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
    let page = Page::read("docs/policies.md");
    let mut injected = Vec::new();
    for block in page.blocks("yaml") {
        let document: Value = serde_saphyr::from_str(&block).unwrap();
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
