//! `outrigger inject` as a person or a pipeline runs it.
use crate::program::OUTRIGGER;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};
use tempfile::TempDir;

const POLICIES: &str = r#"apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: helper}
spec:
  sidecars: [{container: {name: helper, image: helper}}]
---
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: broken}
spec:
  sidecars: [{container: {name: NOT A NAME, image: helper}}]
---
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: webby}
spec:
  match: {namespaceSelector: {matchLabels: {team: web}}}
  pod: {labels: {by: webby}}
---
apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: no-jobs}
spec:
  match:
    namespaceSelector: {matchLabels: {jobs: without}}
    conditions:
    - {name: not-a-job, expression: "!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job' && o.apiVersion == 'batch/v1' && o.name.startsWith('w'))"}
  pod: {labels: {by: no-jobs}}
"#;

/// What came of a run.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(folder.path().join("policies/all.yaml"), POLICIES).unwrap();
    folder
}

fn run_in(folder: &Path, arguments: &[&str], input: &[u8]) -> Run {
    let mut child = Command::new(OUTRIGGER)
        .arg("inject")
        .args(arguments)
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// Runs with the policies above, and `input` on standard input.
fn inject(arguments: &[&str], input: &str) -> Run {
    let arguments = [&["-f", "-", "--policies", "policies"], arguments].concat();
    run_in(folder().path(), &arguments, input.as_bytes())
}

/// A Pod that asks for these policies.
fn pod(asks: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations:\n    outrigger.dev/inject: {asks}\nspec:\n  containers:\n  - name: web\n    image: nginx\n"
    )
}

#[test]
fn what_does_not_change_comes_out_byte_for_byte() {
    let deep = format!("a: {}1{}\n", "[".repeat(90), "]".repeat(90));
    let large = format!("kind: ConfigMap\ndata:\n  a: |\n{}", "    # a line\n".repeat(1_500_000));
    for input in [
        "",
        "\n\n",
        "# only a comment",
        "---\n---\n# nothing\n---\n",
        "a: 1 # comment\n\n\n---   \nb: [1,\n 2]",
        "a: 1\r\n---\r\nb: yes\r\n",
        "\u{feff}a: 1\n",
        "%YAML 1.1\n%TAG !e! tag:example.com,2000:\n---\na: !e!x 1\n...\n# after\n%YAML 1.1\n---\nb: 2\n",
        "a: 1\n...\n---\nb: 2\n...\n",
        "--- {a: 1}\n",
        "--- # comment\na: 0644\nb: 0o7\nc: 1_000\n",
        "{\"a\": 1.0, \"b\": 1e3, \"c\": 12345678901234567890123, \"d\": \"\\u00e9\\/\"}",
        "{\"a\":1}{\"b\":2}\n\n[3]\n",
        "{\"a\":1}\n---\nb: 2\n---\n{\"c\": [3]}\n",
        "{a: 1, b: }\n",
        "a: |\n  ---x\n  # text\n\nb: >+\n  x\n\n",
        "apiVersion: v1\nkind: Pod\nspec: null\n",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n",
        "kind: Pod\nmetadata: {annotations: {outrigger.dev/inject: helper}}\n",
        "apiVersion: example.com/v1\nkind: Pod\nmetadata: {annotations: {outrigger.dev/inject: helper}}\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: null\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: text}\n",
        "apiVersion: batch/v1\nkind: CronJob\nspec: {jobTemplate: []}\n",
        "apiVersion: v1\nkind: List\nitems: null\n",
        "apiVersion: v1\nkind: List\nitems: [null, 1, {}, {kind: List, items: [{kind: Pod, apiVersion: v1}]}]\n",
        "apiVersion: v1\nkind: List\n",
        "- a\n- b\n",
        "text\n",
        &deep,
        &large,
    ] {
        let run = inject(&[], input);
        assert_eq!(
            run.code,
            Some(0),
            "{:?}: {}",
            &input[..input.len().min(200)],
            run.stderr
        );
        assert!(run.stdout == input, "{input:?} became {:?}", run.stdout);
    }
}

