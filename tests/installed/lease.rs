//! One of the replicas leads, and it does not matter to callers which.
use crate::stage::{HasHelper, Stage, asking};
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
        assert!(stage.app.create(&asking()).await.has_helper());
    }
}
