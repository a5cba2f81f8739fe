//! The `outrigger-runtime` command: what runs inside helper containers.
//!
//! It knows nothing of policies, of the webhook or of the engine; it is copied into the images of helpers, which is why it is small
//! and needs no file beside it.

mod probe;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What runs inside the helper containers that Outrigger injects.
#[derive(Debug, Parser)]
#[command(name = "outrigger-runtime", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Probe(probe::Args),
}

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Probe(args) => probe::run(&args),
    }
}