#[test]
fn a_document_that_changes_keeps_what_is_around_it() {
    let before = "# Source: chart/templates/a.yaml\na: 1 # kept\n--- # Source: b.yaml\n# above\n";
    let after = "---\n# last\nb: 2 # kept";
    let run = inject(&[], &format!("{before}{}{after}", pod("helper")));
    assert!(
        run.stdout.starts_with(&format!("{before}apiVersion: v1\nkind: Pod\n")),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .ends_with(&format!("  image: helper\n    restartPolicy: Always\n{after}")),
        "{}",
        run.stdout
    );

    let windows = pod("helper").replace('\n', "\r\n");
    let run = inject(&[], &windows);
    assert_eq!(run.stdout.matches('\n').count(), run.stdout.matches("\r\n").count());
    assert!(run.stdout.contains("    restartPolicy: Always\r\n"), "{}", run.stdout);
}

#[test]
fn fields_that_nobody_knows_and_the_order_of_keys_stay() {
    let input = "kind: Pod\nx-unknown: {b: [1.0, 0644, yes, 'yes', ~], a: \"0644\"}\nspec:\n  containers:\n    - image: nginx\n      x: 1e3\n      name: web\n      text: |\n        a\n          b\n\n        c\n  later: {z: 1, w: 12345678901234567890}\nmetadata: {name: web, annotations: {outrigger.dev/inject: helper}}\napiVersion: v1\n";
    let run = inject(&["-q"], input);
    assert!(!run.stderr.contains("documents: "), "{}", run.stderr);
    for line in [
        "kind: Pod\nx-unknown: {b: [1.0, 0644, true, 'yes', null], a: \"0644\"}\nspec:\n",
        "    - image: nginx\n      x: 1e3\n      name: web\n      text: |\n        a\n          b\n\n        c\n",
        "  later: {z: 1, w: 12345678901234567890}\n",
        "  initContainers:\n    - name: helper\n      image: helper\n      restartPolicy: Always\n",
    ] {
        assert!(run.stdout.contains(line), "{line}\nis not in\n{}", run.stdout);
    }
    assert!(run.stdout.ends_with("apiVersion: v1\n"));
}

#[test]
fn json_stays_json_with_its_indentation_and_the_text_of_its_numbers() {
    let input = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\",\n\t\"metadata\": {\"annotations\": {\"outrigger.dev/inject\": \"helper\"}},\n\t\"spec\": {\"x\": [1.0, 1e3, 12345678901234567890123], \"containers\": [{\"name\": \"web\"}]}\n}\n{\"b\":1.0}\n";
    let run = inject(&[], input);
    assert!(
        run.stdout
            .starts_with("{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Pod\","),
        "{}",
        run.stdout
    );
    assert!(run.stdout.ends_with("\n}\n{\"b\":1.0}\n"), "{}", run.stdout);
    for text in ["1.0,", "1e3,", "12345678901234567890123"] {
        assert!(run.stdout.contains(text), "{}", run.stdout);
    }
    let compact = inject(&[], &input.lines().take(6).collect::<String>());
    assert_eq!(compact.stdout.lines().count(), 1, "{}", compact.stdout);
    let yaml = inject(&["-o", "yaml"], input);
    assert!(
        yaml.stdout.starts_with("apiVersion: v1\nkind: Pod\n"),
        "{}",
        yaml.stdout
    );
    assert!(yaml.stdout.ends_with("---\nb: 1.0\n"), "{}", yaml.stdout);
    let json = inject(
        &["-o", "json"],
        &format!("{}---\n# empty\n---\nb: 0644\n", pod("helper")),
    );
    let documents: Vec<Value> = serde_json::Deserializer::from_str(&json.stdout)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(documents[0]["spec"]["initContainers"][0]["name"], "helper");
    assert_eq!(documents[1..], [json!({"b": 420})]);
}

