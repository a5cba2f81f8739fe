//! Sockets of the webhook: TLS, HTTP/1.1, and how long a connection may do nothing.
//!
//! Two opposite demands meet here. The API server keeps idle connections for 90 s and takes one that is closed under it for
//! a failed call; and anyone may open a connection and say nothing. So the time to the first request is short, and the
//! time between requests long.
use crate::observe::metrics::Metrics;
use anyhow::Context;
use axum::{Extension, Router, middleware::AddExtension};
use axum_server::{
    Handle, Server,
    accept::{Accept, NoDelayAcceptor},
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use std::{
    fs,
    future::ready,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tower_layer::Layer;

/// From so many bytes on, a request head that has not ended is refused (431). It is looked at after each read, which may
/// bring as many again: the longest head is just under twice this.
const READ_AHEAD: usize = 64 * 1024;
/// Most connections at once, unless the process may have fewer files open.
const CONNECTIONS: usize = 1024;
/// Descriptors that are left for the admin port, the files and their watch.
const RESERVED: usize = 128;

/// How long a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From there to the end of the first request's head.
    pub first_request: Duration,
    /// From one response to the end of the next request's head (hyper's header timer also runs while idle).
    pub idle: Duration,
}

impl Default for Timers {
    /// Handshake and first request within 10 s together; idle for well over the API server's 90 s.
    fn default() -> Self {
        Timers {
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(5),
            idle: Duration::from_secs(180),
        }
    }
}

/// Opens a listening socket.
///
/// # Errors
/// When the address is taken or not this machine's.
pub fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let socket = TcpListener::bind(address).with_context(|| format!("failed to listen on {address}"))?;
    let bound = socket
        .local_addr()
        .context("failed to read the address of a listening socket")?;
    Ok((socket, bound))
}

/// Serves HTTPS until `handle` ends it.
///
/// # Errors
/// When the socket cannot be used.
pub async fn serve(
    socket: TcpListener,
    tls: RustlsConfig,
    timers: Timers,
    cap: Cap,
    router: Router,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let acceptor = cap.on(acceptor(tls, timers));
    let mut server = axum_server::from_tcp(socket)
        .context("failed to use the socket")?
        .acceptor(acceptor);
    set_timers(&mut server, timers);
    server
        .http1_only()
        .first_request_timeout(timers.first_request)
        .accept_error_handler(|peer, error| tracing::debug!(?peer, ?error, "a connection came to nothing"))
        .handle(handle)
        .serve(router.into_make_service())
        .await
        .context("failed to serve")
}

/// How many connections there may be, and where those beyond are counted.
#[derive(Debug, Clone)]
pub struct Cap {
    free: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Cap {
    /// As many as suit the API server and leave descriptors for everything else.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let most = open_files().map_or(CONNECTIONS, |files| {
            files.saturating_sub(RESERVED).clamp(1, CONNECTIONS)
        });
        Cap::at(most, metrics)
    }

    /// At most `connections` at once.
    pub fn at(connections: usize, metrics: Arc<Metrics>) -> Self {
        let free = Arc::new(Semaphore::new(connections));
        Cap { free, metrics }
    }

    /// Accepts as `inner` does, up to the cap.
    pub(crate) fn on<A>(self, inner: A) -> Capped<A> {
        Capped { cap: self, inner }
    }
}

/// How many files the process may have open, where the system says so.
fn open_files() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Closes a connection at once when there are too many: one that waits would hold a descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Capped<A> {
    cap: Cap,
    inner: A,
}

impl<S, A> Accept<TcpStream, S> for Capped<A>
where
    S: Send + 'static,
    A: Accept<TcpStream, S, Future: Send + 'static, Stream: Send + 'static, Service: Send + 'static>,
{
    type Stream = A::Stream;
    // The service lives as long as its connection, and so does what it carries.
    type Service = AddExtension<A::Service, Arc<OwnedSemaphorePermit>>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let Ok(permit) = Arc::clone(&self.cap.free).try_acquire_owned() else {
            self.cap.metrics.connection_refused();
            return Box::pin(ready(Err(io::Error::other("there are too many connections"))));
        };
        let accepting = self.inner.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepting.await?;
            Ok((stream, Extension(Arc::new(permit)).layer(service)))
        })
    }
}

/// Without TCP_NODELAY the API server sees answers 40 ms late, whenever one takes two packets.
fn acceptor(tls: RustlsConfig, timers: Timers) -> RustlsAcceptor<NoDelayAcceptor> {
    RustlsAcceptor::new(tls)
        .handshake_timeout(timers.handshake)
        .acceptor(NoDelayAcceptor::new())
}

fn set_timers<A>(server: &mut Server<SocketAddr, A>, timers: Timers) {
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timers.idle)
        .max_buf_size(READ_AHEAD);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Pair, authority};
    use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};

    #[tokio::test]
    async fn accepted_sockets_send_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let paths = authority::ensure(directory.path(), &[]).unwrap();
        let pair = Pair::from_pem(&fs::read(&paths.certificate).unwrap(), &fs::read(&paths.key).unwrap()).unwrap();
        let acceptor = acceptor(
            RustlsConfig::from_config(pair.into_server_config(None).unwrap()),
            Timers::default(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(&paths.authority).unwrap())
                .unwrap();
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap();
            let config = config.with_root_certificates(roots).with_no_client_auth();
            let socket = TcpStream::connect(address).await.unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let _ = connector.connect("localhost".try_into().unwrap(), socket).await;
        });
        let (socket, _) = listener.accept().await.unwrap();
        assert!(!socket.nodelay().unwrap());
        let (stream, _) = acceptor.accept(socket, ()).await.unwrap();
        assert!(stream.get_ref().0.nodelay().unwrap());
    }
}
