//! Sockets of the webhook: TLS, HTTP/1.1, and how long a connection may do nothing.
//!
//! Two opposite demands meet here. The API server keeps idle connections for 90 s and takes one that is closed under it for
//! a failed call; and anyone may open a connection and say nothing. So the time to the first request is short, and the
//! time between requests long.
use anyhow::Context;
use axum::Router;
use axum_server::{
    Handle, Server,
    accept::NoDelayAcceptor,
    tls_rustls::{RustlsAcceptor, RustlsConfig},
};
use hyper_util::rt::TokioTimer;
use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

/// Most bytes read ahead on a connection, and so the longest request head.
const READ_AHEAD: usize = 64 * 1024;

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
    router: Router,
    handle: Handle<SocketAddr>,
) -> anyhow::Result<()> {
    let acceptor = acceptor(tls, timers);
    let mut server = axum_server::from_tcp(socket)
        .context("failed to use the socket")?
        .acceptor(acceptor);
    set_timers(&mut server, timers);
    server
        .http1_only()
        .first_request_timeout(timers.first_request)
        .accept_error_handler(|peer, error| tracing::debug!(?peer, %error, "a connection came to nothing"))
        .handle(handle)
        .serve(router.into_make_service())
        .await
        .context("failed to serve")
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
    use axum_server::accept::Accept;
    use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
    use std::{fs, sync::Arc};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn accepted_sockets_send_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let paths = authority::ensure(directory.path(), &[]).unwrap();
        let pair = Pair::from_pem(&fs::read(&paths.certificate).unwrap(), &fs::read(&paths.key).unwrap()).unwrap();
        let acceptor = acceptor(
            RustlsConfig::from_config(pair.into_server_config().unwrap()),
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
