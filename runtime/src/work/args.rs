//! The flags, each with a variable of its own, and what they come to. Every mistake in them is told here.
use crate::serving::{ServingArgs, is_port_good, seconds};
use anyhow::{Result, bail};
use async_nats::ServerAddr;
use clap::ValueEnum;
use hyper::Uri;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Take items from a work queue, and hand each to the application
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  outrigger-runtime work --queue orders --application http://127.0.0.1:8080/orders
  outrigger-runtime work --queue orders --files /work --nats nats://nats.nats:4222")]
pub struct Args {
    /// Where to listen; port 0 takes a free one
    #[arg(
        long,
        env = "OUTRIGGER_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4041"
    )]
    pub listen: SocketAddr,
    /// The queue's name; streams and subjects are called by it
    #[arg(long, env = "OUTRIGGER_WORK_QUEUE", value_name = "NAME", value_parser = name)]
    pub queue: String,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub handing: HandingArgs,
    #[command(flatten)]
    pub streams: StreamArgs,
    #[command(flatten)]
    pub serving: ServingArgs,
}

/// Where the queue engine is, and who we are to it. Secrets come from variables and files, never from flags.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// NATS servers, with commas: nats://HOST:PORT or tls://HOST:PORT
    #[arg(long, env = "OUTRIGGER_NATS", value_name = "URLS", value_delimiter = ',', default_value = "nats://127.0.0.1:4222", value_parser = server)]
    pub nats: Vec<String>,
    /// File with a user's JWT and seed (.creds); read anew for each connection
    #[arg(long, env = "OUTRIGGER_NATS_CREDENTIALS", value_name = "FILE")]
    pub nats_credentials: Option<PathBuf>,
    /// The user's name; the password is read from OUTRIGGER_NATS_PASSWORD, a token from OUTRIGGER_NATS_TOKEN
    #[arg(long, env = "OUTRIGGER_NATS_USER", value_name = "NAME")]
    pub nats_user: Option<String>,
    /// File with the certificates of authorities to trust, instead of the system's
    #[arg(long, env = "OUTRIGGER_NATS_CA", value_name = "FILE")]
    pub nats_ca: Option<PathBuf>,
    /// File with this client's certificate
    #[arg(long, env = "OUTRIGGER_NATS_CERT", value_name = "FILE", requires = "nats_key")]
    pub nats_cert: Option<PathBuf>,
    /// File with its key
    #[arg(long, env = "OUTRIGGER_NATS_KEY", value_name = "FILE", requires = "nats_cert")]
    pub nats_key: Option<PathBuf>,
}

/// How items are handed to the application.
#[derive(Debug, Clone, clap::Args)]
pub struct HandingArgs {
    /// Where each item is posted to
    #[arg(long, env = "OUTRIGGER_WORK_APPLICATION", value_name = "URL", value_parser = application)]
    pub application: Option<Uri>,
    /// Hand items over as files below this directory, instead: `in/<id>`, `out/<id>` and `failed/<id>`
    #[arg(
        long,
        env = "OUTRIGGER_WORK_FILES",
        value_name = "DIRECTORY",
        conflicts_with = "application"
    )]
    pub files: Option<PathBuf>,
    /// What tells that the application is up: a path that it answers with 2xx, with --files the name of a file that it makes. Without it:
    /// the application accepts connections, with --files nothing
    #[arg(long, env = "OUTRIGGER_WORK_READY", value_name = "PATH")]
    pub ready: Option<String>,
    /// How many items the application has at a time, at most
    #[arg(long, env = "OUTRIGGER_WORK_CONCURRENCY", value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub concurrency: u16,
    /// How long the application may take for an item
    #[arg(long, env = "OUTRIGGER_WORK_TIMEOUT", value_name = "SECONDS", default_value = "60s", value_parser = some_time)]
    pub timeout: Duration,
    /// After so many failed attempts an item goes to the dead letters
    #[arg(long, env = "OUTRIGGER_WORK_MAX_ATTEMPTS", value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub max_attempts: u32,
    /// How long to wait after the first failed attempt; after each more twice as long
    #[arg(long, env = "OUTRIGGER_WORK_BACKOFF", value_name = "SECONDS", default_value = "1s", value_parser = some_time)]
    pub backoff: Duration,
    /// The longest wait between two attempts, also where the application asks for more by Retry-After
    #[arg(long, env = "OUTRIGGER_WORK_MAX_BACKOFF", value_name = "SECONDS", default_value = "300s", value_parser = some_time)]
    pub max_backoff: Duration,
    /// What becomes of the application's answers
    #[arg(long, env = "OUTRIGGER_WORK_RESULTS", value_enum, default_value = "publish")]
    pub results: Results,
}

