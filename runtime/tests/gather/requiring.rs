//! How many shards must answer, and what is told of those that do not.
use crate::leaf::{Leaf, endless, nobody, raw, says};
use crate::stage::{Gather, eventually};
use serde_json::json;
use std::time::{Duration, Instant};

/// Flags for these shards, named a, b, c.
fn shards(addresses: &[&str]) -> String {
    let named = addresses
        .iter()
        .zip('a'..)
        .map(|(address, name)| format!("{name}={address}"));
    format!("--shards={}", named.collect::<Vec<_>>().join(","))
}

#[tokio::test]
async fn all_a_number_or_a_share_of_the_shards_must_answer() {
    let [a, b] = [Leaf::start(says("1")).await, Leaf::start(says("2")).await];
    // Late, as nobody waits for the others once it cannot be enough any more.
    let wrong = Leaf::start(says("3").status(404).after(1000)).await;
    let shards = shards(&[&a.address, &b.address, &wrong.address]);
    for (require, status) in [
        ("all", 502),
        ("3", 502),
        ("2", 200),
        ("1", 200),
        ("100%", 502),
        ("67%", 502),
        ("66%", 200),
    ] {
        let require_flag = format!("--require={require}");
        let gather = Gather::start(&[&shards, "--merge=json-array", &require_flag, "--deadline=60s"]).await;
        let answer = gather.get("/").await;
        assert_eq!(answer.status, status, "{require}: {answer:?}");
        assert_eq!(answer.header("outrigger-missing"), "c=status-404", "{require}");
        assert_eq!(answer.header("outrigger-shards"), "2/3", "{require}");
        if status == 200 {
            assert_eq!(answer.json(), json!([1, 2]));
            assert_eq!(gather.metric("requests_total{outcome=\"partial\"}").await, 1.0);
        } else {
            let error = answer.json();
            assert_eq!(error["missing"], json!({"c": "status-404"}));
            assert_eq!(error["error"], "2/3 shards have answered, 3 must");
            assert_eq!(gather.metric("requests_total{outcome=\"too-few\"}").await, 1.0);
        }
    }
}

#[tokio::test]
async fn each_way_of_being_missing_is_told_and_counted() {
    let good = Leaf::start(says("1")).await;
    let slow = Leaf::start(says("1").after(60_000)).await;
    let wrong = Leaf::start(says("1").status(404)).await;
    let large = Leaf::start(says("x".repeat(2000))).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n";
    let dribble = raw((0..10_000)
        .map(|index| (50, if index == 0 { head.into() } else { "x".into() }))
        .collect())
    .await;
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
    let addresses = [
        good.address.clone(),
        slow.address.clone(),
        wrong.address.clone(),
        large.address.clone(),
        endless().await,
        dribble,
        raw(vec![(0, "SSH-2.0-garbage\r\n\r\n".into())]).await,
        raw(vec![(0, chunk.into())]).await,
        nobody(),
    ];
    let shards = shards(&addresses.each_ref().map(String::as_str));
    let flags = [
        &shards,
        "--merge=json-array",
        "--require=1",
        "--deadline=2s",
        "--shard-body=1000",
    ];
    let gather = Gather::start(&flags).await;
    let start = Instant::now();
    let answer = gather.get("/").await;
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!((answer.status, answer.json()), (200, json!([1])), "{answer:?}");
    let missing = "b=timeout, c=status-404, d=too-large, e=too-large, f=timeout, g=broken, h=broken, i=connect";
    assert_eq!(
        (answer.header("outrigger-missing"), answer.header("outrigger-shards")),
        (missing, "1/9")
    );
    for (shard, result) in [
        ("a", "answered"),
        ("b", "timeout"),
        ("c", "status"),
        ("e", "too-large"),
        ("g", "broken"),
    ] {
        let series = format!("shard_requests_total{{shard=\"{shard}\",result=\"{result}\"}}");
        assert_eq!(gather.metric(&series).await, 1.0, "{series}");
    }
    eventually("the slow leaf is told", || async {
        (slow.abandoned() == 1).then_some(())
    })
    .await;
    assert_eq!(gather.metric("held_bytes").await, 0.0);
}

#[tokio::test]
async fn where_enough_cannot_be_had_any_more_nobody_waits() {
    let slow = Leaf::start(says("1").after(60_000)).await;
    let gather = Gather::start(&[&shards(&[&slow.address, &nobody()]), "--merge=concat", "--deadline=60s"]).await;
    let start = Instant::now();
    let answer = gather.get("/").await;
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!(
        (answer.status, answer.header("outrigger-missing")),
        (502, "a=not-awaited, b=connect")
    );
    // If it has got the request by then.
    eventually("the slow leaf is told", || async {
        (slow.abandoned() == slow.count()).then_some(())
    })
    .await;
    // Where it is the time that was lacking, the status says so.
    let gather = Gather::start(&[&shards(&[&slow.address]), "--merge=concat", "--deadline=100ms"]).await;
    let answer = gather.get("/").await;
    assert_eq!((answer.status, answer.header("outrigger-missing")), (504, "a=timeout"));
}

#[tokio::test]
async fn statuses_are_answers_where_they_are_accepted() {
    let a = Leaf::start(says("none").status(404)).await;
    let b = Leaf::start(says("away").status(302).headers(&[("location", "http://127.0.0.1:1/")])).await;
    let shards = shards(&[&a.address, &b.address]);
    let gather = Gather::start(&[
        &shards,
        "--merge=concat",
        "--accept=200-299,404",
        "--require=1",
        "--deadline=60s",
    ])
    .await;
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.text(), answer.header("outrigger-missing")),
        ("none", "b=status-302")
    );
}
