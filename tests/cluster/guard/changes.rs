//! Changes of Pods that are there: what the guard goes by stays, everything else is free.
use super::stage::{Guarded, judged, merged, pod, policy, required};
use outrigger::controller::guard::Facts;
use outrigger_engine::Settings;
use outrigger_harness::Answer;
use serde_json::{Value, json};

const SAVER: &str = "registry.test/saver:1";

fn policies(image: &str) -> Vec<Value> {
    let saver = |image: &str| {
        json!({"sidecars": [{"container": {"name": "saver", "image": image},
            "files": {"mountPath": "/etc/saver", "items": {"saver.conf": "keep all"}}}]})
    };
    let front = json!({"podSelector": {"matchLabels": {"tier": "front"}}});
    vec![
        policy("saver", required(&front, saver(image))),
        policy("asked-for", saver("registry.test/asked-for:1")),
    ]
}

/// A guard, and in its first namespace the Pod `web` as Outrigger makes it of this one.
async fn with_pod(name: &str, facts: &Facts, pod: &Value) -> Option<Guarded> {
    let guarded = Guarded::new(name, &[json!({})], &policies(SAVER), facts, Settings::default()).await?;
    let injected = guarded.injected(0, pod);
    guarded.namespaces[0].create(&injected).await.object();
    Some(guarded)
}

fn front() -> Value {
    pod(json!({"tier": "front"}), None)
}

async fn patch(guarded: &Guarded, patch: Value) -> Answer {
    let namespace = &guarded.namespaces[0];
    namespace.merge(&namespace.path("pods/web"), &patch).await
}

fn annotations(annotations: Value) -> Value {
    json!({"metadata": {"annotations": annotations}})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_pod_can_be_labelled_annotated_edited_and_deleted() {
    let Some(guarded) = with_pod("edits", &Facts::default(), &front()).await else {
        return;
    };
    let kubectl = async |arguments: &[&str]| {
        let output = guarded.namespaces[0].kubectl(arguments, None).await;
        assert!(output.success, "{arguments:?}: {}", output.stderr);
        output.stdout
    };
    kubectl(&["label", "pod", "web", "tier=back", "more=1", "--overwrite"]).await;
    kubectl(&[
        "annotate",
        "pod",
        "web",
        "note=1",
        "outrigger.dev/inject=unknown",
        "saver.outrigger.dev/path=/x",
    ])
    .await;
    kubectl(&["set", "image", "pod/web", "app=registry.test/app:2"]).await;
    // As editors do it: read, changed, written back.
    let mut whole: Value = serde_json::from_str(&kubectl(&["get", "pod", "web", "-o", "json"]).await).unwrap();
    whole["metadata"]["labels"]["edited"] = json!("yes");
    whole["metadata"]["finalizers"] = json!(["tests.outrigger.dev/hold"]);
    let output = guarded.namespaces[0]
        .kubectl(&["replace", "-f", "-"], Some(&whole))
        .await;
    assert!(output.success, "{}", output.stderr);
    kubectl(&["delete", "pod", "web", "--wait=false"]).await;
    patch(&guarded, json!({"metadata": {"finalizers": null}}))
        .await
        .object();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_has_changed_since_does_not_stand_in_the_way_of_a_pod_that_is_there() {
    let Some(mut guarded) = with_pod("changed", &Facts::default(), &front()).await else {
        return;
    };
    guarded.put(&policies("registry.test/saver:2"), &Facts::default()).await;
    patch(&guarded, json!({"metadata": {"labels": {"a": "b"}}}))
        .await
        .object();
    let container = |image: &str| json!({"spec": {"initContainers": [{"name": "saver", "image": image}]}});
    let set = async |image: &str| {
        let namespace = &guarded.namespaces[0];
        let patch = container(image).to_string();
        namespace
            .kubectl(&["patch", "pod", "web", "--type=strategic", "-p", &patch], None)
            .await
    };
    let output = set("registry.test/pause:1").await;
    assert!(
        !output.success
            && output
                .stderr
                .contains("container \"saver\" belongs to a Required policy"),
        "{}",
        output.stderr
    );
    let output = set("registry.test/saver:2").await;
    assert!(output.success, "to the policy's own: {}", output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_and_the_files_of_required_policies_stay_as_they_are() {
    let Some(guarded) = with_pod("kept", &Facts::default(), &front()).await else {
        return;
    };
    let record = "outrigger.dev/injected";
    let file = "saver.files.outrigger.dev/0";
    let pod = guarded.namespaces[0]
        .call("GET", &guarded.namespaces[0].path("pods/web"), None)
        .await
        .object();
    assert_eq!(pod["metadata"]["annotations"][file], "keep all", "{pod:#}");
    for (what, change, part) in [
        ("another record", json!({record: "saver@0"}), "outrigger.dev/injected"),
        ("no record", json!({record: null}), "outrigger.dev/injected"),
        ("another file", json!({file: "keep nothing"}), file),
        ("no file", json!({file: null}), file),
        (
            "one more file",
            json!({"saver.files.outrigger.dev/9": "x"}),
            "saver.files.outrigger.dev/9",
        ),
    ] {
        let message = judged(patch(&guarded, annotations(change)).await).expect_err(what);
        assert!(
            message.contains(part) && message.contains("create the Pod again"),
            "{what}: {message}"
        );
    }
    for change in [
        json!({"other.files.outrigger.dev/0": "x"}),
        json!({"note": "x"}),
        json!({record: pod["metadata"]["annotations"][record]}),
    ] {
        patch(&guarded, annotations(change)).await.object();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_without_a_record_gets_none_by_hand_and_files_of_other_policies_may_change() {
    let asking = pod(json!({}), Some("asked-for"));
    let Some(guarded) = with_pod("by-hand", &Facts::default(), &asking).await else {
        return;
    };
    patch(
        &guarded,
        annotations(json!({"asked-for.files.outrigger.dev/0": "less"})),
    )
    .await
    .object();
    patch(
        &guarded,
        json!({"metadata": {"labels": {"outrigger.dev/injected": null}}}),
    )
    .await
    .object();
    let mut plain = pod(json!({}), None);
    plain["metadata"]["name"] = json!("plain");
    guarded.namespaces[0].create(&plain).await.object();
    let namespace = &guarded.namespaces[0];
    let forged = annotations(json!({"outrigger.dev/injected": "saver@0"}));
    let message = judged(namespace.merge(&namespace.path("pods/plain"), &forged).await).expect_err("a forged record");
    assert!(message.starts_with("outrigger-requested"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_injector_itself_may_change_what_it_has_made() {
    // The tests' own user stands for the injector; its name is what the API server says of it.
    let Some(cluster) = outrigger_harness::Cluster::shared() else {
        return;
    };
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let someone = cluster.namespace("self", json!({})).await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let said = someone.call("POST", path, Some(&review)).await.object();
    let injector = said["status"]["userInfo"]["username"].as_str().unwrap().to_owned();
    let facts = Facts {
        injector: Some(injector),
        ..Facts::default()
    };
    let Some(guarded) = with_pod("injector", &facts, &front()).await else {
        return;
    };
    patch(
        &guarded,
        annotations(json!({"saver.files.outrigger.dev/0": "keep less", "outrigger.dev/injected": "saver@1"})),
    )
    .await
    .object();
    let message = guarded
        .verdict(0, &merged(front(), json!({})))
        .await
        .expect_err("it makes no Pods either");
    assert!(message.contains("\"saver\""), "{message}");
}
