//! What anyone in the cluster can send.
use crate::{
    client::{Connection, head},
    program::Program,
    reviews::{creation, creation_of_size, creation_with},
    server::{Server, Setup},
};
use outrigger_engine::{Admission, PodRequest, Snapshot};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

async fn assert_serves(connection: &mut Connection) {
    assert_eq!(connection.post(creation().to_string()).await.status, 200);
}

#[tokio::test]
async fn row_17_bad_input_is_answered_with_4xx_and_a_way_out() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    let whole = creation().to_string();
    for (case, body, message) in [
        ("empty", String::new(), "the body is empty"),
        (
            "truncated",
            whole[..whole.len() / 2].to_owned(),
            "not an AdmissionReview",
        ),
        ("trailing", format!("{whole}{{}}"), "not an AdmissionReview"),
        ("not JSON", "kind: AdmissionReview".into(), "not an AdmissionReview"),
        ("an array", "[]".into(), "not an AdmissionReview"),
        ("a number", "7".into(), "not an AdmissionReview"),
        (
            "wrong type",
            creation_with("/request/uid", json!({})),
            "expected a string",
        ),
        (
            "v1beta1",
            creation_with("/apiVersion", "admission.k8s.io/v1beta1".into()),
            "admissionReviewVersions: [v1]",
        ),
        (
            "another kind",
            creation_with("/kind", "Pod".into()),
            "admission.k8s.io/v1, AdmissionReview",
        ),
        (
            "no request",
            creation_with("/request", Value::Null),
            "request is missing",
        ),
        (
            "no uid",
            creation_with("/request/uid", "".into()),
            "request.uid is missing",
        ),
        (
            "no kind",
            creation_with("/request/kind", Value::Null),
            "request.kind is missing",
        ),
        (
            "no namespace",
            creation_with("/request/namespace", "".into()),
            "request.namespace is missing",
        ),
        (
            "no object",
            creation_with("/request/object", Value::Null),
            "request.object is missing",
        ),
        (
            "object of another type",
            creation_with("/request/object", json!("Pod")),
            "not an AdmissionReview",
        ),
    ] {
        let response = connection.post(body).await;
        assert_eq!(response.status, 400, "{case}: {response:?}");
        assert!(response.body.contains(message), "{case}: {response:?}");
    }
    server.assert_metric(r#"outrigger_requests_rejected_total{reason="malformed"} 15"#);
    assert_serves(&mut connection).await;
}

#[tokio::test]
async fn row_17_a_wrong_method_or_path_is_answered_with_what_is_right() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    for (method, path, status, message) in [
        ("GET", "/mutate", 405, "POST"),
        ("PUT", "/mutate", 405, "POST"),
        ("DELETE", "/mutate?timeout=5s", 405, "POST"),
        ("POST", "/", 404, "/mutate"),
        ("POST", "/mutate/", 404, "/mutate"),
        ("GET", "/metrics", 404, "/mutate"),
        ("GET", "/readyz", 404, "/mutate"),
    ] {
        let response = connection.ask(method, path, "", "").await;
        assert_eq!(response.status, status, "{method} {path}");
        assert!(response.body.contains(message), "{method} {path}: {}", response.body);
    }
    assert_serves(&mut connection).await;
}

