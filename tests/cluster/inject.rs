//! What `outrigger inject` writes, on a real API server with the webhook in front of it.
use crate::policies::{LOG_SAVER, MEMCACHED, METRICS, with};
use crate::scene::Scene;
use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Output, Stdio},
};

/// Runs `outrigger inject -f -` with these policies.
fn inject(policies: &[&str], arguments: &[&str], manifest: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    for (index, policy) in policies.iter().enumerate() {
        fs::write(directory.path().join(format!("{index}.yaml")), policy).unwrap();
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_outrigger"))
        .args(["inject", "-f", "-", "--policies"])
        .arg(directory.path())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(manifest.as_bytes()).unwrap();
    program.wait_with_output().unwrap()
}

fn stdout(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn deployment(annotations: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata:\n      labels: {{app: web}}\n      annotations: {{{annotations}}}\n    spec:\n      containers:\n      - name: web\n        image: nginx\n        volumeMounts: [{{name: config, mountPath: /config}}]\n      volumes:\n      - name: config\n        configMap: {{name: config, defaultMode: 0640}}\n"
    )
}

/// The Pod that a ReplicaSet makes of a template.
fn pod_of(deployment: &Value) -> Value {
    let mut pod = deployment["spec"]["template"].clone();
    pod["apiVersion"] = json!("v1");
    pod["kind"] = json!("Pod");
    pod["metadata"]["generateName"] = json!("web-5d9f-");
    pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9f",
        "uid": "6f0f7c5e-58b5-4d3e-a8a5-6f4bd2b0d6a7", "controller": true}]);
    pod
}

#[tokio::test]
async fn the_webhook_adds_nothing_to_the_pod_of_an_injected_deployment() {
    let policies = [LOG_SAVER, METRICS, MEMCACHED];
    let Some(scene) = Scene::new("inject-twice", &policies).await else {
        return;
    };
    let manifest = deployment("outrigger.dev/inject: \"log-saver,metrics,memcached\"");
    let written = stdout(inject(&policies, &["--namespace", &scene.namespace.name], &manifest));
    let again = stdout(inject(&policies, &["--namespace", &scene.namespace.name], &written));
    assert_eq!(written, again, "injecting twice is injecting once");

    let path = scene.namespace.cluster().directory("inject-twice").join("web.yaml");
    fs::write(&path, &written).unwrap();
    let arguments = ["apply", "-f", path.to_str().unwrap(), "-o", "json"];
    let applied = scene.namespace.kubectl(&arguments, None).await;
    assert!(applied.success, "{}", applied.stderr);
    let deployment: Value = serde_json::from_str(&applied.stdout).unwrap();
    let template = &deployment["spec"]["template"];
    assert_eq!(template["spec"]["volumes"][0]["configMap"]["defaultMode"], 0o640);
    let pod = pod_of(&deployment);
    let response = scene.review(&pod).await;
    assert_eq!(
        (&response["allowed"], response.get("patch")),
        (&json!(true), None),
        "{response}"
    );

    let admitted = scene.admit(&pod).await;
    let names = |list: &str| admitted.names(list).into_iter().map(str::to_owned).collect::<Vec<_>>();
    let of_template = |list: &str| {
        let items = template["spec"][list].as_array().into_iter().flatten();
        items
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    for list in ["containers", "initContainers"] {
        assert_eq!(names(list), of_template(list));
    }
}

#[tokio::test]
async fn what_the_command_adds_is_what_the_webhook_adds() {
    let not_a_job = with(
        METRICS,
        "spec:",
        "spec:\n  match:\n    conditions:\n    - {name: not-a-job, expression: \"!object.metadata.?ownerReferences.orValue([]).exists(o, o.kind == 'Job')\"}",
    );
    let policies = [LOG_SAVER, not_a_job.as_str()];
    let Some(scene) = Scene::new("inject-same", &policies).await else {
        return;
    };
    let text = deployment("outrigger.dev/inject: log-saver");
    let json = stdout(inject(
        &policies,
        &["--namespace", &scene.namespace.name, "-o", "json"],
        &text,
    ));
    let injected = pod_of(&serde_json::from_str(&json).unwrap());
    let plain = stdout(inject(
        &[LOG_SAVER],
        &["-o", "json"],
        &text.replace("outrigger.dev/inject: log-saver", "x: z"),
    ));
    let mut asking = pod_of(&serde_json::from_str(&plain).unwrap());
    asking["metadata"]["annotations"] = json!({"outrigger.dev/inject": "log-saver"});
    let admitted = scene.namespace.dry_run(&asking).await.object();
    let ours = scene.namespace.dry_run(&injected).await.object();
    for list in ["initContainers", "containers"] {
        let names = |pod: &Value| {
            let items = pod["spec"][list].as_array().into_iter().flatten();
            items.map(|item| item["name"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&admitted), names(&ours), "{list}");
    }
    assert_eq!(admitted["metadata"]["annotations"], ours["metadata"]["annotations"]);
}

#[tokio::test]
async fn kubectl_reads_a_mixed_stream_of_several_files() {
    let Some(scene) = Scene::new("inject-mixed", &[LOG_SAVER]).await else {
        return;
    };
    let directory = scene.namespace.cluster().directory("inject-mixed");
    let policy = directory.join("policy.yaml");
    fs::write(&policy, LOG_SAVER).unwrap();
    let map =
        |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}});
    fs::write(
        directory.join("a.json"),
        format!("{}\n{}", map("a1"), map("a2")).replace("\"b\"", "\"\\ud83d\\ude80\\/\""),
    )
    .unwrap();
    fs::write(
        directory.join("b.yaml"),
        deployment("outrigger.dev/inject: log-saver").trim_end(),
    )
    .unwrap();
    fs::write(directory.join("c.json"), map("c").to_string()).unwrap();
    for format in [&[][..], &["-o", "yaml"], &["-o", "json"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_outrigger"))
            .args([
                "inject",
                "-f",
                "a.json",
                "-f",
                "b.yaml",
                "-f",
                "c.json",
                "--policies",
                ".",
            ])
            .args(format)
            .current_dir(&directory)
            .output()
            .unwrap();
        let name = format!("out-{}", format.last().unwrap_or(&"same"));
        let path = directory.parent().unwrap().join(name);
        fs::write(&path, stdout(output)).unwrap();
        let arguments = ["apply", "--dry-run=server", "-f", path.to_str().unwrap(), "-o", "name"];
        let applied = scene.namespace.kubectl(&arguments, None).await;
        let names: Vec<&str> = applied.stdout.lines().collect();
        let expected = ["configmap/a1", "configmap/a2", "deployment.apps/web", "configmap/c"];
        assert_eq!(
            names,
            expected,
            "{format:?}: {}\n{}",
            applied.stderr,
            fs::read_to_string(&path).unwrap()
        );
    }
}
