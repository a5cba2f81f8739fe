//! Replicas that start together, and what is there before them.
use crate::stage::{HELPER, Stage, asking, configurations, from_base64};
use outrigger_harness::Page;
use serde_json::{Value, json};

async fn agree(stage: &Stage, count: usize) {
    let secret = stage.secret().await.unwrap();
    let authorities = secret.text("ca.crt");
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 1, "{authorities}");
    for path in configurations() {
        assert_eq!(from_base64(&stage.bundle(&path).await.unwrap()), authorities, "{path}");
    }
    // Each of them is trusted by who trusts that one authority.
    assert_eq!(stage.replicas.len(), count);
    for replica in &stage.replicas {
        let answer =
            outrigger_harness::Namespace::send(&replica.https(&authorities), "POST", "/mutate", Some(&json!({}))).await;
        assert_eq!(answer.status, 400, "{}", answer.message());
    }
    let made = stage.logs().matches("made the Secret").count();
    assert_eq!(made, 1, "{}", stage.logs());
}

#[tokio::test]
async fn row_46_two_replicas_that_start_together_make_one_authority_and_one_bundle() {
    let Some(stage) = Stage::running("two", 2, &[]).await else {
        return;
    };
    agree(&stage, 2).await;
}

#[tokio::test]
async fn row_46_ten_replicas_that_start_together_make_one_authority_and_one_bundle() {
    let Some(stage) = Stage::running("ten", 10, &[]).await else {
        return;
    };
    agree(&stage, 10).await;
}

#[tokio::test]
async fn row_43_with_the_configuration_there_first_our_own_pods_start() {
    let Some(mut stage) = Stage::new("first").await else {
        return;
    };
    let left_behind = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "00-outrigger-pods"},
        "webhooks": [{
            "name": "pods.outrigger.dev",
            "clientConfig": {"service": {"namespace": stage.system.name, "name": "outrigger", "path": "/mutate",
                "port": stage.balancer.port()}},
            "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn",
                "values": ["kube-system", stage.system.name]}]},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
        }],
    });
    let path = &configurations()[0];
    let path = format!("{path}?fieldManager=another&force=true");
    stage.system.apply(&path, &left_behind).await.object();
    stage
        .wait_for("refusal", async || stage.app.dry_run(&asking()).await.status == 500)
        .await;
    assert_eq!(stage.system.dry_run(&asking()).await.status, 201);
    stage.replicas(1, &[]).await;
    stage.wait_until_called().await;
    let taken_over = stage.system.call("GET", &configurations()[0], None).await.object();
    assert_eq!(taken_over["webhooks"][0]["failurePolicy"], "Ignore");
    assert!(stage.app.create(&asking()).await.created_with(HELPER));
}

#[tokio::test]
async fn the_configurations_say_what_the_operations_page_says() {
    let Some(stage) = Stage::running("page", 1, &[]).await else {
        return;
    };
    let blocks = Page::read("docs/operations.md").blocks("yaml");
    let shown: Vec<Value> = blocks
        .iter()
        .filter(|block| block.contains("WebhookConfiguration"))
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    assert_eq!(shown.len(), 3);
    for shown in shown {
        let name = shown["metadata"]["name"].as_str().unwrap();
        let path = configurations().into_iter().find(|path| path.ends_with(name)).unwrap();
        let live = stage.system.call("GET", &path, None).await.object();
        let (shown, live) = (&shown["webhooks"][0], &live["webhooks"][0]);
        for (field, value) in shown.as_object().unwrap() {
            if !matches!(field.as_str(), "clientConfig" | "namespaceSelector" | "rules") {
                assert_eq!(&live[field], value, "{name} {field}");
            }
        }
        for (rule, shown) in live["rules"]
            .as_array()
            .unwrap()
            .iter()
            .zip(shown["rules"].as_array().unwrap())
        {
            for (field, value) in shown.as_object().unwrap() {
                assert_eq!(&rule[field], value, "{name} {field}");
            }
        }
    }
}