#[test]
fn every_kind_of_workload_is_found_wherever_it_stands() {
    let template = "{metadata: {annotations: {outrigger.dev/inject: helper}}, spec: {containers: [{name: web}]}}";
    for (api_version, kind, before, after) in [
        ("v1", "Pod", "", ""),
        ("v1", "PodTemplate", "template: ", ""),
        ("v1", "ReplicationController", "spec: {template: ", "}"),
        ("apps/v1", "Deployment", "spec: {template: ", "}"),
        ("apps/v1", "StatefulSet", "spec: {template: ", "}"),
        ("apps/v1", "DaemonSet", "spec: {template: ", "}"),
        ("apps/v1", "ReplicaSet", "spec: {template: ", "}"),
        ("extensions/v1beta1", "Deployment", "spec: {template: ", "}"),
        ("batch/v1", "Job", "spec: {template: ", "}"),
        (
            "batch/v1beta1",
            "CronJob",
            "spec: {jobTemplate: {spec: {template: ",
            "}}}",
        ),
    ] {
        let body = match before {
            "" => template[1..template.len() - 1].to_owned(),
            before => format!("{before}{template}{after}"),
        };
        let head = format!("apiVersion: {api_version}, kind: {kind}, ");
        for (input, path) in [
            (format!("{{{head}{body}}}\n"), ""),
            (
                format!("{{apiVersion: v1, kind: List, items: [{{a: 1}}, {{{head}{body}}}]}}\n"),
                "/items/1",
            ),
            (
                format!("{{apiVersion: {api_version}, kind: {kind}List, items: [{{{body}}}]}}\n"),
                "/items/0",
            ),
            (
                format!("{{kind: List, items: [{{kind: List, items: [{{{head}{body}}}]}}]}}\n"),
                "/items/0/items/0",
            ),
        ] {
            let run = inject(&["-o", "patch"], &input);
            let entries: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{input}{run:?}"));
            let entry = &entries[0];
            assert_eq!(entry["kind"], kind, "{input}{run:?}");
            assert!(entry["pod"].as_str().unwrap().starts_with(path), "{run:?}");
            // The patch makes of the document what is written.
            let mut document = whole(&input);
            let patch: json_patch::Patch = serde_json::from_value(entry["patch"].clone()).unwrap();
            json_patch::patch(&mut document, &patch).unwrap();
            let written = inject(&[], &input);
            assert_eq!(whole(&written.stdout), document);
            let again = inject(&[], &written.stdout);
            assert_eq!(again.stdout, written.stdout);
        }
    }
}

/// The one document of `text`, Lists as they are.
fn whole(text: &str) -> Value {
    let parts = outrigger::manifest::split(text).unwrap();
    assert_eq!(parts.len(), 1, "{text}");
    parts[0].read(text).unwrap().unwrap().stored().unwrap()
}

#[test]
fn only_the_item_of_a_list_that_asks_is_changed() {
    let item = |name: &str, annotations: &str| {
        format!(
            "- apiVersion: v1\n  kind: Pod\n  metadata: {{name: {name}, annotations: {annotations}}}\n  spec: {{containers: [{{name: web}}]}}\n"
        )
    };
    let input = format!(
        "kind: List\nitems:\n{}{}{}",
        item("a", "{}"),
        item("b", "{outrigger.dev/inject: helper}"),
        item("c", "{}")
    );
    let run = inject(&[], &input);
    assert!(
        run.stdout.contains(&item("a", "{}")) && run.stdout.contains(&item("c", "{}")),
        "{}",
        run.stdout
    );
    let items = whole(&run.stdout);
    assert_eq!(items["items"][1]["spec"]["initContainers"][0]["name"], "helper");
    assert!(
        run.stderr
            .contains("stdin:1: Pod default/b (items.1): injected helper (on-request), adding container helper"),
        "{}",
        run.stderr
    );
}

#[test]
fn namespaces_come_from_flags_and_manifests_wherever_they_stand() {
    let namespace = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: web}}\n";
    let plain = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: web}]}\n";
    let in_shop = plain.replace("name: a", "name: a, namespace: shop");
    let empty = plain.replace("name: a", "name: a, namespace: \"\"");
    for (input, arguments, gets_it) in [
        (plain.to_owned(), &[][..], false),
        (format!("{in_shop}{namespace}"), &[], true),
        (format!("{plain}{namespace}"), &[], false),
        (format!("{plain}{namespace}"), &["-n", "shop"], true),
        (format!("{empty}{namespace}"), &["--namespace=shop"], true),
        (in_shop.clone(), &["--namespace-label", "team=web"], true),
        (
            format!("{in_shop}{namespace}"),
            &["--namespace-label", "team=other"],
            false,
        ),
        (
            format!(
                "{in_shop}---\n{{apiVersion: v1, kind: List, items: [{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, labels: {{team: web}}}}}}]}}\n"
            ),
            &[],
            true,
        ),
        (
            plain.to_owned(),
            &["--namespace-label", "team=web", "--protected-namespace", "default"],
            false,
        ),
        (
            in_shop.replace("shop", "kube-system"),
            &["--namespace-label", "team=web"],
            false,
        ),
    ] {
        let run = inject(arguments, &input);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(
            run.stdout.contains("by: webby"),
            gets_it,
            "{arguments:?}\n{input}{}",
            run.stderr
        );
    }
    let run = inject(
        &[
            "--namespace-annotation",
            "x=y",
            "--namespace-label",
            "inject.outrigger.dev/helper=enabled",
        ],
        plain,
    );
    assert!(
        run.stderr.contains("injected helper (namespace-label)"),
        "{}",
        run.stderr
    );
}

