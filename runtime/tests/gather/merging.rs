//! What becomes of the answers: merged by the program, or by the container.
use crate::leaf::{Leaf, endless, nobody, raw, says};
use crate::stage::Gather;
use bytes::Bytes;
use serde_json::json;

fn two(a: &Leaf, b: &Leaf) -> String {
    format!("--shards=a={},b={}", a.address, b.address)
}

#[tokio::test]
async fn without_a_container_bodies_are_joined_or_listed_in_the_order_of_shards() {
    let a = Leaf::start(says("[1]").after(50)).await;
    let b = Leaf::start(says(" {\"b\": 2}\n")).await;
    let gather = Gather::start(&[&two(&a, &b), "--merge=json-array", "--deadline=60s"]).await;
    let answer = gather.get("/").await;
    assert_eq!((answer.status, answer.json()), (200, json!([[1], {"b": 2}])));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        (answer.header("outrigger-shards"), answer.header("outrigger-missing")),
        ("2/2", "")
    );

    let gather = Gather::start(&[&two(&a, &b), "--merge=concat", "--deadline=60s"]).await;
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.text(), answer.header("content-type")),
        ("[1] {\"b\": 2}\n", "application/json")
    );
    b.says(says("x").headers(&[("content-type", "text/plain")]));
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.text(), answer.header("content-type")),
        ("[1]x", "application/octet-stream")
    );
    let head = gather.send("HEAD", "/", &[], "").await;
    assert_eq!(
        (head.status, head.header("outrigger-shards"), &head.body[..]),
        (200, "2/2", &b""[..])
    );
}

#[tokio::test]
async fn what_is_no_json_is_missing_from_an_array_of_json() {
    let a = Leaf::start(says("{\"a\": 1}")).await;
    let b = Leaf::start(says("{\"b\": 2")).await;
    let gather = Gather::start(&[&two(&a, &b), "--merge=json-array", "--deadline=60s", "--require=1"]).await;
    for wrong in ["{\"b\": 2", "", "1 2", "NaN", "\u{1}", "]"] {
        b.says(says(wrong));
        let answer = gather.get("/").await;
        assert_eq!((answer.status, answer.json()), (200, json!([{"a": 1}])), "{wrong}");
        assert_eq!(
            (answer.header("outrigger-shards"), answer.header("outrigger-missing")),
            ("1/2", "b=not-json")
        );
    }
    b.says(says(Bytes::from_static(b"\"\xff\"")));
    assert_eq!(gather.get("/").await.header("outrigger-missing"), "b=not-json");
    // Deep JSON is JSON.
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    b.says(says(deep.clone()));
    assert_eq!(gather.get("/").await.text(), format!("[{{\"a\": 1}},{deep}]"));
    let head = gather.send("HEAD", "/", &[], "").await;
    assert_eq!((head.status, head.header("outrigger-shards")), (200, "2/2"));
}

#[tokio::test]
async fn the_first_answer_is_enough_where_that_is_wanted_and_nobody_waits_for_the_others() {
    let a = Leaf::start(says("slow").after(60_000)).await;
    let b = Leaf::start(
        says("fast")
            .status(203)
            .headers(&[("x-leaf", "b"), ("connection", "close")]),
    )
    .await;
    let gather = Gather::start(&[&two(&a, &b), "--merge=first", "--deadline=60s"]).await;
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("x-leaf")),
        (203, "fast", "b")
    );
    assert_eq!(
        (answer.header("outrigger-shards"), answer.header("outrigger-missing")),
        ("1/2", "")
    );
    crate::stage::eventually("the slow leaf is told", || async { (a.abandoned() == 1).then_some(()) }).await;
    a.says(says("slow").status(500));
    b.says(says("fast").status(404));
    let answer = gather.get("/").await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["missing"], json!({"a": "status-500", "b": "status-404"}));
}

