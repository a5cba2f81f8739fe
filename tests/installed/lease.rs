//! One of the replicas leads, and it does not matter to callers which.
use crate::stage::{HELPER, Stage, asking};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn one_replica_leads_and_one_that_is_told_to_stop_lets_another_lead_at_once() {
    let Some(mut stage) = Stage::running("stop", 2, &["--lease-duration", "60s"]).await else {
        return;
    };
    let leader = stage.leader().await;
    assert_eq!(stage.metric("outrigger_leads").await, 1.0);
    let before = stage.holder().await;
    let stopped = stage.replicas.remove(leader);
    stage.balancer.remove(stopped.address());
    let asked = Instant::now();
    stopped.signal("TERM");
    stage.leader().await;
    // Unreleased, the lease would hold for a minute.
    assert!(asked.elapsed() < Duration::from_secs(45), "{:?}", asked.elapsed());
    let after = stage.holder().await;
    assert!(!after.is_empty() && after != before, "{after}");
}

/// The Leases by which replicas tell each other what they serve.
async fn replica_leases(stage: &Stage) -> Vec<String> {
    let path = format!(
        "/apis/coordination.k8s.io/v1/namespaces/{}/leases?labelSelector=outrigger.dev/replica-of=outrigger",
        stage.system.name
    );
    let leases = stage.system.call("GET", &path, None).await.object();
    let leases = leases["items"].as_array().unwrap().iter();
    leases.map(|lease| lease["metadata"]["name"].to_string()).collect()
}

#[tokio::test]
async fn a_replica_that_is_told_to_stop_is_waited_for_by_nobody() {
    let Some(mut stage) = Stage::running("leaves", 3, &[]).await else {
        return;
    };
    stage
        .wait_for("Leases", async || replica_leases(&stage).await.len() == 3)
        .await;
    // The leader and another one.
    let leader = stage.leader().await;
    let (one, other) = (stage.replicas.remove(leader), stage.replicas.remove(0));
    for stopped in [one, other] {
        stage.balancer.remove(stopped.address());
        stopped.signal("TERM");
        stage.wait_for("end", async || stopped.has_ended()).await;
    }
    assert_eq!(replica_leases(&stage).await.len(), 1);
    // So a policy is ready when the one that is left serves it; of those that are killed it is known after 30 seconds.
    let began = Instant::now();
    stage.put("late", json!({})).await.object();
    let wait = ["wait", "--for=condition=Ready", "cinj/late", "--timeout=60s"];
    stage.system.kubectl(&wait, None).await.ok();
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    let path = "/apis/outrigger.dev/v1alpha1/clusterinjectionpolicies/late";
    stage.system.call("DELETE", path, None).await.object();
}

#[tokio::test]
async fn a_leader_that_hangs_is_succeeded_and_does_not_lead_when_it_wakes() {
    let Some(mut stage) = Stage::running("hangs", 2, &[]).await else {
        return;
    };
    let leader = stage.leader().await;
    let hanging = stage.replicas.remove(leader);
    stage.balancer.remove(hanging.address());
    hanging.signal("STOP");
    stage.leader().await;
    let holder = stage.holder().await;
    hanging.signal("CONT");
    // It notices at its next renewal.
    for _ in 0..300 {
        if hanging.metric("outrigger_leads").await == 0.0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(hanging.metric("outrigger_leads").await, 0.0, "{:?}", hanging.log());
    assert_eq!(stage.holder().await, holder);
    // And it serves as before.
    assert!(hanging.is_ready().await);
    stage.balancer.add(hanging.address());
    for _ in 0..4 {
        assert!(stage.app.create(&asking()).await.created_with(HELPER));
    }
}