/// What becomes of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Results {
    /// Each is published, and confirmed before its item is.
    Publish,
    /// They are thrown away, where nobody wants them.
    None,
}

/// Names and limits of the streams. Those that exist are used as they are.
#[derive(Debug, Clone, clap::Args)]
pub struct StreamArgs {
    /// Whether streams and consumer are made where they do not exist
    #[arg(long, env = "OUTRIGGER_WORK_CREATE", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub create: bool,
    /// Stream of the items; default: the queue's name
    #[arg(long, env = "OUTRIGGER_WORK_STREAM", value_name = "NAME", value_parser = name)]
    pub stream: Option<String>,
    /// Subject of the items; default: `<queue>.items`
    #[arg(long, env = "OUTRIGGER_WORK_SUBJECT", value_name = "SUBJECT", value_parser = subject)]
    pub subject: Option<String>,
    /// The durable consumer that all workers share
    #[arg(long, env = "OUTRIGGER_WORK_CONSUMER", value_name = "NAME", default_value = "workers", value_parser = name)]
    pub consumer: String,
    /// Stream of the results; default: `<queue>-results`
    #[arg(long, env = "OUTRIGGER_WORK_RESULTS_STREAM", value_name = "NAME", value_parser = name)]
    pub results_stream: Option<String>,
    /// Subject of the results; default: `<queue>.results`
    #[arg(long, env = "OUTRIGGER_WORK_RESULTS_SUBJECT", value_name = "SUBJECT", value_parser = subject)]
    pub results_subject: Option<String>,
    /// An item that is not heard of for so long is given to another worker; in progress is told three times as often
    #[arg(long, env = "OUTRIGGER_WORK_ACK_WAIT", value_name = "SECONDS", default_value = "30s", value_parser = some_time)]
    pub ack_wait: Duration,
    /// How long an Idempotency-Key is remembered
    #[arg(long, env = "OUTRIGGER_WORK_DUPLICATE_WINDOW", value_name = "SECONDS", default_value = "120s", value_parser = some_time)]
    pub duplicate_window: Duration,
    /// The most that waits, as 1GiB; then POST /items is refused
    #[arg(long, env = "OUTRIGGER_WORK_MAX_BYTES", value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub max_bytes: u64,
    /// The most results that are kept, as 1GiB; then items wait until there is room
    #[arg(long, env = "OUTRIGGER_WORK_RESULTS_MAX_BYTES", value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    pub results_max_bytes: u64,
    /// The most dead letters that are kept, as 256MiB; then items that fail are tried again
    #[arg(long, env = "OUTRIGGER_WORK_DEAD_MAX_BYTES", value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    pub dead_max_bytes: u64,
    /// On how many NATS servers each stream is kept
    #[arg(long, env = "OUTRIGGER_WORK_REPLICAS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
}

impl Args {
    /// What no flag by itself can tell.
    ///
    /// # Errors
    /// When flags do not fit together.
    pub fn check(&self) -> Result<()> {
        let handing = &self.handing;
        match (&handing.application, &handing.files) {
            (None, None) => bail!("nothing takes the items; give --application URL, or --files DIRECTORY"),
            (Some(_), _) if handing.ready.as_ref().is_some_and(|path| !path.starts_with('/')) => {
                bail!("--ready is a path of the application, and begins with a slash: /healthz")
            }
            (_, Some(_)) if handing.ready.as_ref().is_some_and(|name| name.contains('/')) => {
                bail!("--ready is the name of a file below --files, without a slash")
            }
            _ => {}
        }
        if handing.backoff > handing.max_backoff {
            bail!("--backoff is longer than --max-backoff; raise the latter");
        }
        if self.server.nats_user.is_some() && self.server.nats_credentials.is_some() {
            bail!("--nats-user and --nats-credentials exclude each other; leave one out");
        }
        Ok(())
    }
}

