//! Certificates and authorities that are renewed while Pods are created.
use crate::stage::{HELPER, PATIENCE, Stage, asking, configurations, from_base64};
use outrigger_harness::pki::{Authority, Pair};
use std::time::Duration;
use tokio::time::{Instant, sleep};

#[tokio::test]
async fn row_45_certificate_and_authority_are_renewed_under_load_without_a_lost_call() {
    let flags = ["--certificate-life", "40s"];
    let Some(stage) = Stage::running("renewed", 2, &flags).await else {
        return;
    };
    let first = stage.secret().await.unwrap();
    let stream = stage.stream(4, Duration::from_millis(20)).await;

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
    let created = stream.end().await.flawless(101, || stage.logs());
    let renewals = stage.metric("outrigger_reloads_total").await;
    println!("{created} Pods created; {renewals} reloads");
}

/// How far a rotation is when the leader is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// Somebody has asked for it.
    Asked,
    /// The next authority is in the Secret, and not everybody need trust it.
    Announced,
    /// All configurations trust it.
    Trusted,
    /// It signs.
    Signs,
}

impl Moment {
    async fn has_come(self, stage: &Stage, first: &str) -> bool {
        let Some(secret) = stage.secret().await else {
            return false;
        };
        let announced = !secret.text("next.crt").is_empty();
        match self {
            Moment::Asked => true,
            Moment::Announced => announced,
            Moment::Trusted => announced && stage.is_registered().await,
            Moment::Signs => secret.signer() != first,
        }
    }
}

/// The leader is killed at this moment of a rotation; another one completes it, and nobody is sent to who is not trusted.
async fn killed_when(moment: Moment, name: &str) {
    // The last `--settling` counts.
    let flags = ["--settling", "8s", "--certificate-life", "60s"];
    let Some(mut stage) = Stage::running(name, 3, &flags).await else {
        return;
    };
    let first = stage.secret().await.unwrap().signer();
    let leader = stage.leader().await;
    stage.ask_for_rotation().await;
    let what = format!("{moment:?}");
    let end = Instant::now() + PATIENCE;
    while !moment.has_come(&stage, &first).await {
        assert!(Instant::now() < end, "still not {what}: {}", stage.logs());
        sleep(Duration::from_millis(10)).await;
    }
    let killed = stage.kill(leader);
    // The calls that it was at are not the subject here.
    stage.balancer.remove(killed.address());
    stage.balancer.disconnect();
    let served = async || stage.app.dry_run(&asking()).await.created_with(HELPER);
    stage.wait_for("a helper", served).await;
    let next = stage.secret().await.unwrap().text("next.crt");
    let stream = stage.stream(2, Duration::from_millis(50)).await;

    // What signs is trusted by every configuration, at each moment.
    let trusts = async |signer: &str| {
        for path in configurations() {
            let bundle = stage.bundle(&path).await.unwrap_or_default();
            assert!(
                from_base64(&bundle).contains(signer),
                "{path} does not trust what signs"
            );
        }
    };
    let completed = async || {
        let secret = stage.secret().await.unwrap();
        trusts(&secret.signer()).await;
        secret.signer() != first && secret.text("next.crt").is_empty()
    };
    stage.wait_for("completion", completed).await;
    let signer = stage.secret().await.unwrap().signer();
    assert!(
        next.is_empty() || next.contains(&signer),
        "another authority than the one that was announced"
    );
    let retired = async || {
        let secret = stage.secret().await.unwrap();
        trusts(&secret.signer()).await;
        !secret.text("ca.crt").contains(&first) && stage.is_registered().await
    };
    stage.wait_for("end of the former authority", retired).await;
    assert_eq!(stage.secret().await.unwrap().signer(), signer);
    sleep(Duration::from_secs(6)).await;
    let created = stream.end().await.flawless(1, || stage.logs());
    println!("{moment:?}: {created} Pods created");
}

#[tokio::test]
async fn row_49_a_leader_that_is_killed_when_a_rotation_is_asked_for_is_succeeded_by_one_that_completes_it() {
    killed_when(Moment::Asked, "asked").await;
}

