//! An application that speaks HTTP: each item is one POST.
use super::{Handed, Outcome};
use crate::work::backoff::retry_after;
use crate::work::names::{ATTEMPT, DEADLINE, ITEM, PASSED_ON, one_line};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};
use hyper_util::client::legacy::{Client, Error, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

/// Idle connections are not kept for long: an application that closes one the moment it is used costs an attempt.
const IDLE: Duration = Duration::from_secs(1);
/// So much of an answer is told as the reason.
const REASON_BYTES: usize = 4096;

/// The client.
#[derive(Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    ready: Option<Uri>,
    timeout: Duration,
}

impl Http {
    pub fn new(uri: Uri, ready: Option<String>, timeout: Duration) -> Http {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        let ready = ready.and_then(|path| {
            let mut parts = uri.clone().into_parts();
            parts.path_and_query = path.parse().ok();
            Uri::from_parts(parts).ok()
        });
        Http {
            client,
            uri,
            ready,
            timeout,
        }
    }

    pub async fn is_up(&self) -> bool {
        let Some(ready) = &self.ready else {
            let host = self
                .uri
                .host()
                .unwrap_or("127.0.0.1")
                .trim_matches(['[', ']'])
                .to_owned();
            let connecting = tokio::net::TcpStream::connect((host, self.uri.port_u16().unwrap_or(80)));
            return matches!(timeout(Duration::from_secs(1), connecting).await, Ok(Ok(_)));
        };
        let answered = timeout(Duration::from_secs(2), self.client.get(ready.clone())).await;
        matches!(answered, Ok(Ok(answer)) if answer.status().is_success())
    }

    pub async fn call(&self, item: &Handed, longest: usize) -> Outcome {
        match timeout(self.timeout, self.exchange(item, longest)).await {
            Ok(outcome) => outcome,
            Err(_) => Outcome::Failed {
                reason: format!("no answer within {} s", self.timeout.as_secs_f64()),
                after: None,
            },
        }
    }

    async fn exchange(&self, item: &Handed, longest: usize) -> Outcome {
        match self.client.request(self.request(item)).await {
            Ok(answer) => judge(answer, longest).await,
            Err(error) if error.is_connect() => Outcome::Away { reason: whole(&error) },
            Err(error) => Outcome::Failed {
                reason: whole(&error),
                after: None,
            },
        }
    }

    fn request(&self, item: &Handed) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(item.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        // Also of an empty item: small servers rely on it.
        request.headers_mut().insert(CONTENT_LENGTH, item.body.len().into());
        let deadline = (OffsetDateTime::now_utc() + self.timeout)
            .format(&Rfc3339)
            .unwrap_or_default();
        let own = [
            (ITEM, item.id.clone()),
            (ATTEMPT, item.attempt.to_string()),
            (DEADLINE, deadline),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        for (name, value) in item.headers.iter().cloned().chain(own) {
            // What came through NATS need not be fit for HTTP.
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

async fn judge(answer: Response<Incoming>, longest: usize) -> Outcome {
    let (status, headers) = (answer.status(), answer.headers().clone());
    if status.is_success() {
        return match Limited::new(answer.into_body(), longest).collect().await {
            Ok(body) => Outcome::Done {
                body: body.to_bytes(),
                headers: along(&headers),
            },
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Outcome::Refused {
                reason: format!("the result is above {longest} bytes, more than the NATS server takes"),
            },
            Err(error) => Outcome::Failed {
                reason: format!("the answer broke off: {error}"),
                after: None,
            },
        };
    }
    let asked = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = asked.and_then(|value| retry_after(value, OffsetDateTime::now_utc()));
    let said = Limited::new(answer.into_body(), REASON_BYTES).collect().await;
    let said = said
        .map(|body| one_line(&String::from_utf8_lossy(&body.to_bytes())))
        .unwrap_or_default();
    let reason = if said.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {said}")
    };
    if is_temporary(status) {
        Outcome::Failed { reason, after }
    } else {
        Outcome::Refused { reason }
    }
}

fn is_temporary(status: StatusCode) -> bool {
    let named = [
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::TOO_EARLY,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    status.is_server_error() || named.contains(&status)
}

fn along(headers: &HeaderMap) -> Vec<(String, String)> {
    let kept = headers.iter().filter(|(name, _)| PASSED_ON.contains(&name.as_str()));
    let text = |(name, value): (&HeaderName, &HeaderValue)| Some((name.to_string(), value.to_str().ok()?.to_owned()));
    kept.filter_map(text).collect()
}

/// The error with what caused it, which has the part that one wants to know.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    one_line(&text)
}
