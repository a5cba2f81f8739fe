//! Clients and leaves that send too much, too many, or too slowly.
use crate::leaf::{Leaf, endless, says};
use crate::stage::{Gather, eventually};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn gather(leaf: &Leaf, flags: &[&str]) -> Gather {
    let shards = format!("--shards=a={}", leaf.address);
    Gather::start(&[&[shards.as_str(), "--merge=concat", "--deadline=100s"], flags].concat()).await
}

/// What a client gets that sends this and then waits for the end of the connection.
async fn spoken(gather: &Gather, sent: &[u8]) -> String {
    let mut client = TcpStream::connect(&gather.address).await.unwrap();
    client.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn more_requests_than_there_are_places_for_are_told_to_come_again() {
    let leaf = Leaf::start(says("1").after(60_000)).await;
    let gather = gather(&leaf, &["--concurrency=3"]).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = TcpStream::connect(&gather.address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        waiting.push(client);
    }
    eventually("three are served", || async { (leaf.count() == 3).then_some(()) }).await;
    let answer = gather.get("/").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
    assert!(answer.json()["error"].as_str().unwrap().contains("come again"));
    assert_eq!(
        (
            leaf.count(),
            gather.metric("requests_total{outcome=\"overload\"}").await
        ),
        (3, 1.0)
    );
    drop(waiting);
    leaf.says(says("1"));
    eventually("there are places again", || async {
        (gather.get("/").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_never_ends_is_refused() {
    let leaf = Leaf::start(says("1")).await;
    let gather = gather(&leaf, &["--request-body=64KiB", "--client-timeout=3s"]).await;
    let answer = gather.send("POST", "/", &[], vec![b'x'; 65_536]).await;
    assert_eq!((answer.status, leaf.seen()[0].body.len()), (200, 65_536));
    let answer = spoken(&gather, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("more than 65536 bytes"),
        "{answer}"
    );

    let mut client = TcpStream::connect(&gather.address).await.unwrap();
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let chunk = [b"1000\r\n".as_slice(), &[b'x'; 0x1000], b"\r\n"].concat();
    for _ in 0..17 {
        let _ = client.write_all(&chunk).await;
    }
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let ended = spoken(&gather, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(ended.starts_with("HTTP/1.1 408 "), "{ended}");
    assert_eq!(
        (leaf.count(), gather.metric("requests_total{outcome=\"refused\"}").await),
        (1, 3.0)
    );
    assert_eq!(gather.metric("held_bytes").await, 0.0);
}

#[tokio::test]
async fn what_is_no_request_for_a_path_is_refused() {
    let leaf = Leaf::start(says("1")).await;
    let gather = gather(&leaf, &[]).await;
    for (sent, status) in [
        ("OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        (
            "CONNECT leaf:80 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "400",
        ),
        ("GARBAGE\r\n\r\n", "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
    ] {
        let answer = spoken(&gather, sent.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{sent}: {answer}"
        );
    }
    assert_eq!(leaf.count(), 0);
    let absolute = b"GET http://elsewhere.example/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert!(spoken(&gather, absolute).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(
        (leaf.seen()[0].path.as_str(), leaf.seen()[0].header("host")),
        ("/x", leaf.address.as_str())
    );
}

#[tokio::test]
async fn a_client_that_sends_its_head_byte_by_byte_is_given_up_and_one_that_is_quiet_between_requests_is_not() {
    let leaf = Leaf::start(says("1")).await;
    let gather = gather(&leaf, &["--client-timeout=500ms", "--client-idle=100s"]).await;
    let start = Instant::now();
    let mut slow = TcpStream::connect(&gather.address).await.unwrap();
    let mut silent = TcpStream::connect(&gather.address).await.unwrap();
    let mut quiet = TcpStream::connect(&gather.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    quiet.write_all(request).await.unwrap();
    let mut answer = [0; 4096];
    let length = quiet.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    let mut sent = 0;
    for byte in b"GET / HTTP/1.1\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
        if slow.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        assert!(start.elapsed() < Duration::from_secs(60), "{sent}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(silent.read(&mut answer).await.unwrap_or(0), 0);
    // The same holds for the second request of a connection, once it has begun.
    quiet.write_all(request).await.unwrap();
    let length = quiet.read(&mut answer).await.unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200 "));
    quiet.write_all(b"GET").await.unwrap();
    assert_eq!(quiet.read(&mut answer).await.unwrap_or(0), 0);
    assert!(start.elapsed() < Duration::from_secs(90));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_given_up() {
    let leaf = Leaf::start(says(vec![b'x'; 16 << 20])).await;
    let gather = gather(&leaf, &["--client-timeout=500ms", "--shard-body=16MiB"]).await;
    let mut client = TcpStream::connect(&gather.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    eventually("there is an answer", || async {
        (gather.metric("requests_total{outcome=\"complete\"}").await == 1.0).then_some(())
    })
    .await;
    eventually("its room is free again", || async {
        (gather.metric("held_bytes").await == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn all_bodies_together_fit_into_the_room_that_there_is() {
    let leaf = Leaf::start(says(vec![b'x'; 60_000]).after(300)).await;
    let shards = format!("--shards=a={},b={},c={}", leaf.address, leaf.address, endless().await);
    let flags = [
        &shards,
        "--merge=concat",
        "--deadline=100s",
        "--memory=128KiB",
        "--shard-body=1GiB",
        "--require=1",
    ];
    let gather = Gather::start(&flags).await;
    let answer = gather.get("/").await;
    // Two answers fit, with an endless third one they do not; nor does what is merged of them.
    assert!(
        answer.status == 503 || answer.header("outrigger-missing").contains("overload"),
        "{answer:?}"
    );
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(gather.metric("held_bytes").await, 0.0);
}

#[tokio::test]
async fn more_connections_than_there_are_places_for_wait() {
    let leaf = Leaf::start(says("1")).await;
    let gather = gather(&leaf, &["--connections=2", "--client-timeout=60s"]).await;
    let held = [
        TcpStream::connect(&gather.address).await.unwrap(),
        TcpStream::connect(&gather.address).await.unwrap(),
    ];
    let mut third = TcpStream::connect(&gather.address).await.unwrap();
    third.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = [0; 64];
    let early = tokio::time::timeout(Duration::from_millis(300), third.read(&mut answer)).await;
    assert!(early.is_err());
    drop(held);
    third.read_exact(&mut answer[..12]).await.unwrap();
    assert_eq!(&answer[..12], b"HTTP/1.1 200");
}