#[tokio::test]
async fn row_49_a_leader_that_is_killed_when_it_has_announced_an_authority_is_succeeded_by_one_that_completes_it() {
    killed_when(Moment::Announced, "announced").await;
}

#[tokio::test]
async fn row_49_a_leader_that_is_killed_when_all_trust_the_next_authority_is_succeeded_by_one_that_completes_it() {
    killed_when(Moment::Trusted, "trusted").await;
}

#[tokio::test]
async fn row_49_a_leader_that_is_killed_when_the_next_authority_signs_is_succeeded_by_one_that_completes_it() {
    killed_when(Moment::Signs, "signs").await;
}

/// A directory with a certificate as kubelet mounts it.
struct Mounted {
    ca: String,
    cert: String,
    key: String,
}

impl Mounted {
    fn new(stage: &Stage, node: &str) -> Mounted {
        let directory = stage
            .system
            .cluster()
            .directory(&format!("{}-{node}", stage.system.name));
        let [ca, cert, key] = ["ca.crt", "tls.crt", "tls.key"].map(|name| directory.join(name).display().to_string());
        Mounted { ca, cert, key }
    }

    fn write(&self, authority: &Authority, pair: &Pair) {
        for (path, text) in [
            (&self.ca, &authority.certificate()),
            (&self.key, &pair.key),
            (&self.cert, &pair.certificate),
        ] {
            let partial = format!("{path}.partial");
            std::fs::write(&partial, text).unwrap();
            std::fs::rename(partial, path).unwrap();
        }
    }

    fn flags(&self) -> [&str; 8] {
        [
            "--tls-cert",
            &self.cert,
            "--tls-key",
            &self.key,
            "--tls-ca",
            &self.ca,
            "--settling",
            "4s",
        ]
    }
}

/// Another authority comes to the nodes one after the other, to the leader's first or last.
async fn mounted_late(name: &str, leader_first: bool) {
    let Some(mut stage) = Stage::new(name).await else {
        return;
    };
    let host = format!("outrigger.{}.svc", stage.system.name);
    let made = |name: &str| {
        let authority = Authority::new(name).unwrap();
        let pair = authority.server_for(&[&host, "127.0.0.1"]).unwrap();
        (authority, pair)
    };
    let (old, new) = (made("old"), made("new"));
    let nodes = ["one", "other"].map(|node| Mounted::new(&stage, node));
    for node in &nodes {
        node.write(&old.0, &old.1);
        let replica = stage.start(&node.flags());
        replica.wait_until_ready().await;
        stage.balancer.add(replica.address());
        stage.replicas.push(replica);
    }
    let trusts = async |authority: &Authority| {
        let bundle = stage.bundle(&configurations()[0]).await.unwrap_or_default();
        from_base64(&bundle).contains(authority.certificate().trim())
    };
    stage
        .wait_for("the configurations", async || trusts(&old.0).await)
        .await;
    let served = async || stage.app.dry_run(&asking()).await.created_with(HELPER);
    stage.wait_for("a helper", served).await;
    let leader = stage.leader().await;
    let stream = stage.stream(4, Duration::from_millis(20)).await;

    let first = if leader_first { leader } else { 1 - leader };
    nodes[first].write(&new.0, &new.1);
    // The other kubelet is late.
    sleep(Duration::from_secs(5)).await;
    nodes[1 - first].write(&new.0, &new.1);
    for replica in &stage.replicas {
        let shows_new = async || replica.is_trusted_with(&new.0.certificate()).await;
        stage.wait_for("the new certificate", shows_new).await;
        assert!(trusts(&new.0).await && trusts(&old.0).await);
    }
    stage
        .wait_for("end of the former authority", async || !trusts(&old.0).await)
        .await;
    sleep(Duration::from_secs(2)).await;
    let created = stream.end().await.flawless(101, || stage.logs());
    println!("{created} Pods created");
}

#[tokio::test]
async fn row_45_another_authority_that_the_leaders_kubelet_brings_first_costs_no_call() {
    mounted_late("first", true).await;
}

#[tokio::test]
async fn row_45_another_authority_that_the_leaders_kubelet_brings_last_costs_no_call() {
    mounted_late("last", false).await;
}