#[test]
fn conditions_see_who_will_own_the_pods() {
    let manifest = |api_version: &str, kind: &str, spec: &str| {
        format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: web}}\nspec: {spec}\n")
    };
    let template = "{template: {spec: {containers: [{name: web}]}}}";
    for (input, gets_it) in [
        (manifest("batch/v1", "Job", template), false),
        (
            manifest("batch/v1", "CronJob", &format!("{{jobTemplate: {{spec: {template}}}}}")),
            false,
        ),
        (manifest("apps/v1", "Deployment", template), true),
        (manifest("v1", "Pod", "{containers: [{name: web}]}"), true),
    ] {
        let run = inject(&["--namespace-label", "jobs=without"], &input);
        assert_eq!(run.stdout.contains("by: no-jobs"), gets_it, "{input}{}", run.stderr);
        assert!(!run.stdout.contains("ownerReferences"));
    }
}

#[test]
fn refusals_are_told_all_at_once_with_their_place_and_nothing_is_written() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {generateName: api-, namespace: shop}\nspec: {template: {metadata: {annotations: {outrigger.dev/inject: helpr}}, spec: {containers: [{name: web}]}}}\n";
    let input = format!("{}---\n# comment\n{deployment}---\n{}", pod("helper"), pod("broken"));
    for format in [&[][..], &["-o", "json"], &["-o", "patch"], &["-o", "diff"]] {
        let run = inject(format, &input);
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{}", run.stderr);
        for line in [
            "error: stdin:13: document 2: Deployment shop/api-*: spec.template: refused: annotation outrigger.dev/inject: there is no policy \"helpr\" in namespace \"shop\"; did you mean \"helper\"?",
            "error: stdin:18: document 3: Pod default/web: refused: policy \"broken\": it is not accepted: spec.sidecars[0].container.name",
            "documents: 3, workloads: 3, changed: 1, unchanged: 0, refused: 2",
        ] {
            assert!(run.stderr.contains(line), "{line}\nis not in\n{}", run.stderr);
        }
    }
}

#[test]
fn what_cannot_be_read_is_told_with_its_place_and_nothing_is_written() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        bomb += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", "));
    }
    let long = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(100));
    let deep = format!("a: {}", "[".repeat(100_000));
    let deep_blocks: String = (0..2000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for (input, message) in [
        ("a: 1\n---\nb: [1\n", "error: stdin:3: "),
        (
            "a: 1\n---\nb: 1\nb: 2\n",
            "error: stdin:4: key \"b\" is there twice; keep one",
        ),
        ("{\"a\":1}\n{\"a\":\n1,}", "error: stdin:3: it is not JSON"),
        (
            "a: 1\n...\nb: 2\n",
            "error: stdin:3: a second document begins here; put a line --- before it",
        ),
        ("a: .nan\n", "error: stdin:1: .nan has no counterpart in JSON"),
        ("a:\n\t- b\n", "error: stdin:2: "),
        ("a: \0\n", "error: stdin:1: "),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {namespace: Not_One}\n",
            "metadata.namespace is not the name of a namespace",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {namespace: 5}\n",
            "metadata.namespace is not the name of a namespace",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {labels: {a: yes}}\n",
            "y, n, yes, no, on and off are booleans: put it in quotes",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {labels: n}\n",
            "error: stdin:1: Pod default/: metadata.labels: ",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {metadata: {labels: [a]}}}\n",
            "Deployment default/: spec.template.metadata.labels: invalid type: sequence",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {b: 1}}\n",
            "error: stdin:1: namespace \"a\": /metadata/labels: the value of \"b\" is not a string",
        ),
        (
            "apiVersion: outrigger.dev/v1alpha1\nkind: InjectionPolicy\nspec: {}\n",
            "error: stdin:1: ",
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {annotations: {outrigger.dev/inject: helper, x: \"a\u{2028}b\"}}\nspec: {containers: [{name: a}]}\n",
            "error: stdin:3: U+2028 ends a line for some readers",
        ),
        (&bomb, "aliases stand for too much"),
        (&long, "aliases stand for too much"),
        (&deep, "error: stdin:1: "),
        (&deep_blocks, "nested"),
    ] {
        let run = inject(&[], input);
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(2), ""),
            "{:?} {}",
            &input[..input.len().min(200)],
            run.stderr
        );
        assert!(run.stderr.contains(message), "{message}\nis not in\n{}", run.stderr);
    }
    let run = run_in(
        folder().path(),
        &["-f", "-", "--policies", "policies"],
        b"a: 1\nb: \xff\n",
    );
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("line 2 is not UTF-8"), "{}", run.stderr);
}

