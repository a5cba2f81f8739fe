//! One port in front of several replicas, as a Service is: each new connection goes to the next one.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Forwards connections to those behind it. It ends with the test's runtime.
pub struct Balancer {
    port: u16,
    behind: Arc<Mutex<Vec<SocketAddr>>>,
    disconnect: Arc<Notify>,
}

impl Balancer {
    /// One with nobody behind it: connections are closed.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start() -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("failed to listen");
        let port = listener.local_addr().expect("an address").port();
        let behind = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let disconnect = Arc::<Notify>::default();
        tokio::spawn(forward_all(listener, Arc::clone(&behind), Arc::clone(&disconnect)));
        Balancer {
            port,
            behind,
            disconnect,
        }
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// One more replica is ready.
    pub fn add(&self, replica: SocketAddr) {
        self.behind.lock().expect("a task panicked").push(replica);
    }

    /// A replica is ready no more. Connections to it stay.
    pub fn remove(&self, replica: SocketAddr) {
        self.behind
            .lock()
            .expect("a task panicked")
            .retain(|behind| *behind != replica);
    }

    /// Ends all connections.
    pub fn disconnect(&self) {
        self.disconnect.notify_waiters();
    }
}

async fn forward_all(listener: TcpListener, behind: Arc<Mutex<Vec<SocketAddr>>>, disconnect: Arc<Notify>) {
    while let Ok((client, _)) = listener.accept().await {
        let (behind, disconnect) = (Arc::clone(&behind), Arc::clone(&disconnect));
        tokio::spawn(async move {
            tokio::select! {
                () = forward(client, behind) => {}
                () = disconnect.notified() => {}
            }
        });
    }
}

/// A replica that is gone is passed over, as one is whose node has noticed.
async fn forward(mut client: TcpStream, behind: Arc<Mutex<Vec<SocketAddr>>>) {
    let candidates: Vec<SocketAddr> = {
        let mut behind = behind.lock().expect("a task panicked");
        if !behind.is_empty() {
            behind.rotate_left(1);
        }
        behind.clone()
    };
    for candidate in candidates {
        if let Ok(mut replica) = TcpStream::connect(candidate).await {
            let _ = client.set_nodelay(true);
            let _ = replica.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut replica).await;
            return;
        }
    }
}
