//! What leaves get of a client's request.
use crate::leaf::{Leaf, says};
use crate::stage::Gather;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn every_shard_gets_method_path_query_chosen_headers_and_body() {
    let leaves = [Leaf::start(says("1")).await, Leaf::start(says("2")).await];
    let shards = format!("--shards=a={},b={}", leaves[0].address, leaves[1].address);
    let gather = Gather::start(&[&shards, "--merge=json-array", "--deadline=60s"]).await;
    let sent = [
        ("accept-language", "nl"),
        ("authorization", "Bearer x"),
        ("content-type", "text/plain"),
        ("x-other", "1"),
        ("accept-encoding", "gzip"),
        ("connection", "close, x-request-id"),
        ("x-request-id", "7"),
        ("te", "trailers"),
        ("traceparent", PARENT),
        ("tracestate", "a=1"),
    ];
    let answer = gather.send("PATCH", "/a%20b/..?q=1&q=%2F", &sent, "the body").await;
    assert_eq!(answer.text(), "[1,2]");
    for leaf in &leaves {
        let seen = &leaf.seen()[0];
        assert_eq!(
            (seen.method.as_str(), seen.path.as_str(), &seen.body[..]),
            ("PATCH", "/a%20b/..?q=1&q=%2F", &b"the body"[..])
        );
        assert_eq!(seen.header("host"), leaf.address);
        for (name, value) in [sent[0], sent[1], sent[2], sent[8], sent[9]] {
            assert_eq!(seen.header(name), value, "{name}");
        }
        for name in ["x-other", "accept-encoding", "connection", "x-request-id", "te"] {
            assert_eq!(seen.header(name), "", "{name}");
        }
        let left: u64 = seen.header("outrigger-deadline-ms").parse().unwrap();
        assert!((1..=60_000).contains(&left), "{left}");
    }
    // Nothing is left of what others sent before.
    gather.get("/next").await;
    let seen = &leaves[0].seen()[1];
    assert_eq!(
        (
            seen.path.as_str(),
            seen.header("authorization"),
            seen.header("tracestate"),
            seen.body.len()
        ),
        ("/next", "", "", 0)
    );
    assert!(seen.header("traceparent").starts_with("00-"));
}

#[tokio::test]
async fn which_headers_are_passed_on_is_a_setting() {
    let leaf = Leaf::start(says("1")).await;
    let shards = format!("--shards=a={}", leaf.address);
    let own = ["--merge=concat", "--deadline=60s", "--deadline-header=x-time-left"];
    let sent = [
        ("x-one", "1"),
        ("accept", "text/html"),
        ("accept-encoding", "gzip"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    let names = |index: usize| {
        let seen = &leaf.seen()[index];
        let mut names: Vec<String> = seen.headers.keys().map(ToString::to_string).collect();
        names.retain(|name| !["host", "traceparent"].contains(&name.as_str()));
        names.sort();
        names
    };
    let gather = Gather::start(&[&[shards.as_str(), "--forward-headers=*"], &own[..]].concat()).await;
    gather.send("GET", "/", &sent, "").await;
    assert_eq!(names(0), ["accept", "x-one", "x-time-left"]);
    let gather = Gather::start(&[&[shards.as_str(), "--forward-headers=X-One, x-hop"], &own[..]].concat()).await;
    gather.send("GET", "/", &sent, "").await;
    assert_eq!(names(1), ["x-one", "x-time-left"]);
}

#[tokio::test]
async fn a_client_that_grants_less_time_gets_its_answer_by_then() {
    let leaf = Leaf::start(says("1").after(60_000)).await;
    let gather = Gather::start(&[
        &format!("--shards=a={}", leaf.address),
        "--merge=concat",
        "--deadline=100s",
    ])
    .await;
    let start = std::time::Instant::now();
    let answer = gather.send("GET", "/", &[("outrigger-deadline-ms", "300")], "").await;
    assert_eq!((answer.status, answer.header("outrigger-missing")), (504, "a=timeout"));
    assert!(start.elapsed().as_secs() < 50);
    let left: u64 = leaf.seen()[0].header("outrigger-deadline-ms").parse().unwrap();
    assert!(left <= 300, "{left}");
    // More time than there is is not granted, and what is no number is none.
    leaf.says(says("1"));
    for wrong in ["1000000000", "x", "-1", ""] {
        let answer = gather.send("GET", "/", &[("outrigger-deadline-ms", wrong)], "").await;
        assert_eq!(answer.status, 200);
        let left: u64 = leaf
            .seen()
            .last()
            .unwrap()
            .header("outrigger-deadline-ms")
            .parse()
            .unwrap();
        assert!((1000..=100_000).contains(&left), "{left}");
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let leaf = Leaf::start(says("1")).await;
    let merge = Leaf::start(says("merged")).await;
    let flags = [
        &format!("--shards=a={}", leaf.address),
        &format!("--merge=http://{}/", merge.address),
        "--deadline=60s",
        "--merge-timeout=60s",
        "--keep-idle=60s",
    ];
    let gather = Gather::start(&flags).await;
    for _ in 0..50 {
        assert_eq!(gather.get("/").await.status, 200);
    }
    assert_eq!((leaf.count(), merge.count()), (50, 50));
    assert!(
        leaf.connections() <= 2 && merge.connections() <= 2,
        "{} {}",
        leaf.connections(),
        merge.connections()
    );
}
