//! What gathering costs, and what hedging is good for: `cargo bench -p outrigger-runtime --bench gather`.
//!
//! Leaves, a plain fan-out, and `outrigger-runtime gather` are processes of their own on this machine; the load comes from this one. The
//! plain fan-out sends each request to all leaves with the same HTTP client, joins the bodies, and does nothing else. Under `cargo
//! test` everything runs for a moment only, to see that it works.
#![allow(missing_docs, reason = "nobody uses a benchmark as a library")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "that is how a benchmark fails"
)]

mod leaves;
mod load;
mod plain;
mod process;

use load::{Load, Report};
use process::Process;
use std::time::Duration;

const SHARDS: usize = 16;

fn main() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
    };
    match std::env::var(process::ROLE)
        .ok()
        .as_deref()
        .and_then(|role| role.split_once(' '))
    {
        Some(("leaves", argument)) => runtime().block_on(leaves::serve(argument)),
        Some(("plain", argument)) => runtime().block_on(plain::serve(argument)),
        _ => {
            let whole = std::env::args().any(|argument| argument == "--bench");
            runtime().block_on(measure(if whole {
                Duration::from_secs(10)
            } else {
                Duration::from_millis(100)
            }));
        }
    }
}

async fn measure(time: Duration) {
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine before: {}", busy.trim());
    latency(time).await;
    throughput(time).await;
    hedging(time).await;
}

/// The flags that name these shards.
fn shards(leaves: &[String], replicas: usize) -> String {
    let named = leaves
        .chunks(replicas)
        .enumerate()
        .map(|(shard, leaves)| format!("s{shard}={}", leaves.join("|")));
    format!("--shards={}", named.collect::<Vec<_>>().join(","))
}

/// One client at a time, leaves that take 2 to 3.5 ms.
async fn latency(time: Duration) {
    println!("\nlatency, {SHARDS} shards that take 2.0 to 3.5 ms, one client");
    let manner = (0..SHARDS)
        .map(|shard| format!("{}", 2000 + 100 * shard))
        .collect::<Vec<_>>()
        .join(",");
    let leaves = Process::leaves(&manner).await;
    let slowest = Load::of_all(&leaves.addresses).go(1, time).await;
    slowest.print("the slowest leaf, asked directly");
    let plain = Process::plain(&leaves.addresses).await;
    let plain = Load::of(&plain.addresses[0]).go(1, time).await;
    plain.print("plain fan-out");
    let gather = Process::gather(&[&shards(&leaves.addresses, 1), "--merge=concat", "--deadline=60s"]).await;
    let gathered = Load::of(&gather.addresses[0]).go(1, time).await;
    gathered.print("gather");
    let added = |report: &Report, share: f64| {
        (report.quantile(share).as_secs_f64() - slowest.quantile(share).as_secs_f64()) * 1e3
    };
    println!(
        "  added by gather: p50 {:.2} ms, p99 {:.2} ms",
        added(&gathered, 0.5),
        added(&gathered, 0.99)
    );
    println!(
        "  added by plain fan-out: p50 {:.2} ms, p99 {:.2} ms",
        added(&plain, 0.5),
        added(&plain, 0.99)
    );
}

/// Many clients, leaves that answer at once.
async fn throughput(time: Duration) {
    println!("\nthroughput, {SHARDS} shards that answer at once, 32 clients");
    let leaves = Process::leaves(&["0"; SHARDS].join(",")).await;
    let plain = Process::plain(&leaves.addresses).await;
    let gather = Process::gather(&[&shards(&leaves.addresses, 1), "--merge=concat", "--deadline=60s"]).await;
    let mut of = [Vec::new(), Vec::new()];
    // In turns, as other work on this machine comes and goes.
    for _ in 0..4 {
        for (process, reports) in [&plain, &gather].into_iter().zip(&mut of) {
            let before = process.cpu();
            let report = Load::of(&process.addresses[0]).go(32, time / 4).await;
            let cpu = (process.cpu() - before).as_secs_f64() * 1e6 / report.count() as f64;
            reports.push((report.rate(), cpu));
        }
    }
    let mean =
        |reports: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| reports.iter().map(of).sum::<f64>() / reports.len() as f64;
    for (name, reports) in ["plain fan-out", "gather"].iter().zip(&of) {
        let (rate, cpu) = (mean(reports, |report| report.0), mean(reports, |report| report.1));
        println!("  {name}: {rate:.0} requests a second, {cpu:.0} us of CPU each");
    }
    println!(
        "  gather : plain = {:.2}",
        mean(&of[1], |report| report.0) / mean(&of[0], |report| report.0)
    );
}

/// Twenty leaves, two for each of ten shards.
async fn hedging(time: Duration) {
    let steady = ["1000"; 19].join(",");
    let cases = [
        (
            "one leaf in twenty takes 100 ms, the others 1 ms",
            format!("100000,{steady}"),
        ),
        (
            "every leaf takes 100 ms for one request in 200, else 1 ms",
            ["1000/200"; 20].join(","),
        ),
    ];
    for (what, manner) in cases {
        println!("\nhedging, ten shards of two replicas, 4 clients: {what}");
        let leaves = Process::leaves(&manner).await;
        for hedge in ["never", "p95", "5ms"] {
            let hedge_flag = format!("--hedge-after={hedge}");
            let flags = [
                &shards(&leaves.addresses, 2),
                "--merge=concat",
                "--deadline=60s",
                &hedge_flag,
            ];
            let gather = Process::gather(&flags).await;
            // Until it knows its leaves.
            Load::of(&gather.addresses[0]).go(4, time / 10).await;
            Load::of(&gather.addresses[0])
                .go(4, time)
                .await
                .print(&format!("--hedge-after={hedge}"));
        }
    }
}
