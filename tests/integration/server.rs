//! The webhook within the test's own process, so that its timers, bounds and decisions can be chosen.
use crate::client::Connection;
use axum_server::Handle;
use outrigger::{
    observe::{health::Health, metrics::Metrics},
    tls::{
        authority::Paths,
        reload::{Certificate, Origin},
    },
    webhook::{
        self, Admit, Webhook,
        limits::Limits,
        listener::{self, Cap, Timers},
    },
};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;

pub struct Server {
    pub address: SocketAddr,
    pub authority: PathBuf,
    pub metrics: Arc<Metrics>,
    handle: Handle<SocketAddr>,
    _directory: TempDir,
}

/// What differs from the real thing.
pub struct Setup {
    pub timers: Timers,
    pub limits: Limits,
    pub admit: Admit,
    pub connections: usize,
}

impl Default for Setup {
    fn default() -> Self {
        Setup {
            timers: Timers::default(),
            limits: Limits::default(),
            admit: outrigger_engine::admit,
            connections: 1024,
        }
    }
}

impl Setup {
    pub fn deciding_by(admit: Admit) -> Setup {
        Setup {
            admit,
            ..Setup::default()
        }
    }

    /// Handshake and first request within `short`, idle for `long`.
    pub fn timed(short: Duration, long: Duration) -> Setup {
        Setup {
            timers: Timers {
                handshake: short,
                first_request: short,
                idle: long,
            },
            ..Setup::default()
        }
    }
}

impl Server {
    pub async fn start(setup: Setup) -> Server {
        let directory = tempfile::tempdir().unwrap();
        let metrics: Arc<Metrics> = Arc::default();
        let origin = Origin::Own {
            directory: directory.path().into(),
            names: vec![],
        };
        let certificate = Certificate::open(origin, None, Arc::<Health>::default(), Arc::clone(&metrics)).unwrap();
        let (socket, address) = listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let handle = Handle::new();
        let webhook = Webhook::new(Arc::default(), Arc::clone(&metrics), setup.limits).deciding_by(setup.admit);
        let router = webhook::router(webhook);
        tokio::spawn(listener::serve(
            socket,
            certificate.config(),
            setup.timers,
            Cap::at(setup.connections, Arc::clone(&metrics)),
            router,
            handle.clone(),
        ));
        let authority = Paths::new(directory.path()).authority;
        Server {
            address,
            authority,
            metrics,
            handle,
            _directory: directory,
        }
    }

    pub async fn connect(&self) -> Connection {
        Connection::open(self.address, &self.authority).await
    }

    /// Panics unless the metrics have this line.
    pub fn assert_metric(&self, line: &str) {
        let text = self.metrics.text();
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}
