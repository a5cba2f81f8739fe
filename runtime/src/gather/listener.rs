//! Connections of clients: how many there may be, and how long one may do nothing.
//!
//! It does not know what is answered.
use super::answer::Held;
use super::patience::{Patience, Patient};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// A longer head of a request is refused.
const LONGEST_HEAD: usize = 64 * 1024;
/// After a failure to accept, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// What clients are allowed.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at once; more wait.
    pub connections: usize,
    /// For a head, and for nothing at all of an answer.
    pub timeout: Duration,
    /// Between requests.
    pub idle: Duration,
}

/// Serves until `stop`, and then for as long as requests in progress take, at most `grace`.
pub async fn serve<A, F>(listener: TcpListener, bounds: Bounds, answer: A, stop: CancellationToken, grace: Duration)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<Held>> + Send + 'static,
{
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(bounds.idle)
        .max_buf_size(LONGEST_HEAD);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = stop.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        let (Ok(place), Ok((stream, _))) = (place, accepted) else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Small answers must not wait for more to say.
        let _ = stream.set_nodelay(true);
        let patience = Patience::new(bounds.timeout);
        let answer = answer.clone();
        let heard = Arc::clone(&patience);
        let service = service_fn(move |request| {
            heard.head_has_come();
            let (heard, answer) = (Arc::clone(&heard), answer(request));
            async move {
                let answer = answer.await;
                heard.answered();
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = http.serve_connection(TokioIo::new(Patient::new(stream, patience)), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection has failed");
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(grace, graceful.shutdown()).await;
}
