//! What `kubectl apply` of a Deployment and the like says about the Pods to come.
use crate::policies::{LOG_SAVER, METRICS};
use crate::scene::Scene;
use serde_json::{Value, json};

const KINDS: [(&str, &str); 7] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "ReplicationController"),
];

async fn scene(name: &str, policies: &[&str]) -> Option<Scene> {
    let mut scene = Scene::new(name, policies).await?;
    scene.webhook.advise(&scene.namespace).await;
    Some(scene)
}

/// A whole workload, whose template has these annotations.
fn workload((api_version, kind): (&str, &str), annotations: &Value) -> Value {
    let mut template = json!({
        "metadata": {"labels": {"app": "web"}, "annotations": annotations},
        "spec": {"containers": [{"name": "app", "image": "registry.test/app:1"}]},
    });
    if api_version == "batch/v1" {
        template["spec"]["restartPolicy"] = json!("Never");
    }
    let spec = match kind {
        "Job" => json!({"template": template}),
        "CronJob" => json!({"schedule": "0 0 * * *", "jobTemplate": {"spec": {"template": template}}}),
        "ReplicationController" => json!({"selector": {"app": "web"}, "template": template}),
        _ => json!({"selector": {"matchLabels": {"app": "web"}}, "template": template}),
    };
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "web"}, "spec": spec})
}

/// What kubectl says on applying; it does what it is told.
async fn applied(scene: &Scene, manifest: &Value, more: &[&str]) -> String {
    let arguments = [&["apply", "-f", "-"], more].concat();
    let output = scene.namespace.kubectl(&arguments, Some(manifest)).await;
    assert!(output.success, "{}", output.stderr);
    output.stderr
}

#[tokio::test]
async fn kubectl_apply_tells_what_the_pods_of_each_kind_will_meet() {
    let Some(scene) = scene("advice", &[LOG_SAVER]).await else {
        return;
    };
    for kind in KINDS {
        let annotations = json!({"outrigger.dev/inject": "log-savr"});
        let said = applied(&scene, &workload(kind, &annotations), &[]).await;
        for part in [
            &format!("Warning: {} web: its Pods will be refused", kind.1)[..],
            "log-savr",
            "did you mean \"log-saver\"?",
        ] {
            assert!(said.contains(part), "{kind:?}: {part} is not in {said}");
        }
    }
}

#[tokio::test]
async fn a_wish_on_the_workload_itself_is_told_where_it_belongs_and_only_once() {
    let Some(scene) = scene("misplaced", &[LOG_SAVER]).await else {
        return;
    };
    for kind in KINDS {
        let mut manifest = workload(kind, &json!({}));
        manifest["metadata"]["annotations"] = json!({"outrigger.dev/inject": "log-saver"});
        let expected = match kind.1 {
            "CronJob" => "write it in spec.jobTemplate.spec.template.metadata.annotations",
            _ => "write it in spec.template.metadata.annotations",
        };
        // A dry run says it too, and leaves nothing.
        for more in [&["--dry-run=server"][..], &[]] {
            let said = applied(&scene, &manifest, more).await;
            assert!(said.contains(expected), "{kind:?}: {said}");
        }
        manifest["metadata"]["labels"] = json!({"a": "b"});
        assert_eq!(applied(&scene, &manifest, &[]).await, "", "{kind:?}");
    }
}

#[tokio::test]
async fn a_template_is_told_about_when_it_is_applied_and_when_it_changes() {
    let Some(scene) = scene("changes", &[LOG_SAVER, METRICS]).await else {
        return;
    };
    let good = json!({"outrigger.dev/inject": "log-saver,metrics"});
    let mut deployment = workload(KINDS[0], &good);
    assert_eq!(applied(&scene, &deployment, &[]).await, "");
    let template = &mut deployment["spec"]["template"];
    template["metadata"]["annotations"]["log-saver.outrigger.dev/path"] = json!("relative");
    template["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9113}]);
    let said = applied(&scene, &deployment, &[]).await;
    for part in ["will be refused", "\"relative\"", "9113"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    deployment["spec"]["replicas"] = json!(3);
    assert_eq!(applied(&scene, &deployment, &[]).await, "");
}

#[tokio::test]
async fn what_the_namespace_forbids_or_gives_is_told_as_its_pods_will_meet_it() {
    let by_match = crate::policies::with(
        METRICS,
        "spec:",
        "spec:\n  match: {podSelector: {matchLabels: {app: web}}}",
    );
    let paused = crate::policies::with(LOG_SAVER, "spec:", "spec:\n  paused: true");
    let Some(scene) = scene("forecast", &[&by_match, &paused]).await else {
        return;
    };
    let mut deployment = workload(KINDS[0], &json!({"outrigger.dev/inject": "log-saver"}));
    deployment["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 9113}]);
    let said = applied(&scene, &deployment, &[]).await;
    for part in [
        "Deployment web: policy \"log-saver\" is paused",
        "Deployment web: policy \"metrics\" is left out: ",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
}
