//! The `outrigger-runtime` command: what runs inside helper containers.
//!
//! It knows nothing of policies, of the webhook or of the engine; it is copied into the images of helpers, which is why it is small
//! and needs no file beside it.

mod elect;
mod gather;
mod probe;
mod serving;
mod work;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Wrong usage, or surroundings that cannot be worked in. (1 is for findings.)
const UNUSABLE: u8 = 2;

/// What runs inside the helper containers that Outrigger injects.
#[derive(Debug, Parser)]
#[command(name = "outrigger-runtime", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Elect(Box<elect::Args>),
    Work(Box<work::Args>),
    Gather(Box<gather::Args>),
    Probe(probe::Args),
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Elect(args) => until_it_ends(elect::run(*args)),
        Command::Work(args) => until_it_ends(work::run(*args)),
        Command::Gather(args) => until_it_ends(gather::run(*args)),
        Command::Probe(args) => return probe::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}

fn until_it_ends(server: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start")?;
    runtime.block_on(server)
}
