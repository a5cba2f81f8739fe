//! An HTTP/1.1 client that can also misbehave.
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, SupportedProtocolVersion,
    client::WantsClientCert,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const PATIENCE: Duration = Duration::from_secs(20);

/// A response, whole.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// A connection over TLS.
pub struct Connection {
    pub stream: TlsStream<TcpStream>,
}

/// TLS as the API server does it, but for the protocols that are offered.
pub async fn handshake(address: SocketAddr, authority: &Path, alpn: &[&str]) -> io::Result<TlsStream<TcpStream>> {
    let mut config = speaking(rustls::DEFAULT_VERSIONS, authority).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    connect(address, config).await
}

/// TLS of one version, with a certificate and its key, or none.
pub async fn try_handshake(
    address: SocketAddr,
    authority: &Path,
    version: &'static SupportedProtocolVersion,
    certificate: Option<(PathBuf, PathBuf)>,
) -> io::Result<TlsStream<TcpStream>> {
    let config = speaking(&[version], authority);
    let config = match certificate {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    connect(address, config).await
}

fn speaking(
    versions: &[&'static SupportedProtocolVersion],
    authority: &Path,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&fs::read(authority).unwrap()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
}

async fn connect(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("outrigger.outrigger-system.svc").unwrap();
    let socket = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

impl Connection {
    pub async fn open(address: SocketAddr, authority: &Path) -> Connection {
        let stream = handshake(address, authority, &["http/1.1"]).await.unwrap();
        Connection { stream }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Posts a review and returns the answer.
    pub async fn post(&mut self, body: impl AsRef<[u8]>) -> Response {
        self.ask("POST", "/mutate?timeout=5s", "content-type: application/json\r\n", body)
            .await
    }

    /// Posts a review to a server that may not want to answer.
    pub async fn try_post(&mut self, body: String) -> io::Result<Response> {
        let head = head("POST", "/mutate", "content-type: application/json\r\n", body.len());
        self.stream.write_all(format!("{head}{body}").as_bytes()).await?;
        self.stream.flush().await?;
        timeout(PATIENCE, read_response(&mut self.stream)).await?
    }

    /// `headers` are lines, each with its end.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Response {
        let body = body.as_ref();
        self.send(head(method, path, headers, body.len())).await;
        self.send(body).await;
        self.response().await
    }

    pub async fn response(&mut self) -> Response {
        timeout(PATIENCE, read_response(&mut self.stream))
            .await
            .expect("no response in time")
            .expect("no response")
    }

    /// Whether the other side closes within this time, whatever it says before.
    pub async fn is_closed_within(&mut self, time: Duration) -> bool {
        let mut rest = Vec::new();
        timeout(time, self.stream.read_to_end(&mut rest)).await.is_ok()
    }
}

pub fn head(method: &str, path: &str, headers: &str, length: usize) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: outrigger\r\n{headers}content-length: {length}\r\n\r\n")
}

/// A request without TLS on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head("GET", path, "", 0).as_bytes()).await.unwrap();
    timeout(PATIENCE, read_response(&mut stream))
        .await
        .expect("no response in time")
        .expect("no response")
}

pub async fn read_response(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Response> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let mut response = Response {
        status,
        head,
        body: String::new(),
    };
    let length = response
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    response.body = String::from_utf8_lossy(&body).into_owned();
    Ok(response)
}
