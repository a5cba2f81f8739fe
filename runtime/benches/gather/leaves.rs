//! Leaves in one process: each answers after its own time.
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// What is slow takes this long.
const SLOW: Duration = Duration::from_millis(100);

/// `manner` has a leaf's time in microseconds for each, and `/N` for one request in N that is slow.
pub async fn serve(manner: &str) {
    let mut addresses = Vec::new();
    for leaf in manner.split(',') {
        let (time, one_in) = leaf.split_once('/').unwrap_or((leaf, "0"));
        let (time, one_in) = (Duration::from_micros(time.parse().unwrap()), one_in.parse().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap().to_string());
        tokio::spawn(accept(listener, time, one_in));
    }
    eprintln!("listen={}", addresses.join(","));
    std::future::pending().await
}

async fn accept(listener: TcpListener, time: Duration, one_in: usize) {
    let count = Arc::new(AtomicUsize::new(rand::random_range(0..one_in.max(1))));
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let count = Arc::clone(&count);
        let answer = move |_: Request<Incoming>| {
            let slow = one_in > 0 && count.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_in);
            let time = if slow { SLOW } else { time };
            async move {
                if !time.is_zero() {
                    tokio::time::sleep(time).await;
                }
                let body = Full::new(Bytes::from_static(b"{\"hits\": [{\"id\": 1, \"score\": 0.5}]}\n"));
                Ok::<_, Infallible>(
                    Response::builder()
                        .header("content-type", "application/json")
                        .body(body)
                        .unwrap(),
                )
            }
        };
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service_fn(answer)).await });
    }
}
