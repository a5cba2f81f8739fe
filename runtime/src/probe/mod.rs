//! `probe URL`: whether something listens, or answers, as the exec probe of a container.
//!
//! kubelet's own `tcpSocket` and `httpGet` probes go to the Pod's address, so they cannot reach a helper that listens on 127.0.0.1
//! only. One try, no retries: kubelet repeats probes.

mod target;

use anyhow::{Context, bail};
use std::io::Read;
use std::net::TcpStream;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use target::Target;
use ureq::Agent;
use ureq::http::Uri;

/// So many bytes of an answer that is not good are shown.
const REASON: u64 = 1000;

/// Exits with 0 when URL can be reached, with 1 and the reason on standard error when it cannot, with 2 for wrong usage.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger-runtime probe tcp://127.0.0.1:11211             a connection is accepted
  outrigger-runtime probe http://127.0.0.1:8080/readyz      a GET is answered with a status of 200 to 299
  outrigger-runtime probe --timeout 0.5 tcp://localhost:53  within half a second")]
pub struct Args {
    #[arg(value_name = "URL", help = "tcp://HOST:PORT or http://HOST[:PORT][/PATH]")]
    target: Target,
    /// How long it may take in all, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "write a number of seconds, such as 0.5".to_owned())?;
    match Duration::try_from_secs_f64(number) {
        Ok(duration) if !duration.is_zero() && number <= 3600.0 => Ok(duration),
        _ => Err("write a number above 0, and at most 3600".to_owned()),
    }
}

/// Tries once, says why not, and turns the result into an exit code.
pub fn run(args: &Args) -> ExitCode {
    match within(args.timeout, args.target.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error:#}", args.target);
            ExitCode::FAILURE
        }
    }
}

/// One bound over everything: resolving the name, connecting, a server that answers byte by byte.
fn within(timeout: Duration, target: Target) -> anyhow::Result<()> {
    let (done, result) = mpsc::channel();
    // Where it is late nobody listens any more, and the process ends with it.
    thread::spawn(move || done.send(attempt(&target)));
    match result.recv_timeout(timeout) {
        Ok(result) => result,
        Err(_) => bail!("no answer within {} s", timeout.as_secs_f64()),
    }
}

fn attempt(target: &Target) -> anyhow::Result<()> {
    match target {
        Target::Tcp { host, port } => TcpStream::connect((host.as_str(), *port))
            .map(drop)
            .context("failed to connect"),
        Target::Http(uri) => get(uri),
    }
}

fn get(uri: &Uri) -> anyhow::Result<()> {
    // Without the proxy that the environment may name: what is probed is near. A redirect is an answer, but not a good one.
    let agent: Agent = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .build()
        .into();
    let mut answer = agent.get(uri).call().context("failed to get an answer")?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    // kubelet shows what is said here, so whoever looks at the Pod reads what is lacking.
    let mut reason = Vec::new();
    let _ = answer.body_mut().as_reader().take(REASON).read_to_end(&mut reason);
    let reason = String::from_utf8_lossy(&reason);
    match reason.trim() {
        "" => bail!("the answer is {status}"),
        reason => bail!("the answer is {status}: {reason}"),
    }
}
