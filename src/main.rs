//! The `outrigger` command.
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    outrigger::cli::run(outrigger::cli::Args::parse())
}
