//! The policy work-queue: the helper, started as its Pod would, with a real nats-server. (What it does besides is tested in
//! `runtime/tests/work/`.)
use crate::kubelet::Container;
use crate::machine::{eventually, free_ports, runtime};
use crate::pods::{admit, container};
use outrigger_harness::NatsServer;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// Answers one POST with its body in upper case.
fn application(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut asked = [0; 4096];
            let length = connection.read(&mut asked).unwrap_or_default();
            if length > 0 {
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nDONE");
            }
        }
    });
}

fn ask(port: u16, request: &str) -> Option<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    connection.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn the_helper_takes_items_and_the_application_need_not_be_up_for_its_startup_probe() {
    let Some(nats) = NatsServer::start("") else { return };
    let [port, application_port] = free_ports();
    let (port_text, application_text) = (port.to_string(), application_port.to_string());
    // The parameter's pattern wants a name or an address of four numbers.
    let url = nats.url();
    let parameters = [
        ("queue", "orders"),
        ("nats", url.as_str()),
        ("port", &port_text),
        ("applicationPort", &application_text),
    ];
    let pod = admit("work-queue", &parameters).unwrap();
    assert_eq!(container(&pod, "web")["env"][0]["name"], "WORK_QUEUE_URL");
    assert_eq!(
        container(&pod, "web")["env"][0]["value"],
        format!("http://127.0.0.1:{port}")
    );
    let helper = Container::prepare(&pod, "work-queue");
    let program = runtime();
    assert_eq!(helper.startup_probe(&program).status.code(), Some(1));
    let _process = helper.start(&program);
    eventually("the startup probe passes", || {
        helper.startup_probe(&program).status.success().then_some(())
    });
    application(application_port);
    eventually(&format!("an item is done\n{}", helper.log()), || {
        ask(
            port,
            "POST /items HTTP/1.0\r\ncontent-length: 1\r\nidempotency-key: a\r\n\r\nx",
        )
        .filter(|answer| answer.contains(" 202 "))
    });
    eventually(&format!("its result is published\n{}", helper.log()), || {
        let metrics = ask(port, "GET /metrics HTTP/1.0\r\n\r\n")?;
        metrics
            .contains("outrigger_work_results_total{outcome=\"published\"} 1")
            .then_some(())
    });
}

#[test]
fn the_program_takes_what_any_parameters_make() {
    let program = runtime();
    let cases: &[&[(&str, &str)]] = &[
        &[("files", "/work"), ("ready", "up")],
        &[("ready", "/healthz"), ("applicationPath", "/a/b"), ("results", "none")],
        &[
            ("nats", "tls://a:4222, nats://b"),
            ("secret", "nats"),
            ("logFormat", "text"),
        ],
        &[
            ("stream", "s"),
            ("subject", "a.b"),
            ("resultsStream", "r"),
            ("resultsSubject", "c.d"),
            ("createStreams", "false"),
        ],
        &[
            ("timeoutSeconds", "86400"),
            ("backoffMs", "10"),
            ("maxMiB", "1048576"),
            ("replicas", "5"),
        ],
    ];
    for case in cases {
        let [port] = free_ports();
        let port = port.to_string();
        let pod = admit("work-queue", &[&[("queue", "orders"), ("port", &port)], *case].concat()).unwrap();
        let helper = Container::prepare(&pod, "work-queue");
        let _process = helper.start(Path::new(&program));
        eventually(&format!("it lives: {case:?}\n{}", helper.log()), || {
            helper.startup_probe(&program).status.success().then_some(())
        });
    }
}
