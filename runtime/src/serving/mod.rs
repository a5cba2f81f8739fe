//! What the servers of all patterns have in common: where they listen, health, metrics, logs, and how they stop.
//!
//! It knows nothing of elections, queues or shards.
pub mod health;
pub mod logs;
pub mod stop;

use anyhow::{Context, Result};
use axum::Router;
use hyper::http::uri::Authority;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;

/// Flags that every pattern has, each with a variable of its own.
#[derive(Debug, Clone, clap::Args)]
pub struct ServingArgs {
    /// How long calls in progress may take once the process is told to stop, in seconds
    #[arg(long, env = "OUTRIGGER_SHUTDOWN_GRACE", value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    pub shutdown_grace: Duration,
    /// How log lines are written
    #[arg(long, env = "OUTRIGGER_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: logs::Format,
    /// error, warn, info, debug, trace, or a filter like outrigger_runtime=debug,info
    #[arg(long, env = "OUTRIGGER_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// A duration as flags have it: `10`, `10s`, `1.5s` or `250ms`.
///
/// # Errors
/// With what to write instead.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    number
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        .ok_or_else(|| format!("{text:?} is not a duration; write seconds, as 10s, or milliseconds, as 250ms"))
}

/// Whether a URL's port can be connected to; one that is not there can. A URL is parsed without a look at this, and would then be
/// taken for one without a port.
pub fn is_port_good(authority: &Authority) -> bool {
    let is_there = authority.as_str().len() > authority.host().len();
    authority.port_u16().map_or(!is_there, |port| port > 0)
}

/// Takes the port, so that whoever may not have it learns so before anything else happens.
///
/// # Errors
/// When the address cannot be had.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr)> {
    let socket = TcpListener::bind(address)
        .await
        .with_context(|| format!("failed to listen on {address}"))?;
    let address = socket.local_addr().context("failed to tell the port")?;
    Ok((socket, address))
}

/// Serves until `stop`, and then for as long as calls in progress take, at most `grace`.
///
/// # Errors
/// When the socket fails.
pub async fn serve(socket: TcpListener, router: Router, stop: CancellationToken, grace: Duration) -> Result<()> {
    use axum::serve::ListenerExt;
    let socket = socket.tap_io(|connection| {
        // Small answers must not wait for more to say.
        let _ = connection.set_nodelay(true);
    });
    let stopping = stop.clone();
    let serving = axum::serve(socket, router).with_graceful_shutdown(async move { stopping.cancelled().await });
    let serving = tokio::spawn(async move { serving.await });
    stop.cancelled().await;
    match timeout(grace, serving).await {
        Ok(ended) => ended.context("failed to stop")?.context("failed to serve"),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_what_is_none_is_refused_with_the_way_out() {
        let milliseconds = |text| seconds(text).map(|duration| duration.as_millis());
        assert_eq!(milliseconds("10"), Ok(10_000));
        assert_eq!(milliseconds("10s"), Ok(10_000));
        assert_eq!(milliseconds("1.5s"), Ok(1_500));
        assert_eq!(milliseconds("250ms"), Ok(250));
        assert_eq!(milliseconds("0"), Ok(0));
        for wrong in ["", "s", "-1", "NaN", "inf", "1e300", "1m", "1 s"] {
            assert!(seconds(wrong).unwrap_err().contains("write seconds, as 10s"), "{wrong}");
        }
    }

    #[test]
    fn a_port_is_good_that_can_be_connected_to() {
        let good = |text: &str| is_port_good(&text.parse().unwrap());
        for text in ["a", "a:1", "a:65535", "[::1]", "[::1]:80"] {
            assert!(good(text), "{text}");
        }
        for text in ["a:0", "a:65536", "a:99999", "a:", "[::1]:70000"] {
            assert!(!good(text), "{text}");
        }
    }
}
