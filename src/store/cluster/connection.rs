//! The way to the API server: where it is, who we are, and when it last answered.
use anyhow::{Context, Result};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tower::util::MapResponseLayer;

/// A server that does not accept a connection in this time is away.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Where the API server is, and who we are.
#[derive(Debug, Clone)]
pub struct Connection {
    config: Config,
}

impl Connection {
    /// Reads `kubeconfig`; without one, finds the cluster as kubectl does: `KUBECONFIG`, `~/.kube/config`, or the service
    /// account of the Pod that this runs in. Nobody is called yet.
    ///
    /// # Errors
    /// When there is nothing to go by, or it cannot be used.
    pub async fn find(kubeconfig: Option<&Path>) -> Result<Connection> {
        let mut config = match kubeconfig {
            Some(path) => {
                let unusable = || format!("failed to use the kubeconfig {}", path.display());
                let kubeconfig = Kubeconfig::read_from(path).with_context(unusable)?;
                let options = KubeConfigOptions::default();
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .with_context(unusable)?
            }
            None => Config::infer()
                .await
                .context("found no cluster; give --kubeconfig, or --policies with a directory to serve without one")?,
        };
        config.connect_timeout = Some(CONNECT_TIME);
        Ok(Connection { config })
    }

    /// A client that belongs to the present runtime.
    ///
    /// # Errors
    /// When certificates or credentials cannot be used.
    pub fn plain_client(&self) -> Result<Client> {
        Client::try_from(self.config.clone()).context("failed to make a client")
    }

    /// A client that belongs to the present runtime, and the moment of its last contact.
    ///
    /// # Errors
    /// When certificates or credentials cannot be used.
    pub(super) fn client(&self) -> Result<(Client, Contact)> {
        let contact = Contact::default();
        let seen = contact.clone();
        let builder = ClientBuilder::try_from(self.config.clone()).context("failed to make a client")?;
        let layer = MapResponseLayer::new(move |response: axum::http::Response<_>| {
            if response.status().is_success() {
                seen.made();
            }
            response
        });
        Ok((builder.with_layer(&layer).build(), contact))
    }
}

/// When the API server last did what it was asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Contact(Arc<AtomicI64>);

impl Contact {
    fn made(&self) {
        self.0.store(crate::observe::health::now(), Ordering::Relaxed);
    }

    /// In seconds since 1970; 0: never.
    pub(super) fn last(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}
