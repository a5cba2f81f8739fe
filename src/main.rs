//! The `outrigger` command.
use clap::Parser;
use std::process::ExitCode;

// Each call allocates some hundred times; the system's, musl's above all, is slower at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    outrigger::cli::run(outrigger::cli::Args::parse())
}