/// A name that NATS takes, and that is no more than one token of a subject.
fn name(text: &str) -> Result<String, String> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !text.is_empty() && text.len() <= 64 && text.bytes().all(letters) {
        return Ok(text.to_owned());
    }
    Err("write 1 to 64 letters, digits, '-' and '_', as in: orders".to_owned())
}

fn subject(text: &str) -> Result<String, String> {
    let token = |token: &str| {
        !token.is_empty()
            && token
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte))
    };
    if !text.starts_with('$') && text.split('.').all(token) {
        return Ok(text.to_owned());
    }
    Err("write words with dots between them and no wildcard, as in: orders.items".to_owned())
}

fn server(text: &str) -> Result<String, String> {
    let usable = text.parse::<Uri>().ok().filter(|uri| {
        let known = matches!(uri.scheme_str(), Some("nats" | "tls"));
        // The client's own parser has the last word.
        known && uri.authority().is_some_and(is_port_good) && text.parse::<ServerAddr>().is_ok()
    });
    match usable {
        Some(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            Err("no name and password here, where everyone reads them; set OUTRIGGER_NATS_USER and OUTRIGGER_NATS_PASSWORD, or OUTRIGGER_NATS_TOKEN".to_owned())
        }
        Some(_) => Ok(text.to_owned()),
        None => Err("write nats://HOST:PORT or tls://HOST:PORT".to_owned()),
    }
}

fn application(text: &str) -> Result<Uri, String> {
    let usable = text.parse::<Uri>().ok().filter(|uri| {
        uri.scheme_str() == Some("http")
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@') && is_port_good(authority))
    });
    usable.ok_or_else(|| "write http://127.0.0.1:PORT/PATH; it is in the same Pod, so there is no TLS".to_owned())
}

/// Longer than nothing, and no more than a day.
fn some_time(text: &str) -> Result<Duration, String> {
    let duration = seconds(text)?;
    if duration >= Duration::from_millis(10) && duration <= Duration::from_secs(86_400) {
        return Ok(duration);
    }
    Err("write at least 10ms and at most 86400s".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    const UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
    let read = |(unit, factor): &(&str, u64)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(*factor);
    let size = UNITS.iter().find_map(read);
    size.filter(|size| (1 << 10..=1 << 50).contains(size))
        .ok_or_else(|| "write a whole number with KiB, MiB or GiB, as 256MiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_subjects_and_names_are_read_and_wrong_ones_refused() {
        assert_eq!(size("256MiB"), Ok(256 << 20));
        assert_eq!(size("4096"), Ok(4096));
        for wrong in ["", "1", "-1MiB", "1 GiB", "1GB", "99999999GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert!(subject("orders.items").is_ok());
        for wrong in ["", "a..b", ".a", "a.*", "a.>", "a b", "$JS.API"] {
            assert!(subject(wrong).is_err(), "{wrong}");
        }
        assert!(name("orders_1-a").is_ok());
        for wrong in ["", "a.b", "a b", "ä", "*"] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
        assert!(server("nats://nats:4222").is_ok());
        assert!(server("nats://a:b@nats:4222").is_err_and(|text| text.contains("OUTRIGGER_NATS_PASSWORD")));
        for wrong in ["", "http://nats", "nats://", "nats://nats:0", "nats://nats:70000"] {
            assert!(server(wrong).is_err(), "{wrong}");
        }
        assert!(application("http://127.0.0.1:8080/x").is_ok());
        for wrong in ["https://127.0.0.1", "http://127.0.0.1:70000/"] {
            assert!(application(wrong).is_err(), "{wrong}");
        }
    }
}
