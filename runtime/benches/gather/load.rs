//! Clients that ask again as soon as they are answered, and what they saw.
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::time::{Duration, Instant};

/// What is asked.
pub struct Load {
    client: Client<HttpConnector, Full<Bytes>>,
    targets: Vec<Uri>,
}

/// How long the answers took.
pub struct Report {
    latencies: Vec<Duration>,
    time: Duration,
}

impl Load {
    /// One server.
    pub fn of(address: &str) -> Load {
        Load::of_all(&[address.to_owned()])
    }

    /// All of these at once; the slowest counts.
    pub fn of_all(addresses: &[String]) -> Load {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Load {
            client: Client::builder(TokioExecutor::new()).build(connector),
            targets: addresses
                .iter()
                .map(|address| format!("http://{address}/").parse().unwrap())
                .collect(),
        }
    }

    /// So many clients for this long.
    pub async fn go(&self, clients: usize, time: Duration) -> Report {
        let start = Instant::now();
        let all = join_all((0..clients).map(|_| async {
            let mut latencies = Vec::new();
            while start.elapsed() < time {
                let begun = Instant::now();
                join_all(self.targets.iter().map(|target| self.ask(target))).await;
                latencies.push(begun.elapsed());
            }
            latencies
        }))
        .await;
        let mut latencies: Vec<Duration> = all.into_iter().flatten().collect();
        latencies.sort_unstable();
        Report {
            latencies,
            time: start.elapsed(),
        }
    }

    async fn ask(&self, target: &Uri) {
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.uri_mut() = target.clone();
        let answer = self.client.request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers().get("outrigger-missing"), None);
        answer.into_body().collect().await.unwrap();
    }
}

impl Report {
    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    pub fn rate(&self) -> f64 {
        self.count() as f64 / self.time.as_secs_f64()
    }

    pub fn quantile(&self, share: f64) -> Duration {
        let place = ((self.count() - 1) as f64 * share).round() as usize;
        self.latencies[place]
    }

    pub fn print(&self, name: &str) {
        let of = |share| self.quantile(share).as_secs_f64() * 1e3;
        println!(
            "  {name}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms ({} requests)",
            of(0.5),
            of(0.99),
            of(0.999),
            self.count()
        );
    }
}
