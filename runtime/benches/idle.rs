//! What each helper costs while it has nothing to do, and how soon after its start it answers: `cargo bench --workspace --bench idle`.
//!
//! Each subcommand is started some times, with what it talks to beside it (a real API server, a real nats-server), and asked for
//! `/livez` again and again; the time includes the small shell that starts it. The last process is then left alone, and its memory
//! read: all that is resident, and what of that is its own, as the rest are pages of the program's file. Under `cargo test` it shows
//! that it works, and measures nothing. No figure is a gate.
#![allow(missing_docs, reason = "nobody uses a benchmark as a library")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a benchmark fails"
)]

use outrigger_harness::keeper::{self, Kept};
use outrigger_harness::{Cluster, Memory, NatsServer, port};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// How often each is started, and how long the last one is left alone.
struct Plan {
    starts: usize,
    rest: Duration,
}

fn main() {
    let plan = match std::env::args().any(|argument| argument == "--bench") {
        true => Plan {
            starts: 15,
            rest: Duration::from_secs(10),
        },
        false => Plan {
            starts: 1,
            rest: Duration::ZERO,
        },
    };
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", busy.trim());
    elect(&plan);
    work(&plan);
    gather(&plan);
}

/// An elector, which leads.
fn elect(plan: &Plan) {
    let Some(cluster) = Cluster::shared() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let namespace = runtime.block_on(cluster.namespace("idle", json!({})));
    plan.measure("elect", |number, port| {
        vec![
            format!("--election=idle-{number}"),
            format!("--listen=127.0.0.1:{port}"),
            format!("--kubeconfig={}", cluster.kubeconfig().display()),
            format!("--namespace={}", namespace.name),
        ]
    });
}

/// A worker of an empty queue, whose application is up.
fn work(plan: &Plan) {
    let Some(nats) = NatsServer::start("") else { return };
    let application = quiet();
    plan.measure("work", |_, port| {
        vec![
            "--queue=orders".to_owned(),
            format!("--listen=127.0.0.1:{port}"),
            format!("--nats={}", nats.url()),
            format!("--application=http://127.0.0.1:{application}/"),
        ]
    });
}

/// The root of sixteen shards.
fn gather(plan: &Plan) {
    let leaf = quiet();
    let shards = (0..16).map(|shard| format!("s{shard}=127.0.0.1:{leaf}"));
    let shards = shards.collect::<Vec<_>>().join(",");
    plan.measure("gather", |_, port| {
        vec![
            format!("--shards={shards}"),
            "--listen=127.0.0.1:0".to_owned(),
            format!("--admin=127.0.0.1:{port}"),
        ]
    });
}

impl Plan {
    /// `flags` has the number of the start, and the port that answers `/livez`.
    fn measure(&self, command: &str, flags: impl Fn(usize, u16) -> Vec<String>) {
        let mut times = Vec::new();
        let mut last = None;
        for number in 0..self.starts {
            drop(last.take());
            let port = port::free().unwrap();
            let begun = Instant::now();
            let kept = start(command, flags(number, port));
            until(port, "/livez");
            times.push(begun.elapsed().as_secs_f64() * 1e3);
            last = Some((kept, port));
        }
        let (kept, port) = last.unwrap();
        until(port, "/readyz");
        std::thread::sleep(self.rest);
        let memory = Memory::of(kept.process("outrigger").unwrap()).unwrap();
        times.sort_by(f64::total_cmp);
        println!(
            "{command}: /livez {:.0} ms after the start (median of {}, {:.0} to {:.0}); at rest {:.1} MB resident, {:.1} MB of it its own",
            times[times.len() / 2],
            times.len(),
            times[0],
            times[times.len() - 1],
            memory.resident as f64 / 1e6,
            memory.own as f64 / 1e6
        );
    }
}

fn start(command: &str, flags: Vec<String>) -> Kept {
    let program = keeper::Program {
        path: Path::new(env!("CARGO_BIN_EXE_outrigger-runtime")),
        arguments: [command.to_owned(), "--log-level=error".to_owned()]
            .into_iter()
            .chain(flags)
            .collect(),
        stdout: Stdio::null(),
        stderr: Stdio::null(),
        scratch: None,
    };
    program.start().unwrap()
}

/// Asks until the answer is 200.
fn until(port: u16, path: &str) {
    let limit = Instant::now() + Duration::from_secs(60);
    while !is_good(port, path).unwrap_or(false) {
        assert!(Instant::now() < limit, "no 200 of {path} within a minute");
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn is_good(port: u16, path: &str) -> Option<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
    connection
        .write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())
        .ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    Some(answer.split(' ').nth(1) == Some("200"))
}

/// A server that takes connections, and says nothing.
fn quiet() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    port
}
