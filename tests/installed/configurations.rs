//! The webhook configurations while others change them.
use crate::stage::{HELPER, PATIENCE, Stage, asking, configurations};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const REPAIRS: &str = "outrigger_repairs_total";

async fn blank(stage: &Stage, path: &str) {
    let patch = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    // While nothing has been repaired there is nothing to blank.
    stage.system.json_patch(path, &patch).await;
}

#[tokio::test]
async fn row_47_who_blanks_the_bundle_each_second_is_answered_ever_more_slowly_and_loses_in_the_end() {
    let Some(stage) = Stage::running("blank", 2, &[]).await else {
        return;
    };
    let before = stage.metric(REPAIRS).await;
    let start = Instant::now();
    for _ in 0..15 {
        for path in configurations() {
            blank(&stage, &path).await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let stopped = Instant::now();
    let repairs = stage.metric(REPAIRS).await - before;
    let seconds = start.elapsed().as_secs_f64();
    assert!(repairs >= 1.0, "nothing was repaired:\n{}", stage.logs());
    assert!(repairs <= seconds + 1.0, "{repairs} repairs in {seconds} s");
    stage.wait_for("repair", async || stage.is_registered().await).await;
    let lasted = stopped.elapsed();
    assert!(lasted < Duration::from_secs(30), "{lasted:?}");
    println!("{repairs} repairs in {seconds:.0} s, right {lasted:.1?} after the end");
    stage
        .wait_for("helper", async || {
            stage.app.dry_run(&asking()).await.created_with(HELPER)
        })
        .await;
}

#[tokio::test]
async fn a_configuration_that_somebody_edits_or_deletes_is_put_right() {
    let Some(stage) = Stage::running("edits", 1, &[]).await else {
        return;
    };
    let [pods, policies, workloads] = configurations();
    let right = |path: String| {
        let system = &stage.system;
        async move { system.call("GET", &path, None).await.body["webhooks"].clone() }
    };
    let was = [
        right(pods.clone()).await,
        right(policies.clone()).await,
        right(workloads.clone()).await,
    ];
    let edit = |value: Value, at: &str| json!([{"op": "replace", "path": format!("/webhooks/0/{at}"), "value": value}]);
    let edits = [
        (&pods, edit(json!("Fail"), "failurePolicy")),
        (&policies, edit(json!([]), "rules")),
        (&workloads, edit(json!("elsewhere"), "clientConfig/service/name")),
    ];
    for (path, patch) in edits {
        let answer = stage.system.json_patch(path, &patch).await;
        assert_eq!(answer.status, 200, "{}", answer.message());
    }
    let is_right = async || {
        [
            right(pods.clone()).await,
            right(policies.clone()).await,
            right(workloads.clone()).await,
        ] == was
    };
    stage.wait_for("repair of what was edited", is_right).await;
    assert_eq!(stage.metric(REPAIRS).await, 3.0);
    for path in configurations() {
        stage.system.call("DELETE", &path, None).await.object();
    }
    stage.wait_for("repair of what was deleted", is_right).await;
    assert_eq!(stage.metric(REPAIRS).await, 6.0);
    assert_eq!(stage.metric("outrigger_object_wrong").await, 0.0);
}

#[tokio::test]
async fn exclusions_that_a_platform_adds_stay_and_are_not_fought_over() {
    let Some(stage) = Stage::running("platform", 1, &[]).await else {
        return;
    };
    let [pods, ..] = configurations();
    let theirs = json!({"key": "kubernetes.azure.com/managedby", "operator": "NotIn", "values": ["aks"]});
    let add = json!([
        {"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/-", "value": theirs},
        {"op": "add", "path": "/webhooks/0/namespaceSelector/matchExpressions/0/values/-", "value": "gke-system"},
        {"op": "add", "path": "/webhooks/0/objectSelector/matchExpressions",
            "value": [{"key": "control-plane", "operator": "DoesNotExist"}]},
    ]);
    let added = stage.system.json_patch(&pods, &add).await.object();
    // Time for a repair that must not be.
    sleep(Duration::from_secs(5)).await;
    let after = stage.system.call("GET", &pods, None).await.object();
    assert_eq!(
        after["metadata"]["resourceVersion"],
        added["metadata"]["resourceVersion"]
    );
    assert_eq!(stage.metric(REPAIRS).await, 0.0);

    // What we write for another reason leaves the exclusions where they are.
    stage.ask_for_rotation().await;
    let trusted = after["webhooks"][0]["clientConfig"]["caBundle"].clone();
    let end = Instant::now() + PATIENCE;
    let written = loop {
        let written = stage.system.call("GET", &pods, None).await.object();
        if written["webhooks"][0]["clientConfig"]["caBundle"] != trusted {
            break written;
        }
        assert!(Instant::now() < end, "{}", stage.logs());
        sleep(Duration::from_millis(100)).await;
    };
    let webhook = &written["webhooks"][0];
    let expressions = webhook["namespaceSelector"]["matchExpressions"].as_array().unwrap();
    assert!(expressions.contains(&theirs), "{expressions:?}");
    assert_eq!(webhook["objectSelector"]["matchExpressions"][0]["key"], "control-plane");
    assert_eq!(stage.metric(REPAIRS).await, 0.0);
}
