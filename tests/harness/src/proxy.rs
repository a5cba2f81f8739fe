//! A way to the API server that can be cut and mended, for who must live without it for a while.
use serde_json::Value;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Forwards connections, unless it is cut. It ends with the test's runtime.
pub struct Proxy {
    kubeconfig: PathBuf,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    is_cut: AtomicBool,
    cut: Notify,
}

impl Proxy {
    /// A proxy to the server of `kubeconfig`; `copy` becomes a kubeconfig that goes through it.
    ///
    /// # Panics
    /// When the kubeconfig cannot be understood, or no port is free.
    pub async fn start(kubeconfig: &Path, copy: PathBuf) -> Proxy {
        let text = fs::read_to_string(kubeconfig).expect("failed to read the kubeconfig");
        let mut config: Value = serde_json::from_str(&text).expect("the kubeconfig is JSON");
        let server = &mut config["clusters"][0]["cluster"]["server"];
        let address = server.as_str().and_then(|url| url.strip_prefix("https://"));
        let target: SocketAddr = address
            .and_then(|address| address.parse().ok())
            .expect("a server's address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("failed to listen");
        let own = listener.local_addr().expect("an address");
        *server = format!("https://{own}").into();
        fs::write(&copy, config.to_string()).expect("failed to write the kubeconfig");
        let state = Arc::<State>::default();
        tokio::spawn(forward_all(listener, target, Arc::clone(&state)));
        Proxy {
            kubeconfig: copy,
            state,
        }
    }

    /// The kubeconfig that goes through it.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Ends all connections, and lets no new one through.
    pub fn cut(&self) {
        self.state.is_cut.store(true, Ordering::SeqCst);
        self.state.cut.notify_waiters();
    }

    /// Lets connections through again.
    pub fn mend(&self) {
        self.state.is_cut.store(false, Ordering::SeqCst);
    }
}

async fn forward_all(listener: TcpListener, target: SocketAddr, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if !state.is_cut.load(Ordering::SeqCst) {
            tokio::spawn(forward(client, target, Arc::clone(&state)));
        }
    }
}

async fn forward(mut client: TcpStream, target: SocketAddr, state: Arc<State>) {
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        () = state.cut.notified() => {}
    }
}
