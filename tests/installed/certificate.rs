//! The Secret while others write it, and a certificate that others make.
use crate::stage::{HELPER, PATIENCE, Stage, asking, base64, configurations, from_base64};
use outrigger_harness::pki::Authority;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn row_48_of_a_secret_that_is_half_written_emptied_or_deleted_the_last_good_one_is_served_and_put_back() {
    let Some(stage) = Stage::running("half", 2, &[]).await else {
        return;
    };
    let good = stage.secret().await.unwrap();
    let foreign = Authority::new("foreign").unwrap().server().unwrap();
    let spoilt = [
        json!({"data": {"tls.key": base64("-----BEGIN PRIVATE KEY-----\nMIG")}}),
        // A key of another certificate, and a pair of another authority.
        json!({"data": {"tls.key": base64(&foreign.key)}}),
        json!({"data": {"tls.key": base64(&foreign.key), "tls.crt": base64(&foreign.certificate)}}),
        json!({"data": {"ca.key": null}}),
        json!({"data": {"ca.crt": base64("nothing"), "ca.key": null, "tls.crt": base64(""), "tls.key": base64("")}}),
    ];
    let is_back = async || {
        let secret = stage.secret().await;
        secret.is_some_and(|secret| secret.0["data"] == good.0["data"])
    };
    for patch in spoilt {
        stage.system.merge(&stage.secret_path(), &patch).await.object();
        stage.wait_for("good Secret", is_back).await;
        assert!(stage.app.create(&asking()).await.created_with(HELPER));
    }
    stage.system.call("DELETE", &stage.secret_path(), None).await.object();
    stage.wait_for("Secret", is_back).await;
    assert!(stage.is_registered().await);
    for replica in &stage.replicas {
        assert!(replica.is_ready().await);
    }
    assert!(stage.logs().contains("put back what was last good"), "{}", stage.logs());
}

#[tokio::test]
async fn row_48_where_nobody_knows_what_was_in_the_secret_another_authority_is_made() {
    let Some(mut stage) = Stage::new("unknown").await else {
        return;
    };
    let secret = json!({"metadata": {"name": "outrigger-certificate"}, "data": {"tls.crt": base64("what"), "ca.key": base64("ever")}});
    let path = stage.system.path("secrets");
    stage.system.call("POST", &path, Some(&secret)).await.object();
    let replica = stage.start(&[]);
    replica.logs("kept the present certificate");
    replica.logs("holds the lease");
    // Time is left to others who may know better. Until then the replica has no certificate: it is not ready, and nobody is
    // sent to it.
    let begin = Instant::now();
    let pods = &configurations()[0];
    loop {
        let is_ready = replica.is_ready().await;
        let is_registered = stage.bundle(pods).await.is_some();
        if stage.secret().await.unwrap().text("tls.crt") != "what" {
            break;
        }
        assert!(
            !is_ready && !is_registered,
            "ready: {is_ready}, registered: {is_registered}"
        );
        assert!(begin.elapsed() < PATIENCE, "{}", replica.log().join("\n"));
        sleep(Duration::from_millis(50)).await;
    }
    assert!(begin.elapsed() > Duration::from_secs(10), "after {:?}", begin.elapsed());
    replica.wait_until_ready().await;
    stage.balancer.add(replica.address());
    stage.replicas.push(replica);
    stage.wait_until_called().await;
}

#[tokio::test]
async fn an_installation_whose_secret_is_empty_waits_for_nobody() {
    let Some(mut stage) = Stage::new("empty").await else {
        return;
    };
    // As it comes with the chart.
    let secret = json!({"metadata": {"name": "outrigger-certificate"}});
    let path = stage.system.path("secrets");
    stage.system.call("POST", &path, Some(&secret)).await.object();
    let replica = stage.start(&[]);
    replica.logs("holds the lease");
    let begin = Instant::now();
    replica.wait_until_ready().await;
    assert!(begin.elapsed() < Duration::from_secs(10), "after {:?}", begin.elapsed());
    assert!(!replica.log().join("\n").contains("ERROR"), "{:?}", replica.log());
    stage.balancer.add(replica.address());
    stage.replicas.push(replica);
    stage.wait_until_called().await;
}

#[tokio::test]
async fn row_48_a_leader_that_does_not_know_what_was_in_the_secret_is_helped_by_a_replica_that_does() {
    let Some(mut stage) = Stage::running("helped", 2, &[]).await else {
        return;
    };
    let good = stage.secret().await.unwrap();
    let leader = stage.leader().await;
    let knows = 1 - leader;
    stage.replicas[knows].signal("STOP");
    stage.replicas[leader].signal("KILL");
    let spoilt = json!({"data": {"tls.crt": base64("what"), "ca.key": base64("ever")}});
    stage.system.merge(&stage.secret_path(), &spoilt).await.object();
    let new = stage.start(&[]);
    new.logs("holds the lease");
    stage.replicas[knows].signal("CONT");
    let is_back = async || stage.secret().await.unwrap().0["data"] == good.0["data"];
    stage.wait_for("good Secret", is_back).await;
    new.wait_until_ready().await;
    assert!(
        !new.log().join("\n").contains("made a certificate authority"),
        "{:?}",
        new.log()
    );
    stage.balancer.add(new.address());
    stage.replicas.push(new);
    stage.kill(leader);
    assert!(stage.app.create(&asking()).await.created_with(HELPER));
}

#[tokio::test]
async fn with_a_certificate_that_others_make_the_configurations_trust_the_file_beside_it() {
    let Some(mut stage) = Stage::new("given").await else {
        return;
    };
    let directory = stage.system.cluster().directory(&stage.system.name);
    let host = format!("outrigger.{}.svc", stage.system.name);
    let authority = Authority::new("given").unwrap();
    let pair = authority.server_for(&[&host]).unwrap();
    let [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| directory.join(name).display().to_string());
    std::fs::write(&ca, authority.certificate()).unwrap();
    std::fs::write(&cert, pair.certificate).unwrap();
    std::fs::write(&key, pair.key).unwrap();
    stage
        .replicas(2, &["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca])
        .await;
    let trusts = async |text: &str| {
        let mut all = true;
        for path in configurations() {
            all &= stage
                .bundle(&path)
                .await
                .is_some_and(|bundle| from_base64(&bundle) == text);
        }
        all
    };
    let first = authority.certificate();
    stage
        .wait_for("the configurations", async || trusts(&first).await)
        .await;
    stage
        .wait_for("a helper", async || {
            stage.app.dry_run(&asking()).await.created_with(HELPER)
        })
        .await;
    assert!(stage.secret().await.is_none());

    // What others rotate, they publish here first.
    let both = first.clone() + &Authority::new("next").unwrap().certificate();
    std::fs::write(&ca, &both).unwrap();
    stage.wait_for("the new file", async || trusts(&both).await).await;
    std::fs::write(&ca, "").unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(trusts(&both).await);
    assert!(stage.app.create(&asking()).await.created_with(HELPER));
}
