//! The command line: one module for each command, from arguments to what the program works with.
mod certs;
mod controller;
mod crds;
mod images;
mod inject;
mod serve;
mod settings;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Wrong usage, or input that cannot be read. (1 is for findings.)
const UNUSABLE: u8 = 2;

/// Puts helper containers into Kubernetes Pods, by policy, at admission time.
#[derive(Debug, Parser)]
#[command(name = "outrigger", version, arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::ServeArgs>),
    Inject(Box<inject::InjectArgs>),
    Certs(certs::CertsArgs),
    Crds(crds::CrdsArgs),
}

/// Runs the command that `args` name.
pub fn run(args: Args) -> ExitCode {
    let outcome = match args.command {
        Command::Serve(args) => serve::run(*args),
        Command::Inject(args) => return inject::run(&args),
        Command::Certs(args) => certs::run(&args),
        Command::Crds(args) => crds::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}
