//! The certificate that the HTTPS port shows to new connections, wherever it comes from. Open ones are not touched.
use super::{Pair, clients::Clients, nothing_to_serve};
use crate::observe::{
    health::{self, Health},
    metrics::{Metrics, Source},
};
use anyhow::{Result, ensure};
use axum_server::tls_rustls::RustlsConfig;
use std::sync::Arc;

/// What is served at present, and how it went with the last attempt to serve another one.
#[derive(Debug)]
pub struct Served {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) complaint: Option<String>,
    config: RustlsConfig,
    clients: Option<Arc<Clients>>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Served {
    /// Nothing yet: handshakes fail. What comes is shown to everybody, or to these clients alone.
    ///
    /// # Errors
    /// When TLS cannot be set up, which would be an error of the build.
    pub fn nothing(clients: Option<Arc<Clients>>, health: Arc<Health>, metrics: Arc<Metrics>) -> Result<Served> {
        Ok(Served {
            not_before: 0,
            not_after: 0,
            complaint: None,
            config: RustlsConfig::from_config(nothing_to_serve()?),
            clients,
            health,
            metrics,
        })
    }

    /// For the listener; shows each new handshake the latest good certificate.
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Serves this pair from now on, unless the present one is the better one.
    ///
    /// # Errors
    /// When the new one has expired, or is not valid yet, and the present one is valid.
    pub fn take_up(&mut self, pair: Pair) -> Result<()> {
        let now = health::now();
        ensure!(
            pair.not_after > now || self.not_after <= now,
            "the certificate has expired; renew it"
        );
        ensure!(
            pair.not_before <= now || self.not_before > now || self.not_after <= now,
            "the certificate is not valid yet; set the clock that it was made by, or wait"
        );
        self.serve(pair)
    }

    /// Serves this pair, whether it is valid or not: nothing would be no better.
    pub(super) fn serve(&mut self, pair: Pair) -> Result<()> {
        (self.not_before, self.not_after) = (pair.not_before, pair.not_after);
        let config = pair.into_server_config(self.clients.clone())?;
        self.config.reload_from_config(config);
        self.complaint = None;
        self.health.certificate_is_valid(self.not_before, self.not_after);
        self.metrics.certificate_expires(self.not_after);
        Ok(())
    }

    /// All is well with what is there to be served.
    pub fn content(&mut self) {
        self.complaint = None;
    }

    /// Something else was taken up.
    pub fn reloaded(&self) {
        self.metrics.reloaded(Source::Certificate, true);
    }

    /// What is there cannot be served; said once.
    pub fn complain(&mut self, error: &anyhow::Error) {
        let complaint = format!("{error:#}");
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!(error = complaint, "kept the present certificate");
            self.metrics.reloaded(Source::Certificate, false);
            self.complaint = Some(complaint);
        }
    }
}