#[tokio::test]
async fn the_merging_container_gets_shard_status_headers_and_body_as_json() {
    let a = Leaf::start(says("{\"hits\": [1]}").headers(&[
        ("content-type", "application/hits+json; charset=utf-8"),
        ("x-two", "1"),
        ("x-two", "2"),
        ("keep-alive", "timeout=5"),
    ]))
    .await;
    let b = Leaf::start(says("tëxt").status(203).headers(&[("content-type", "text/plain")])).await;
    let c = Leaf::start(says(Bytes::from_static(b"\xff\x00")).headers(&[])).await;
    let d = Leaf::start(says("{not json")).await;
    let merge = Leaf::start(
        says("merged")
            .status(201)
            .headers(&[("x-merge", "yes"), ("outrigger-missing", "lies")]),
    )
    .await;
    let shards = format!(
        "--shards=a={},b={},c={},d={},e={}",
        a.address,
        b.address,
        c.address,
        d.address,
        nobody()
    );
    let url = format!("--merge=http://{}/merge?x=1", merge.address);
    let gather = Gather::start(&[&shards, &url, "--require=4", "--deadline=60s", "--merge-timeout=60s"]).await;
    let headers = [("content-encoding", "identity"), ("accept-language", "nl")];
    let answer = gather.send("PUT", "/search?q=1", &headers, "body").await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("x-merge")),
        (201, "merged", "yes")
    );
    assert_eq!(
        (answer.header("outrigger-shards"), answer.header("outrigger-missing")),
        ("4/5", "e=connect")
    );

    let seen = &merge.seen()[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/merge?x=1"));
    assert_eq!(
        (seen.header("outrigger-method"), seen.header("outrigger-path")),
        ("PUT", "/search?q=1")
    );
    assert_eq!(
        (seen.header("outrigger-shards"), seen.header("outrigger-missing")),
        ("4/5", "e=connect")
    );
    assert_eq!(
        (seen.header("content-type"), seen.header("accept-language")),
        ("application/json", "nl")
    );
    assert_eq!(seen.header("content-encoding"), "");
    let left: u64 = seen.header("outrigger-deadline-ms").parse().unwrap();
    assert!((1..=60_000).contains(&left), "{left}");
    let mut parts: Vec<serde_json::Value> = serde_json::from_slice(&seen.body).unwrap();
    for part in &mut parts {
        part["headers"].as_object_mut().unwrap().remove("date");
    }
    let expected = json!([
        {"shard": "a", "status": 200, "headers": {"content-type": "application/hits+json; charset=utf-8", "x-two": "1, 2"},
         "body": {"hits": [1]}, "encoding": "json"},
        {"shard": "b", "status": 203, "headers": {"content-type": "text/plain"}, "body": "tëxt", "encoding": "text"},
        {"shard": "c", "status": 200, "headers": {}, "body": "/wA=", "encoding": "base64"},
        {"shard": "d", "status": 200, "headers": {"content-type": "application/json"}, "body": "{not json", "encoding": "text"},
    ]);
    assert_eq!(json!(parts), expected);
}

#[tokio::test]
async fn the_merging_container_gets_the_same_as_multipart() {
    let a = Leaf::start(says(Bytes::from_static(b"\xff\r\n--x\r\n"))).await;
    let b = Leaf::start(says("two").status(203).headers(&[("x-leaf", "b")])).await;
    let merge = Leaf::start(says("merged")).await;
    let url = format!("--merge=http://{}/", merge.address);
    let gather = Gather::start(&[
        &two(&a, &b),
        &url,
        "--merge-format=multipart",
        "--deadline=60s",
        "--merge-timeout=60s",
    ])
    .await;
    assert_eq!(gather.get("/").await.text(), "merged");
    let seen = &merge.seen()[0];
    let boundary = seen
        .header("content-type")
        .strip_prefix("multipart/mixed; boundary=")
        .unwrap();
    assert_eq!(boundary.len(), 32);
    let body = seen.body.to_vec();
    let text = String::from_utf8_lossy(&body);
    let parts: Vec<&str> = text.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"));
    assert!(
        parts[1].starts_with("\r\noutrigger-shard: a\r\noutrigger-status: 200\r\ncontent-type: application/json\r\n")
    );
    assert!(parts[1].ends_with("\r\n\r\n\u{fffd}\r\n--x\r\n\r\n"), "{:?}", parts[1]);
    assert!(
        parts[2].starts_with("\r\noutrigger-shard: b\r\noutrigger-status: 203\r\n")
            && parts[2].contains("\r\nx-leaf: b\r\n")
    );
    assert!(parts[2].ends_with("\r\n\r\ntwo\r\n"));
}

#[tokio::test]
async fn a_merging_container_that_is_dead_slow_endless_or_talks_garbage_is_told() {
    let a = Leaf::start(says("1")).await;
    let slow = Leaf::start(says("late").after(60_000)).await;
    let http = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n";
    let cases = [
        (nobody(), 502, "cannot be reached"),
        (slow.address.clone(), 504, "not answered within"),
        (
            raw(vec![(0, "garbage\r\n\r\n".into())]).await,
            502,
            "not answered with whole and valid HTTP",
        ),
        (
            raw(vec![(0, http.into()), (0, "abc".into())]).await,
            504,
            "not answered within",
        ),
        (endless().await, 502, "more than 65536 bytes"),
    ];
    for (address, status, message) in cases {
        let flags = [
            &format!("--shards=a={}", a.address),
            &format!("--merge=http://{address}/"),
            "--deadline=60s",
            "--merge-timeout=1s",
            "--answer-body=64KiB",
        ];
        let gather = Gather::start(&flags).await;
        let answer = gather.get("/").await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(
            answer.status == status && error.contains(message),
            "{address}: {answer:?}"
        );
        assert_eq!(answer.header("outrigger-shards"), "1/1");
        assert_eq!(gather.metric("requests_total{outcome=\"unmerged\"}").await, 1.0);
        assert_eq!(gather.metric("held_bytes").await, 0.0);
    }
    crate::stage::eventually("the slow one is told", || async {
        (slow.abandoned() == 1).then_some(())
    })
    .await;
    // What it says itself is passed on, whatever it is.
    let own = Leaf::start(says("no").status(503).headers(&[("retry-after", "7")])).await;
    let url = format!("--merge=http://{}/", own.address);
    let gather = Gather::start(&[
        &format!("--shards=a={}", a.address),
        &url,
        "--deadline=60s",
        "--merge-timeout=60s",
    ])
    .await;
    let answer = gather.get("/").await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("retry-after")),
        (503, "no", "7")
    );
}
