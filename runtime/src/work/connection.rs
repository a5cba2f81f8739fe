//! The connection to the NATS servers. It comes back by itself, and need not be there at the start.
use super::args::ServerArgs;
use anyhow::{Context, Result};
use async_nats::{Auth, AuthError, Client, ConnectOptions, Event, Server};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Told at each connection that comes about.
pub type Connected = Arc<Notify>;

/// Why there is no connection; said once, until it changes.
#[derive(Debug, Clone, Default)]
pub struct Outage(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    connected: bool,
    reason: Option<String>,
}

impl Outage {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last attempt failed for, as far as is known.
    pub fn reason(&self) -> Option<String> {
        self.known().reason.clone()
    }

    fn set(&self, connected: bool) {
        *self.known() = Known {
            connected,
            reason: None,
        };
    }

    fn is(&self, reason: String) {
        let mut known = self.known();
        if !known.connected && known.reason.as_ref() != Some(&reason) {
            tracing::warn!("failed to connect to NATS: {reason}");
            known.reason = Some(reason);
        }
    }

    /// From what the client keeps of each server.
    fn is_of(&self, servers: &[Server]) {
        let failed = servers
            .iter()
            .filter_map(|server| Some(format!("{server}: {}", server.last_error.as_ref()?)));
        let reasons: Vec<String> = failed.collect();
        if !reasons.is_empty() {
            self.is(reasons.join("; "));
        }
    }

    fn tell(&self, event: &Event) {
        match event {
            Event::Connected => {
                self.set(true);
                tracing::info!("connected to NATS");
            }
            Event::Disconnected => {
                self.set(false);
                tracing::warn!("disconnected from NATS; connecting again");
            }
            // Once an attempt has failed, what the client keeps of the servers says more.
            Event::ClientError(error) if !self.known().connected => {
                if self.reason().is_none() {
                    self.is(error.to_string());
                }
            }
            other => tracing::warn!("NATS: {other}"),
        }
    }
}

/// A client that connects as soon as it can.
///
/// # Errors
/// When files that flags name cannot be read.
pub async fn connect(server: &ServerArgs, name: &str, connected: Connected, outage: Outage) -> Result<Client> {
    let seen = outage.clone();
    let mut options = identified(server)?
        .name(name)
        .retry_on_initial_connect()
        .ping_interval(Duration::from_secs(10))
        .reconnect_delay_callback(|attempts| {
            let doubled = 50_u64.saturating_mul(1 << attempts.min(6));
            Duration::from_millis(doubled.min(2_000)).mul_f64(rand::random_range(0.5..1.0))
        })
        // It is asked before each attempt, and leaves the choice to the client.
        .reconnect_to_server_callback(move |servers, _| {
            seen.is_of(&servers);
            async { None }
        })
        .event_callback(move |event| {
            outage.tell(&event);
            if matches!(event, Event::Connected) {
                connected.notify_one();
            }
            async {}
        });
    if let Some(file) = &server.nats_ca {
        options = options.add_root_certificates(readable(file)?);
    }
    if let (Some(cert), Some(key)) = (&server.nats_cert, &server.nats_key) {
        options = options.add_client_certificate(readable(cert)?, readable(key)?);
    }
    options
        .connect(server.nats.as_slice())
        .await
        .context("failed to connect to NATS")
}

fn identified(server: &ServerArgs) -> Result<ConnectOptions> {
    if let Some(file) = &server.nats_credentials {
        let file = readable(file)?;
        return Ok(ConnectOptions::with_auth_callback(move |nonce| {
            let auth = signed(&file, &nonce);
            async move { auth }
        }));
    }
    let secret = |variable: &str| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let options = ConnectOptions::new();
    if let Some(user) = server.nats_user.clone().filter(|user| !user.is_empty()) {
        return Ok(options.user_and_password(user, secret("OUTRIGGER_NATS_PASSWORD").unwrap_or_default()));
    }
    Ok(match secret("OUTRIGGER_NATS_TOKEN") {
        Some(token) => options.token(token),
        None => options,
    })
}

/// From the file as it is now: a mounted Secret changes.
fn signed(file: &Path, nonce: &[u8]) -> Result<Auth, AuthError> {
    let text = fs::read_to_string(file).map_err(|error| AuthError::new(format!("{}: {error}", file.display())))?;
    let (jwt, seed) =
        credentials(&text).ok_or_else(|| AuthError::new(format!("{} is no .creds file", file.display())))?;
    let pair = nkeys::KeyPair::from_seed(seed).map_err(AuthError::new)?;
    let mut auth = Auth::new();
    auth.jwt = Some(jwt.to_owned());
    auth.signature = Some(pair.sign(nonce).map_err(AuthError::new)?);
    Ok(auth)
}

/// The JWT and the seed: the lines that follow the two headings.
fn credentials(text: &str) -> Option<(&str, &str)> {
    let after = |heading: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN") && line.contains(heading))?;
        lines.find(|line| !line.is_empty())
    };
    Some((after("JWT")?, after("SEED")?))
}

fn readable(file: &Path) -> Result<PathBuf> {
    fs::File::open(file).with_context(|| format!("failed to read {}", file.display()))?;
    Ok(file.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credentials_file_is_read() {
        let text = "-----BEGIN NATS USER JWT-----\neyJ0.abc\n------END NATS USER JWT------\n\n************\n\n\
                    -----BEGIN USER NKEY SEED-----\nSUAXYZ\n------END USER NKEY SEED------\n";
        assert_eq!(credentials(text), Some(("eyJ0.abc", "SUAXYZ")));
        assert_eq!(credentials("eyJ0.abc"), None);
    }
}
