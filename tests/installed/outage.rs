//! Replicas that end, one of them or all at once.
use crate::stage::{HELPER, Stage, asking, configurations};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const CLIENTS: usize = 4;
/// Until no call is with a replica that was killed.
const NOTICED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn row_36_a_replica_that_is_killed_takes_only_the_calls_with_it_that_it_was_at() {
    let Some(mut stage) = Stage::running("killed", 3, &[]).await else {
        return;
    };
    let stream = stage.stream(CLIENTS, Duration::from_millis(20)).await;
    sleep(Duration::from_secs(2)).await;
    let killed = Instant::now();
    let _gone = stage.kill(0);
    sleep(Duration::from_secs(6)).await;
    let tally = stream.end().await;
    println!("{} Pods sent, {} lost", tally.sent, tally.lost.len());
    assert!(tally.sent > 20, "{}", tally.sent);
    // A call that was in progress; no client has more than one.
    assert!(tally.lost.len() <= CLIENTS, "{:?}", tally.lost);
    for lost in &tally.lost {
        let after = lost.answered.saturating_duration_since(killed);
        assert!(lost.answered >= killed && after < NOTICED, "{after:?}: {lost:?}");
    }
}

#[tokio::test]
async fn row_42_with_failure_policy_fail_and_everything_restarted_all_comes_back_by_itself() {
    let Some(mut stage) = Stage::running("restart", 2, &[]).await else {
        return;
    };
    while !stage.replicas.is_empty() {
        stage.kill(0);
    }
    let fail = json!([{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail"}]);
    for path in configurations() {
        stage.system.json_patch(&path, &fail).await.object();
    }
    stage.system.cluster().restart();
    let refused = async || stage.app.dry_run(&asking()).await.status == 500;
    stage.wait_for("refusal", refused).await;
    // What has to run first, runs: our own Pods, and the cluster's.
    assert_eq!(stage.system.create(&asking()).await.status, 201);
    let account = json!({"metadata": {"name": "default"}});
    let path = "/api/v1/namespaces/kube-system";
    stage
        .system
        .call("POST", &format!("{path}/serviceaccounts"), Some(&account))
        .await;
    let pod = stage
        .system
        .call("POST", &format!("{path}/pods"), Some(&asking()))
        .await;
    assert_eq!(pod.status, 201, "{}", pod.message());
    stage.replicas(2, &[]).await;
    stage.wait_until_called().await;
    let ignores = async || {
        let found = stage.system.call("GET", &configurations()[0], None).await;
        found.body["webhooks"][0]["failurePolicy"] == "Ignore"
    };
    stage.wait_for("repair of the failure policy", ignores).await;
    assert!(stage.app.create(&asking()).await.created_with(HELPER));
}
