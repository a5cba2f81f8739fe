//! The plain fan-out: no deadline, no bounds, no metrics; the same HTTP client and server.
use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, Uri, body::Incoming, service::service_fn};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

/// `leaves` are addresses with commas.
pub async fn serve(leaves: &str) {
    let leaves: Arc<[Uri]> = leaves
        .split(',')
        .map(|leaf| format!("http://{leaf}/").parse().unwrap())
        .collect();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    eprintln!("listen={}", listener.local_addr().unwrap());
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (client, leaves) = (client.clone(), Arc::clone(&leaves));
        let answer = move |request: Request<Incoming>| {
            let (client, leaves) = (client.clone(), Arc::clone(&leaves));
            async move { Ok::<_, Infallible>(Response::new(Full::new(fan_out(&client, &leaves, &request).await))) }
        };
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move { http.serve_connection(TokioIo::new(stream), service_fn(answer)).await });
    }
}

async fn fan_out(client: &Client<HttpConnector, Full<Bytes>>, leaves: &[Uri], request: &Request<Incoming>) -> Bytes {
    let asked = leaves.iter().map(|leaf| async {
        let mut to_leaf = Request::new(Full::new(Bytes::new()));
        *to_leaf.method_mut() = request.method().clone();
        *to_leaf.uri_mut() = leaf.clone();
        let answer = client.request(to_leaf).await.unwrap();
        answer.into_body().collect().await.unwrap().to_bytes()
    });
    let mut whole = BytesMut::new();
    join_all(asked)
        .await
        .iter()
        .for_each(|body| whole.extend_from_slice(body));
    whole.freeze()
}
