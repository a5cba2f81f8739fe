//! Certificates and authorities that are renewed while Pods are created.
use crate::load::Load;
use crate::stage::{Stage, configurations, from_base64};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test]
async fn row_45_certificate_and_authority_are_renewed_under_load_without_a_lost_call() {
    let flags = ["--certificate-life", "40s"];
    let Some(stage) = Stage::running("renewed", 2, &flags).await else {
        return;
    };
    let first = stage.secret().await.unwrap();
    let load = Load::start(&stage, 4, Duration::from_millis(20)).await;

    // The certificate, by time.
    let leaf = first.text("tls.crt");
    let renewed = async || stage.secret().await.unwrap().text("tls.crt") != leaf;
    stage.wait_for("new certificate", renewed).await;
    assert_eq!(stage.secret().await.unwrap().text("ca.crt"), first.text("ca.crt"));

    // The authority, on demand.
    stage.ask_for_rotation().await;
    let switched = async || stage.secret().await.unwrap().signer() != first.signer();
    stage.wait_for("new authority", switched).await;
    let second = stage.secret().await.unwrap();
    assert!(
        second.text("ca.crt").contains(&first.signer()),
        "the former one is not trusted any more"
    );

    // The former one goes when its last certificate has expired.
    let retired = async || {
        let secret = stage.secret().await.unwrap();
        !secret.text("ca.crt").contains(&first.signer()) && stage.is_registered().await
    };
    stage.wait_for("end of the former authority", retired).await;
    sleep(Duration::from_secs(2)).await;
    let tally = load.end().await;
    let renewals = stage.metric("outrigger_reloads_total").await;
    println!(
        "{} Pods created, {} lost; {renewals} reloads",
        tally.created,
        tally.lost.len()
    );
    assert!(tally.created > 100, "{}", tally.created);
    assert!(tally.lost.is_empty(), "{:?}\n{}", tally.lost, stage.logs());
}

#[tokio::test]
async fn row_49_a_leader_that_is_killed_in_a_rotation_is_succeeded_by_one_that_completes_it() {
    // The last `--settling` counts.
    let flags = ["--settling", "8s"];
    let Some(mut stage) = Stage::running("succeeded", 3, &flags).await else {
        return;
    };
    let first = stage.secret().await.unwrap().signer();
    stage.ask_for_rotation().await;
    let announced = async || !stage.secret().await.unwrap().text("next.crt").is_empty() && stage.is_registered().await;
    stage.wait_for("next authority", announced).await;
    let next = stage.secret().await.unwrap().text("next.crt");
    let leader = stage.leader().await;
    let _gone = stage.kill(leader);
    let load = Load::start(&stage, 2, Duration::from_millis(50)).await;

    let switched = async || {
        // What was signed at one moment is trusted at the next, by every configuration.
        let signer = stage.secret().await.unwrap().signer();
        for path in configurations() {
            let bundle = stage.bundle(&path).await.unwrap_or_default();
            assert!(
                from_base64(&bundle).contains(&signer),
                "{path} does not trust what signs"
            );
        }
        signer != first
    };
    stage.wait_for("completion", switched).await;
    let secret = stage.secret().await.unwrap();
    assert!(
        next.contains(&secret.signer()),
        "another authority than the one that was announced"
    );
    assert!(secret.text("next.crt").is_empty());
    sleep(Duration::from_secs(7)).await;
    let tally = load.end().await;
    println!("{} Pods created, {} lost", tally.created, tally.lost.len());
    assert!(tally.lost.is_empty(), "{:?}\n{}", tally.lost, stage.logs());
}