#[test]
fn wrong_usage_is_told_with_the_way_out() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    fs::write(folder.path().join("policies/bad.yaml"), "a: [1\n").unwrap();
    for (arguments, message) in [
        (
            &["-f", "-"][..],
            "there are no policies: name a directory with --policies",
        ),
        (
            &["-f", "-", "--policies", "empty"],
            "there are no policies in empty, and",
        ),
        (&["--policies", "policies"], "--filename"),
        (
            &["-f", "none.yaml", "-f", "neither.yaml", "--policies", "empty"],
            "failed to read neither.yaml",
        ),
        (
            &["-f", "empty", "--policies", "empty"],
            "there is no *.yaml, *.yml or *.json in it",
        ),
        (&["-f", "-", "--policies", "none"], "--policies: failed to read none"),
        (
            &["-f", "-", "--policies", "policies"],
            "failed to read policies/bad.yaml: line",
        ),
        (&["-f", "-", "-f", "-", "--policies", "empty"], "-f - is there twice"),
        (&["-f", "-", "--policies", "empty", "-n", "No"], "1 to 63"),
        (
            &["-f", "-", "--policies", "empty", "--namespace-label", "x"],
            "key=value",
        ),
        (
            &["-f", "-", "--policies", "empty", "-o", "xml"],
            "[possible values: yaml, json, patch, diff]",
        ),
    ] {
        let run = run_in(folder.path(), arguments, b"");
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (Some(2), ""),
            "{arguments:?} {}",
            run.stderr
        );
        assert!(run.stderr.contains(message), "{message}\nis not in\n{}", run.stderr);
    }
}

#[test]
fn policies_may_stand_among_the_manifests() {
    let policy = "apiVersion: outrigger.dev/v1alpha1\nkind: InjectionPolicy\nmetadata: {name: own}\nspec:\n  pod: {labels: {by: own}} # kept\n";
    let input = format!("{}---\n{policy}", pod("own"));
    let run = run_in(folder().path(), &["-f", "-"], input.as_bytes());
    assert!(
        run.stdout.contains("    by: own\n") && run.stdout.ends_with(policy),
        "{run:?}"
    );
    // Two of one name: the first counts, and that is told.
    let run = inject(&[], &format!("{input}---\n{policy}"));
    assert_eq!(run.code, Some(0));
    assert!(
        run.stderr
            .contains("warning: stdin:18: policy \"default/own\" is in stdin:12 already, which counts"),
        "{}",
        run.stderr
    );
    let run = inject(&[], &input.replace("v1alpha1", "v1"));
    assert!(
        run.stderr
            .contains("warning: stdin:12: ignored a document: it has apiVersion \"outrigger.dev/v1\""),
        "{}",
        run.stderr
    );
}

