//! How it begins, what it tells of itself, and how it stops.
use crate::leaf::{Leaf, says};
use crate::stage::{Gather, PROGRAM, eventually};
use outrigger_harness::Memory;
use std::process::Command;
use std::time::{Duration, Instant};

#[tokio::test]
async fn health_and_metrics_have_an_address_of_their_own() {
    let leaf = Leaf::start(says("leaf")).await;
    let gather = Gather::start(&[
        &format!("--shards=a={}", leaf.address),
        "--merge=concat",
        "--deadline=60s",
    ])
    .await;
    // Every path of the clients' address is the leaves'.
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gather.get(path).await.text(), "leaf");
        assert_eq!(gather.admin(path).await.status, 200);
    }
    let metrics = gather.admin("/metrics").await;
    for family in [
        "requests counter",
        "requests_in_flight gauge",
        "request_seconds histogram",
        "merge_seconds histogram",
        "shard_requests counter",
        "shard_seconds histogram",
        "hedges counter",
        "replicas gauge",
        "held_bytes gauge",
    ] {
        assert!(
            metrics.text().contains(&format!("# TYPE outrigger_gather_{family}\n")),
            "{family}\n{}",
            metrics.text()
        );
    }
    assert_eq!(gather.metric("requests_total{outcome=\"complete\"}").await, 3.0);
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = series(metrics.text());
    for path in 0..50 {
        gather.send("GET", &format!("/{path}"), &[("x-any", "1")], "").await;
    }
    assert_eq!(series(gather.admin("/metrics").await.text()), before);
}

#[tokio::test]
async fn requests_in_progress_are_answered_before_it_stops_and_new_ones_are_not_taken() {
    let leaf = Leaf::start(says("leaf").after(1500)).await;
    let flags = [
        &format!("--shards=a={}", leaf.address),
        "--merge=concat",
        "--deadline=60s",
        "--shutdown-grace=60s",
    ];
    let mut gather = Gather::start(&flags).await;
    let asking = gather.get("/");
    let stopping = async {
        eventually("the leaf is asked", || async { (leaf.count() == 1).then_some(()) }).await;
        gather.signal("TERM");
        eventually("nobody listens any more", || async {
            tokio::net::TcpStream::connect(&gather.address)
                .await
                .is_err()
                .then_some(())
        })
        .await;
    };
    let (answer, ()) = tokio::join!(asking, stopping);
    assert_eq!((answer.status, answer.text()), (200, "leaf"));
    let ended = loop {
        if let Some(ended) = gather.kept.ended() {
            break ended;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(ended.success());
}

#[tokio::test]
async fn the_probe_of_the_policy_reaches_it() {
    let gather = Gather::start(&["--shards=a=127.0.0.1:1", "--merge=concat"]).await;
    gather.ready().await;
    let serving = gather.logged("serving").unwrap();
    let url = format!("http://{}/readyz", serving["admin"].as_str().unwrap());
    let probed = Command::new(PROGRAM)
        .args(["probe", "--timeout=30", &url])
        .output()
        .unwrap();
    assert!(probed.status.success(), "{probed:?}");
}

/// What a program that is linked for size and speed takes; a debug build takes more.
#[tokio::test]
async fn at_rest_it_is_small_and_it_starts_at_once() {
    let start = Instant::now();
    let gather = Gather::start(&["--shards=64", "--replicas=127.0.0.1:1{shard}", "--merge=concat"]).await;
    let took = start.elapsed();
    let kib = Memory::of(gather.pid()).unwrap().resident / 1024;
    println!("{} KiB at rest, serving after {took:?}", kib);
    let most = if cfg!(debug_assertions) { 60 } else { 15 };
    assert!(kib < most * 1024, "{kib} KiB");
    assert!(took < Duration::from_secs(30), "{took:?}");
}