#[tokio::test]
async fn row_18_hostile_json_is_a_clean_error_or_ignored() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    let deep = |open: &str, close: &str| open.repeat(100_000) + &close.repeat(100_000);
    let whole = creation().to_string();
    let with_status = |status: &str| {
        whole
            .replace(r#""status":{}"#, &format!(r#""status":{status}"#))
            .into_bytes()
    };
    let invalid_utf8: Vec<u8> = whole
        .replace("nginx", "#")
        .bytes()
        .map(|b| if b == b'#' { 0xff } else { b })
        .collect();
    for (case, body, statuses) in [
        ("deep arrays", deep("[", "]").into_bytes(), &[400][..]),
        (
            "deep objects",
            (r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000)).into_bytes(),
            &[400],
        ),
        ("deep, never closed", "[".repeat(100_000).into_bytes(), &[400]),
        ("deep within the Pod", with_status(&deep("[", "]")), &[200, 400]),
        ("invalid UTF-8", invalid_utf8, &[400]),
        (
            "a key twice",
            whole
                .replacen(r#""request":"#, r#""request":null,"request":"#, 1)
                .into_bytes(),
            &[400],
        ),
        (
            "a uid twice",
            whole.replacen(r#""uid":"#, r#""uid":"x","uid":"#, 1).into_bytes(),
            &[400],
        ),
        (
            "1e999 for a string",
            creation_with("/request/uid", json!(0))
                .replacen(r#""uid":0"#, r#""uid":1e999"#, 1)
                .into_bytes(),
            &[400],
        ),
        ("1e999 within the Pod", with_status("1e999"), &[200, 400]),
        ("a lone surrogate", with_status(r#""\ud800""#), &[200, 400]),
        ("NUL bytes", vec![0; 4096], &[400]),
    ] {
        let response = connection.post(body).await;
        assert!(statuses.contains(&response.status), "{case}: {response:?}");
    }
    assert_serves(&mut connection).await;
}

#[tokio::test]
async fn row_19_a_review_just_under_7_mib_is_served_and_larger_ones_are_413() {
    let server = Server::start(Setup::default()).await;
    for (bytes, status) in [(2_900 << 10, 200), (7 << 20, 200), ((7 << 20) + 1, 413), (8 << 20, 413)] {
        let mut connection = server.connect().await;
        let response = connection.post(creation_of_size(bytes)).await;
        assert_eq!(response.status, status, "{bytes} bytes");
        assert_serves(&mut connection).await;
    }
    server.assert_metric(r#"outrigger_requests_rejected_total{reason="too_large"} 2"#);
}

#[tokio::test]
async fn row_19_an_endless_chunked_body_is_cut_and_memory_stays_bounded() {
    let program = Program::start(&[], |_| {});
    let before = program.peak_memory();
    for _ in 0..4 {
        let connection = program.connect().await;
        let (mut reader, mut writer) = tokio::io::split(connection.stream);
        let endless = tokio::spawn(async move {
            let head = "POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
            let _ = writer.write_all(head.as_bytes()).await;
            while writer.write_all(chunk.as_bytes()).await.is_ok() {}
        });
        let response = crate::client::read_response(&mut reader).await.unwrap();
        assert_eq!(response.status, 413);
        endless.abort();
    }
    let grown = program.peak_memory() - before;
    assert!(grown < 40, "{grown} MiB");
}

#[tokio::test]
async fn row_20_of_200_large_bodies_at_once_the_excess_is_429_and_memory_stays_bounded() {
    let program = Program::start(&[], |_| {});
    // Five of these leave too little of the 32 MiB for the first 512 KiB of another.
    let whole = creation_of_size(6500 << 10);
    let mut connections = Vec::new();
    for _ in 0..200 {
        let mut connection = program.connect().await;
        assert_serves(&mut connection).await;
        connections.push(connection);
    }
    let head = head("POST", "/mutate", "content-type: application/json\r\n", whole.len());
    let (held, excess) = connections.split_at_mut(5);
    for (connections, sent) in [(&mut *held, whole.len() - 1), (&mut *excess, 600 << 10)] {
        for connection in connections {
            connection.send(head.as_bytes()).await;
            connection.send(&whole[..sent]).await;
        }
        // The first five must have their room before the others ask for it.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    for connection in excess {
        let response = connection.response().await;
        assert_eq!((response.status, response.header("retry-after")), (429, Some("1")));
    }
    for connection in held {
        connection.send(&whole[whole.len() - 1..]).await;
        assert_eq!(connection.response().await.status, 200);
    }
    assert!(
        program
            .has_metric(r#"outrigger_requests_rejected_total{reason="busy"} 195"#)
            .await
    );
    assert!(program.peak_memory() < 128, "{} MiB", program.peak_memory());
}

#[tokio::test]
async fn ordinary_reviews_are_answered_whatever_the_large_ones_take() {
    let server = Server::start(Setup::default()).await;
    let whole = creation_of_size(7 << 20);
    let mut held = Vec::new();
    for (count, sent) in [(20, 0), (4, whole.len() - 1)] {
        for _ in 0..count {
            let mut connection = server.connect().await;
            let head = head("POST", "/mutate", "content-type: application/json\r\n", whole.len());
            connection.send(head + &whole[..sent]).await;
            held.push(connection);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut connection = server.connect().await;
    for bytes in [2 << 10, 64 << 10] {
        assert_eq!(connection.post(creation_of_size(bytes)).await.status, 200);
    }
    for connection in &mut held[20..] {
        connection.send(&whole[whole.len() - 1..]).await;
        assert_eq!(connection.response().await.status, 200);
    }
}

#[tokio::test]
async fn row_23_compressed_bodies_and_other_media_are_415() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    for (headers, message) in [
        (
            "content-type: application/json\r\ncontent-encoding: gzip\r\n",
            "Content-Encoding",
        ),
        (
            "content-type: application/json\r\ncontent-encoding: br\r\n",
            "Content-Encoding",
        ),
        (
            "content-type: application/x-www-form-urlencoded\r\n",
            "application/json",
        ),
        ("content-type: application/yaml\r\n", "application/json"),
    ] {
        let response = connection.ask("POST", "/mutate", headers, creation().to_string()).await;
        assert_eq!(response.status, 415, "{headers}");
        assert!(response.body.contains(message), "{headers}: {}", response.body);
    }
    assert_serves(&mut connection).await;
}

#[tokio::test]
async fn row_24_a_panic_fails_one_call_and_is_counted() {
    fn panicking(_: &Snapshot, request: &PodRequest<'_>) -> Admission {
        assert_ne!(request.namespace, "broken", "injected");
        outrigger_engine::admit(&Snapshot::default(), request)
    }
    let server = Server::start(Setup::deciding_by(panicking)).await;
    let mut connection = server.connect().await;
    let response = connection
        .post(creation_with("/request/namespace", "broken".into()))
        .await;
    assert_eq!(response.status, 500);
    assert!(!response.body.contains("injected"));
    assert_serves(&mut connection).await;
    server.assert_metric("outrigger_panics_total 1");
    server.assert_metric(r#"outrigger_admissions_total{outcome="error"} 1"#);
}

#[tokio::test]
async fn row_33_the_timeout_of_the_call_bounds_the_wait_for_its_body() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    let started = Instant::now();
    connection
        .send(head(
            "POST",
            "/mutate?timeout=1s",
            "content-type: application/json\r\n",
            1000,
        ))
        .await;
    assert_eq!(connection.response().await.status, 408);
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&started.elapsed()));
    server.assert_metric(r#"outrigger_requests_rejected_total{reason="slow"} 1"#);
}