#[test]
fn files_and_directories_make_one_stream() {
    let folder = folder();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("in/b.yml", "\u{feff}b: 1");
    write("in/a.json", "{\"a\":\"\\/\\u00e9\"}");
    write("in/deep/c.yaml", "---\nc: 1\n");
    write("in/README.md", "no manifest");
    let run = |arguments: &[&str]| run_in(folder.path(), &[arguments, &["--policies", "policies"]].concat(), b"");
    assert_eq!(run(&["-f", "in"]).stdout, "---\n{\"a\":\"/é\"}\n---\nb: 1");
    assert_eq!(
        run(&["-f", "in", "-R"]).stdout,
        "---\n{\"a\":\"/é\"}\n---\nb: 1\n---\nc: 1\n"
    );
    assert_eq!(run(&["-f", "in/deep", "-f", "in/b.yml"]).stdout, "---\nc: 1\n---\nb: 1");
    assert_eq!(run(&["-f", "in/README.md"]).stdout, "no manifest");
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let writer = std::thread::spawn(move || fs::write(fifo, "a: 1\n").unwrap());
    assert_eq!(run(&["-f", "fifo"]).stdout, "a: 1\n");
    writer.join().unwrap();
    let fifo = folder.path().join("in/d.yaml");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let refused = run(&["-f", "in"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        refused.stderr,
        "error: failed to read in/d.yaml: it is not a regular file\n"
    );
}

#[test]
fn documents_of_several_files_are_never_glued() {
    let folder = folder();
    fs::write(folder.path().join("c.yaml"), "c: 3\n").unwrap();
    let changed = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"annotations\":{\"outrigger.dev/inject\":\"helper\",\"x\":\"\\u2028\"}},\"spec\":{\"containers\":[{\"name\":\"web\"}]}}";
    for (first, second, arguments, expected) in [
        ("{\"a\":1}", "{\"b\":2}\n", &[][..], "{\"a\":1}\n{\"b\":2}\n"),
        ("\n", " {\"b\":2}{\"c\":3}", &[], "\n {\"b\":2}{\"c\":3}"),
        (
            "# c\n{\"a\":1}",
            "{\"b\":2}",
            &[],
            "---\n# c\n{\"a\":1}\n---\n{\"b\":2}",
        ),
        (
            "# c\n",
            "{\"b\":2} {\"c\":3}\n",
            &[],
            "# c\n---\n{\"b\":2}\n---\n{\"c\":3}\n",
        ),
        (
            "{\"a\":1}{\"b\":2}",
            "# c",
            &[],
            "---\n{\"a\":1}\n---\n{\"b\":2}\n---\n# c",
        ),
        ("null\n", "{\"b\":2}\n", &[], "null\n---\n{\"b\":2}\n"),
        ("# c\n", "{\"b\":\"\\/\"}\n", &[], "# c\n---\n{\"b\":\"/\"}\n"),
        ("a: 1\n", "\t{\"b\":2}\n", &[], "a: 1\n---\n{\"b\":2}\n"),
        (
            "a: 1\n",
            "{\"b\":\"\u{2028}\u{7f}\"}\n",
            &[],
            "a: 1\n---\n{\"b\":\"\\u2028\\u007f\"}\n",
        ),
        ("\u{feff}{\"a\":1}", "{\"b\":2}", &[], "---\n{\"a\":1}\n---\n{\"b\":2}"),
        ("{\"a\":1}\nb: 2\n", "c: 3", &[], "---\n{\"a\":1}\n---\nb: 2\n---\nc: 3"),
        ("{\"a\":1}\nb: 2\n", "", &[], "---\n{\"a\":1}\n---\nb: 2\n"),
        (
            "a: 1\n",
            "%YAML 1.1\n---\nb: 2\n",
            &[],
            "a: 1\n...\n%YAML 1.1\n---\nb: 2\n",
        ),
        ("{\"a\":1}\nb: 2\n", "", &["-o", "yaml"], "a: 1\n---\nb: 2\n"),
    ] {
        fs::write(folder.path().join("1"), first).unwrap();
        fs::write(folder.path().join("2"), second).unwrap();
        let files: &[&str] = if arguments.is_empty() {
            &["-f", "1", "-f", "2"]
        } else {
            &["-f", "1"]
        };
        let run = run_in(
            folder.path(),
            &[files, arguments, &["--policies", "policies"]].concat(),
            b"",
        );
        assert_eq!(run.stdout, expected, "{first:?} {second:?} {}", run.stderr);
    }
    fs::write(folder.path().join("1"), changed).unwrap();
    let run = run_in(
        folder.path(),
        &["-f", "1", "-f", "c.yaml", "--policies", "policies"],
        b"",
    );
    assert!(run.stdout.contains("\"x\":\"\\u2028\""), "{}", run.stdout);
    assert!(run.stdout.ends_with("}\n---\nc: 3\n"), "{}", run.stdout);
}

#[test]
fn a_diff_is_what_patch_makes_the_output_of() {
    let folder = folder();
    let unchanged = "---\n# unchanged\na: 1\n".repeat(5);
    let text = format!(
        "{}{unchanged}{}{unchanged}{}",
        pod("helper"),
        "---\n".to_owned() + &pod("helper"),
        "---\n".to_owned() + pod("helper").trim_end()
    );
    fs::write(folder.path().join("web.yaml"), &text).unwrap();
    let run = |arguments: &[&str]| {
        run_in(
            folder.path(),
            &[&["-f", "web.yaml", "--policies", "policies"], arguments].concat(),
            b"",
        )
    };
    let diff = run(&["-o", "diff"]);
    assert!(
        diff.stdout
            .starts_with("--- web.yaml\n+++ web.yaml\n@@ -4,10 +4,17 @@\n"),
        "{}",
        diff.stdout
    );
    assert!(
        diff.stdout.contains("\n+    outrigger.dev/injected: helper@"),
        "{}",
        diff.stdout
    );
    assert!(!diff.stdout.contains('\u{1b}'));
    assert!(
        run(&["-o", "diff", "--color", "always"])
            .stdout
            .contains("\u{1b}[32m+    outrigger.dev/injected")
    );
    let expected = run(&[]).stdout;
    fs::write(folder.path().join("web.diff"), &diff.stdout).unwrap();
    let patch = Command::new("patch")
        .args(["-s", "-i", "web.diff"])
        .current_dir(folder.path())
        .status();
    if let Ok(status) = patch {
        assert!(status.success());
        assert_eq!(fs::read_to_string(folder.path().join("web.yaml")).unwrap(), expected);
    }
    fs::write(folder.path().join("web.yaml"), &expected).unwrap();
    assert_eq!(run(&["-o", "diff"]).stdout, "");
}

#[test]
fn what_was_done_is_told_in_one_line_for_each_workload() {
    let input = format!(
        "{}---\n{}---\n{}",
        pod("helper"),
        pod("\"-webby\""),
        pod("\"-nothing\"")
    );
    let run = inject(&["--namespace-label", "team=web"], &input);
    for line in [
        "stdin:1: Pod default/web: injected helper (on-request), webby (match), adding container helper\n",
        "stdin:12: Pod default/web: nothing to inject; not webby (opted-out)\n",
        "warning: stdin:23: Pod default/web: ",
        "\ndocuments: 3, workloads: 3, changed: 2, unchanged: 1, refused: 0\n",
    ] {
        assert!(run.stderr.contains(line), "{line}\nis not in\n{}", run.stderr);
    }
    let misread = inject(&[], &pod("helper").replace("- name: web", "- name: n"));
    assert_eq!((misread.code, misread.stdout.as_str()), (Some(2), ""));
    assert!(
        misread.stderr.contains("booleans: put it in quotes"),
        "{}",
        misread.stderr
    );
    let protected = inject(&["-n", "kube-system"], &pod("helper"));
    assert!(
        protected
            .stderr
            .contains("stdin:1: Pod kube-system/web: nothing is injected into a protected namespace\n"),
        "{}",
        protected.stderr
    );
    let again = inject(&["--namespace-label", "team=web"], &run.stdout);
    assert!(
        again.stderr.contains("has helper (on-request), webby (match) already"),
        "{}",
        again.stderr
    );
    let quiet = inject(&["-q", "--namespace-label", "team=web"], &input);
    assert!(
        quiet.stderr.lines().all(|line| line.starts_with("warning: ")),
        "{}",
        quiet.stderr
    );
}

#[test]
fn names_neither_steer_the_terminal_nor_begin_a_line() {
    let folder = folder();
    let file = "a\n\u{1b}[31m.yaml";
    fs::write(
        folder.path().join(file),
        format!(
            "{}---\napiVersion: outrigger.dev/v1alpha1\nkind: ClusterInjectionPolicy\nmetadata: {{name: x}}\nspec: {{\"\\e[2J\\nerror\": 1, pod: {{labels: {{\"\\e]0;\\a\": x}}}}}}\n",
            pod("helper")
        ),
    )
    .unwrap();
    for arguments in [
        &["-f", file, "--policies", "policies"][..],
        &["-f", file, "--policies", "policies", "-o", "diff"],
        &["-f", "none\n\u{1b}[31m", "--policies", "policies"],
    ] {
        let run = run_in(folder.path(), arguments, b"");
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        }
        assert!(
            run.stderr
                .lines()
                .all(|line| !line.starts_with("error\"") && !line.starts_with('\u{fffd}')),
            "{}",
            run.stderr
        );
        if arguments.contains(&"diff") {
            assert!(
                run.stdout
                    .starts_with("--- a\u{fffd}\u{fffd}[31m.yaml\n+++ a\u{fffd}\u{fffd}[31m.yaml\n@@"),
                "{}",
                run.stdout
            );
        }
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let folder = folder();
    fs::write(folder.path().join("large.yaml"), "a: 1\n---\n".repeat(100_000)).unwrap();
    let command = format!("{OUTRIGGER} inject -f large.yaml --policies policies | head -n 1; echo ${{PIPESTATUS[0]}}");
    let output = Command::new("bash")
        .args(["-c", &command])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a: 1\n0\n");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !stderr.contains("panic") && stderr.contains("documents: 100000"),
        "{stderr}"
    );
}

