//! How long a connection may do nothing, and what it may speak.
use crate::{
    client::{Connection, handshake, head},
    reviews::creation,
    server::{Server, Setup},
};
use outrigger::webhook::{limits::Limits, listener::Timers};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(5);

#[test]
fn rows_21_and_34_the_timers_suit_the_api_server_and_nobody_else() {
    let timers = Timers::default();
    assert!(timers.handshake + timers.first_request <= Duration::from_secs(10));
    assert!(timers.idle > Duration::from_secs(90));
    assert!(Limits::default().body_time <= Duration::from_secs(10));
}

#[tokio::test]
async fn row_21_a_connection_without_a_handshake_is_closed() {
    let server = Server::start(Setup::timed(SHORT, LONG)).await;
    for beginning in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let closed = timeout(SHORT * 4, stream.read_to_end(&mut Vec::new())).await;
        assert!(closed.is_ok(), "still open after {beginning:?}");
    }
}

#[tokio::test]
async fn row_21_a_connection_without_a_request_is_closed() {
    let server = Server::start(Setup::timed(SHORT, LONG)).await;
    assert!(server.connect().await.is_closed_within(SHORT * 4).await);
    let mut dripping = server.connect().await;
    let started = Instant::now();
    let mut closed = false;
    for byte in head("POST", "/mutate", "x-padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", 1).bytes() {
        closed = dripping.stream.write_all(&[byte]).await.is_err() || dripping.is_closed_within(SHORT / 8).await;
        if closed {
            break;
        }
    }
    assert!(closed && started.elapsed() < SHORT * 4);
}

#[tokio::test]
async fn row_21_a_body_that_drips_is_cut() {
    let limits = Limits::new(1 << 20, SHORT, 4 << 20);
    let server = Server::start(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let mut connection = server.connect().await;
    connection
        .send(head(
            "POST",
            "/mutate?timeout=30s",
            "content-type: application/json\r\n",
            100_000,
        ))
        .await;
    let (mut reader, mut writer) = tokio::io::split(connection.stream);
    let dripping = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() && writer.flush().await.is_ok() {
            sleep(SHORT / 8).await;
        }
    });
    let response = timeout(SHORT * 4, crate::client::read_response(&mut reader))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(response.status, 408);
    assert!(
        timeout(SHORT * 4, reader.read_to_end(&mut Vec::new())).await.is_ok(),
        "still open"
    );
    dripping.abort();
}

#[tokio::test]
async fn row_34_an_idle_connection_outlives_the_time_to_the_first_request_and_then_ends() {
    let idle = SHORT * 4;
    let server = Server::start(Setup::timed(SHORT, idle)).await;
    let mut connection = server.connect().await;
    for _ in 0..3 {
        assert_eq!(connection.post(creation().to_string()).await.status, 200);
        sleep(SHORT * 2).await;
    }
    assert!(connection.is_closed_within(idle * 2).await);
}

/// The real times. Run with `cargo test -- --ignored`.
#[tokio::test]
#[ignore = "takes 100 seconds"]
async fn row_34_a_connection_that_was_idle_for_95_seconds_is_used_again() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    assert_eq!(connection.post(creation().to_string()).await.status, 200);
    sleep(Duration::from_secs(95)).await;
    assert_eq!(connection.post(creation().to_string()).await.status, 200);
}

#[tokio::test]
async fn row_22_http_2_is_refused_by_negotiation_and_by_prior_knowledge() {
    let server = Server::start(Setup::default()).await;
    assert!(handshake(server.address, &server.authority, &["h2"]).await.is_err());
    let both = handshake(server.address, &server.authority, &["h2", "http/1.1"])
        .await
        .unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let stream = handshake(server.address, &server.authority, &[]).await.unwrap();
    let mut connection = Connection { stream };
    connection
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    let mut answer = Vec::new();
    let closed = timeout(Duration::from_secs(3), connection.stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok() && !answer.contains(&0), "{answer:?}");
}

#[tokio::test]
async fn row_58_only_modern_tls_is_spoken() {
    let server = Server::start(Setup::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // A ClientHello of TLS 1.1 with TLS_RSA_WITH_AES_128_CBC_SHA.
    let hello = [
        &b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x02"[..],
        &[7; 32],
        b"\x00\x00\x02\x00\x2f\x01\x00",
    ]
    .concat();
    stream.write_all(&hello).await.unwrap();
    let mut answer = Vec::new();
    timeout(Duration::from_secs(3), stream.read_to_end(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.first(), Some(&0x15), "not an alert: {answer:?}");
}

#[tokio::test]
async fn requests_in_one_packet_are_answered_one_after_the_other() {
    let server = Server::start(Setup::default()).await;
    let mut connection = server.connect().await;
    let body = creation().to_string();
    let one = head("POST", "/mutate", "content-type: application/json\r\n", body.len()) + &body;
    connection.send(one.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(connection.response().await.status, 200);
    }
}

#[tokio::test]
async fn a_connection_beyond_the_cap_is_closed_at_once_and_counted() {
    let server = Server::start(Setup {
        connections: 2,
        ..Setup::default()
    })
    .await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    for connection in [&mut first, &mut second] {
        assert_eq!(connection.post(creation().to_string()).await.status, 200);
    }
    assert!(
        handshake(server.address, &server.authority, &["http/1.1"])
            .await
            .is_err()
    );
    server.assert_metric("outrigger_connections_refused_total 1");
    drop(second);
    sleep(SHORT).await;
    assert_eq!(server.connect().await.post(creation().to_string()).await.status, 200);
    assert_eq!(first.post(creation().to_string()).await.status, 200);
}

#[tokio::test]
async fn a_request_head_has_a_bound() {
    let server = Server::start(Setup::default()).await;
    let body = creation().to_string();
    for (length, status) in [(30 << 10, 200), (128 << 10, 431)] {
        let mut connection = server.connect().await;
        let headers = format!(
            "content-type: application/json\r\nx-padding: {}\r\n",
            "x".repeat(length)
        );
        let response = connection.ask("POST", "/mutate", &headers, &body).await;
        assert_eq!(response.status, status, "{length} bytes");
    }
}
