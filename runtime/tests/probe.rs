//! `outrigger-runtime probe` as kubelet runs it: exit codes, and what it says.
#![allow(missing_docs, reason = "a test's name says what it is about")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "that is how a test fails")]

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

/// The exit code and standard error. The proxy leads nowhere.
fn probe(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outrigger-runtime"));
    let output = command
        .arg("probe")
        .args(arguments)
        .env("http_proxy", "http://127.0.0.1:1")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{arguments:?}");
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Answers every connection with `answer`, and then with nothing until the test ends.
fn server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let answered = |mut connection: TcpStream| {
            let _ = connection.read(&mut [0; 4096]);
            let _ = connection.write_all(answer.as_bytes());
            connection
        };
        let open: Vec<_> = listener.incoming().flatten().map(answered).collect();
        drop(open);
    });
    port
}

/// A port where nobody listens.
fn closed() -> u16 {
    outrigger_harness::port::free().unwrap()
}

#[test]
fn a_port_is_ready_when_a_connection_is_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for url in [
        format!("tcp://127.0.0.1:{port}"),
        format!("tcp://127.0.0.1:{port}/"),
        format!("tcp://localhost:{port}"),
    ] {
        assert_eq!(probe(&[&url]), (0, String::new()), "{url}");
    }
    let url = format!("tcp://127.0.0.1:{}", closed());
    let (code, said) = probe(&[&url]);
    assert_eq!(code, 1);
    assert!(
        said.starts_with(&format!("{url}: failed to connect: Connection refused")),
        "{said}"
    );
    // Not every machine has IPv6.
    if let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) {
        let url = format!("tcp://[::1]:{}", listener.local_addr().unwrap().port());
        assert_eq!(probe(&[&url]), (0, String::new()));
    }
}

#[test]
fn a_page_is_ready_when_its_status_is_2xx() {
    const CASES: &[(&str, i32, &str)] = &[
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 0, ""),
        ("HTTP/1.0 204 No Content\r\n\r\n", 0, ""),
        // A body that never ends is not waited for.
        ("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx", 0, ""),
        (
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            1,
            "the answer is 302 Found",
        ),
        (
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            1,
            "the answer is 404 Not Found",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            1,
            "the answer is 503",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 11\r\n\r\nno leader\n\n",
            1,
            "the answer is 503 Service Unavailable: no leader\n",
        ),
        ("VERSION 1.6.18\r\n\r\n", 1, "failed to get an answer"),
    ];
    for (answer, expected, message) in CASES {
        let url = format!("http://127.0.0.1:{}/readyz?full=1", server(answer));
        let (code, said) = probe(&[&url]);
        assert_eq!(code, *expected, "{answer}: {said}");
        assert!(
            said.contains(message) && (code == 0) == said.is_empty(),
            "{answer}: {said}"
        );
    }
    let (code, said) = probe(&[&format!("http://127.0.0.1:{}/", closed())]);
    assert!(code == 1 && said.contains("Connection refused"), "{said}");
}

#[test]
fn what_does_not_answer_in_time_is_not_ready() {
    let silent = server("");
    let start = Instant::now();
    let (code, said) = probe(&["--timeout", "0.3", &format!("http://127.0.0.1:{silent}/")]);
    assert_eq!((code, said.contains("no answer within 0.3 s")), (1, true), "{said}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_url_that_cannot_be_probed_is_wrong_usage() {
    const CASES: &[(&str, &str)] = &[
        ("", "not a URL"),
        ("127.0.0.1:80", "not a URL"),
        ("/readyz", "not a URL"),
        ("tcp://", "not a URL"),
        ("tcp://:80", "write a host"),
        ("tcp://127.0.0.1", "needs a port"),
        ("tcp://127.0.0.1:0", "needs a port"),
        ("tcp://127.0.0.1:65536", "a port"),
        ("tcp://127.0.0.1:80/path", "ends with the port"),
        ("tcp://a@127.0.0.1:80", "no user name"),
        ("http://a:b@127.0.0.1:80/", "no user name"),
        ("http://127.0.0.1:99999/", "the port"),
        ("https://127.0.0.1/", "not with \"https://\""),
        ("unix:///run/x.sock", "not"),
    ];
    for (url, message) in CASES {
        let (code, said) = probe(&[url]);
        assert_eq!(code, 2, "{url}: {said}");
        assert!(said.contains(message), "{url}: {said}");
    }
    for timeout in ["0", "-1", "x", "1e9", "NaN", "inf"] {
        let (code, said) = probe(&[&format!("--timeout={timeout}"), "tcp://127.0.0.1:1"]);
        assert!(code == 2 && said.contains("write a number"), "{timeout}: {said}");
    }
    assert_eq!(probe(&[]).0, 2);
}

#[test]
fn the_help_shows_examples_that_are_understood() {
    let output = Command::new(env!("CARGO_BIN_EXE_outrigger-runtime"))
        .args(["probe", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let examples: Vec<Vec<&str>> = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("outrigger-runtime probe "))
        .map(|line| line.split("  ").next().unwrap().split(' ').collect())
        .collect();
    assert_eq!(examples.len(), 3, "{help}");
    for example in examples {
        // Nobody may listen there; but it is no wrong usage.
        let (code, said) = probe(&example);
        assert!(code < 2, "{example:?}: {said}");
    }
}