#[test]
fn thousands_of_workloads_take_time_in_proportion() {
    let time = |count: usize| {
        let input = format!("{}---\n", pod("helper")).repeat(count);
        let started = std::time::Instant::now();
        let run = inject(&["-q", "-o", "diff"], &input);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        started.elapsed()
    };
    time(10);
    let (few, many) = (time(500), time(5000));
    assert!(
        many < few * 40 + std::time::Duration::from_secs(1),
        "500 take {few:?}, 5000 take {many:?}"
    );
}

#[test]
fn a_mebibyte_of_nothing_but_openings_is_answered_soon() {
    let started = std::time::Instant::now();
    for opening in [
        "[", "{", "- ", "? ", "a: ", "&a ", "!a ", "\"", "---\n", "...\n", "%a\n", "{}", "[],", "*a", "\t", "#", "|\n",
        "a:\n ",
    ] {
        let input = opening.repeat((1 << 20) / opening.len());
        let run = inject(&["-q"], &input);
        match run.code {
            Some(0) => assert!(run.stdout == input, "{opening:?}"),
            code => assert_eq!((code, run.stdout.as_str()), (Some(2), ""), "{opening:?}"),
        }
        assert!(!run.stderr.contains("panic"), "{opening:?}: {}", run.stderr);
    }
    assert!(
        started.elapsed() < std::time::Duration::from_secs(120),
        "{:?}",
        started.elapsed()
    );
}

