//! Load: connections over TLS that are kept open, each asking again as soon as it is answered. Every answer is checked.
use crate::{process::Process, question::Question};
use anyhow::{Context, Result, bail, ensure};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::{Builder, Runtime},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const UID: usize = 36;
/// Of a uid, these last characters count the requests.
const COUNTER: usize = 12;

/// Connections to one server, and the one thread that keeps them busy.
pub struct Load {
    runtime: Runtime,
    connections: Vec<Connection>,
}

impl Load {
    /// Opens `count` connections, and looks at the first answer on each.
    pub fn open(server: &Process, question: &Question, count: usize) -> Result<Load> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("failed to start")?;
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..count {
                connections.push(Connection::open(server, question).await?);
            }
            anyhow::Ok(connections)
        })?;
        Ok(Load { runtime, connections })
    }

    /// Asks for this long; returns how long each answer took.
    pub fn run(&mut self, time: Duration) -> Result<Vec<Duration>> {
        let deadline = Instant::now() + time;
        let connections = std::mem::take(&mut self.connections);
        self.runtime.block_on(async {
            let asking = connections
                .into_iter()
                .map(|connection| tokio::spawn(connection.ask_until(deadline)));
            let mut latencies = Vec::new();
            for asked in asking.collect::<Vec<_>>() {
                let (connection, took) = asked.await.context("failed to ask")??;
                self.connections.push(connection);
                latencies.extend(took);
            }
            Ok(latencies)
        })
    }
}

struct Connection {
    stream: TlsStream<TcpStream>,
    request: Vec<u8>,
    uid_in_request: usize,
    asked: u64,
    /// Of the first answer, which was looked at whole: how long it is, and where it has the uid.
    length: usize,
    uid_in_answer: usize,
    received: Vec<u8>,
}

impl Connection {
    async fn open(server: &Process, question: &Question) -> Result<Connection> {
        let (request, uid_in_request) = question.request()?;
        let mut connection = Connection {
            stream: connect(server).await.context("failed to connect")?,
            request,
            uid_in_request,
            asked: 0,
            length: 0,
            uid_in_answer: 0,
            received: Vec::with_capacity(1 << 16),
        };
        let body = connection.exchange().await?;
        let answer = &connection.received[body..];
        question.check(answer)?;
        let uid = question.uid().as_bytes();
        let uid_in_answer = answer.windows(UID).position(|window| window == uid);
        connection.uid_in_answer = uid_in_answer.context("the answer has no uid")?;
        connection.length = answer.len();
        Ok(connection)
    }

    async fn ask_until(mut self, deadline: Instant) -> Result<(Self, Vec<Duration>)> {
        let mut took = Vec::new();
        let mut started = Instant::now();
        while started < deadline {
            self.asked += 1;
            let number = format!("{:0width$}", self.asked, width = COUNTER);
            let uid = self.uid_in_request..self.uid_in_request + UID;
            self.request[uid][UID - COUNTER..].copy_from_slice(number.as_bytes());
            let body = self.exchange().await?;
            self.check(&self.received[body..])?;
            let ended = Instant::now();
            took.push(ended - started);
            started = ended;
        }
        Ok((self, took))
    }

    fn check(&self, answer: &[u8]) -> Result<()> {
        ensure!(
            answer.len() == self.length,
            "an answer of another length than the first"
        );
        let uid = &self.request[self.uid_in_request..][..UID];
        ensure!(
            &answer[self.uid_in_answer..][..UID] == uid,
            "the answer to another review"
        );
        Ok(())
    }

    /// Sends the request and receives an answer; returns where its body begins.
    async fn exchange(&mut self) -> Result<usize> {
        self.stream.write_all(&self.request).await?;
        self.stream.flush().await?;
        self.received.clear();
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("a server closed a connection");
            }
            if let Some((body, length)) = body_of(&self.received)?
                && self.received.len() >= body + length
            {
                return Ok(body);
            }
        }
    }
}

/// Where the body begins and how long it is, once the head is there.
fn body_of(received: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "got {head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    Ok(Some((
        end + 4,
        length.context("a response of unknown length")?.parse()?,
    )))
}

async fn connect(server: &Process) -> Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&server.authority)?)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let socket = TcpStream::connect(server.listen).await?;
    socket.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, socket).await?)
}
