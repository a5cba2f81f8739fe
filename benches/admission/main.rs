//! What an admission costs over TLS, beside a webhook that does nothing; and what a start costs.
//!
//! `cargo bench --bench admission`. [docs/performance.md](../../docs/performance.md) says what is measured and how. Nothing
//! here is a gate: a wrong answer ends it, a slow one does not.
mod load;
mod measure;
mod no_op;
mod process;
mod question;
mod report;
mod scenario;
mod start;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::{io::IsTerminal, path::PathBuf, time::Duration};

/// As in `outrigger`, for the webhook that it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
struct Args {
    /// Every scenario for a moment: shows that all of it works, and measures nothing
    #[arg(long)]
    quick: bool,
    /// How often each side of a scenario has its turn
    #[arg(long, value_name = "N", default_value_t = 9)]
    rounds: usize,
    /// How long a turn is, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,
    /// Connections that are kept open and busy
    #[arg(long, value_name = "N", default_value_t = 8)]
    connections: usize,
    /// Only scenarios whose name holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Another build of outrigger to measure
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_outrigger"))]
    program: PathBuf,
    /// How the result is written
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
    /// Be the webhook that does nothing, with the certificates of this directory
    #[arg(long, value_name = "DIR", hide = true)]
    serve_no_op: Option<PathBuf>,
    /// Given by cargo: without it this is `cargo test`, and `--quick`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(certificates) = args.serve_no_op {
        return no_op::serve(certificates);
    }
    let plan = plan(&args);
    let mut results = report::Report::default();
    for scenario in scenario::all() {
        if scenario.name.contains(&args.only) {
            progress(scenario.name);
            results.comparisons.push(measure::compare(&scenario, &plan)?);
        }
    }
    if start::NAME.contains(&args.only) {
        progress(start::NAME);
        results.start = Some(start::measure(&plan.program, plan.rounds)?);
    }
    match args.output {
        Output::Text => print!("{results}"),
        Output::Json => println!("{}", results.json()),
    }
    Ok(())
}

fn plan(args: &Args) -> measure::Plan {
    let quick = args.quick || !args.bench;
    measure::Plan {
        rounds: if quick { 1 } else { args.rounds },
        turn: Duration::from_secs_f64(if quick { 0.1 } else { args.seconds }),
        connections: args.connections,
        program: args.program.clone(),
    }
}

fn progress(name: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("measuring: {name}");
    }
}