/// One with an image of Outrigger's own and one of somebody else's.
const WITH_IMAGES: &str = r#"apiVersion: outrigger.dev/v1alpha1
kind: ClusterInjectionPolicy
metadata: {name: pictured}
spec:
  sidecars: [{container: {name: own, image: "outrigger/runtime:0.1.0"}}]
  initContainers: [{container: {name: other, image: "fluent/fluent-bit:4.0"}}]
"#;

#[test]
fn helpers_have_the_images_that_the_command_line_says() {
    let folder = folder();
    fs::write(folder.path().join("policies/pictured.yaml"), WITH_IMAGES).unwrap();
    let run = |arguments: &[&str]| {
        let arguments = [&["-f", "-", "--policies", "policies"], arguments].concat();
        run_in(folder.path(), &arguments, pod("pictured").as_bytes())
    };
    let mirror = "--image-registry=registry.example.com:5000/mirror/";
    let other = "--image=fluent/fluent-bit:4.0=registry.example.com/fluent-bit:4.0";
    for (flags, own, foreign) in [
        (&[][..], "outrigger/runtime:0.1.0", "fluent/fluent-bit:4.0"),
        (
            &[mirror],
            "registry.example.com:5000/mirror/outrigger/runtime:0.1.0",
            "fluent/fluent-bit:4.0",
        ),
        (
            &[mirror, "--image-tag=0.2", other],
            "registry.example.com:5000/mirror/outrigger/runtime:0.2",
            "registry.example.com/fluent-bit:4.0",
        ),
        (
            &["--image=outrigger/runtime:0.1.0=local/runtime", mirror],
            "local/runtime",
            "fluent/fluent-bit:4.0",
        ),
    ] {
        let done = run(flags);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        for image in [own, foreign] {
            assert!(
                done.stdout.contains(&format!("image: {image}\n")),
                "{flags:?}\n{}",
                done.stdout
            );
        }
    }
    // A policy among the manifests is no other.
    let among = format!("{WITH_IMAGES}---\n{}", pod("pictured"));
    let done = run_in(folder.path(), &["-f", "-", "--image-tag", "0.3"], among.as_bytes());
    assert!(done.stdout.starts_with(WITH_IMAGES), "{}", done.stdout);
    assert!(
        done.stdout.contains("image: outrigger/runtime:0.3\n"),
        "{}",
        done.stdout
    );

    let slip = run(&["--image=fluent/fluent-bit:4=x"]);
    let told = "warning: --image fluent/fluent-bit:4: no policy names this image; named are: fluent/fluent-bit:4.0, helper, outrigger/runtime:0.1.0\n";
    assert!(slip.code == Some(0) && slip.stderr.contains(told), "{}", slip.stderr);
    for (flag, way_out) in [
        (
            "--image-registry=https://registry.example.com",
            "with no https:// before it",
        ),
        ("--image-registry=", "write a registry"),
        ("--image-registry=a b", "write a registry"),
        ("--image-tag=:1", "a tag has 1 to 128"),
        ("--image-tag=", "a tag has 1 to 128"),
        ("--image=fluent/fluent-bit:4.0", "write the image as policies name it"),
        ("--image==a", "write the image as policies name it"),
    ] {
        let refused = run(&[flag]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{flag}");
        assert!(refused.stderr.contains(way_out), "{flag}: {}", refused.stderr);
    }
}
