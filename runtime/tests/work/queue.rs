//! The queue as others see it: items go in, results come out.
use crate::worker::eventually;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::{self, Context};
use std::collections::BTreeMap;
use std::time::Duration;

pub struct Queue {
    pub context: Context,
    pub name: &'static str,
}

/// A result.
#[derive(Debug, Clone)]
pub struct Found {
    pub id: String,
    pub attempt: String,
    pub body: String,
    pub message: StreamMessage,
}

impl Queue {
    pub async fn connect(url: &str) -> Queue {
        let options = async_nats::ConnectOptions::new().retry_on_initial_connect();
        let servers: Vec<&str> = url.split(',').collect();
        let client = options.connect(servers.as_slice()).await.unwrap();
        let mut context = jetstream::new(client);
        context.set_timeout(Duration::from_secs(5));
        Queue {
            context,
            name: "orders",
        }
    }

    /// Puts an item in, as a client of NATS does, as soon as the stream is there.
    pub async fn put(&self, id: &str, body: &str) {
        let message = || {
            jetstream::message::PublishMessage::build()
                .message_id(id)
                .payload(body.to_owned().into())
        };
        let put = async || {
            let sent = self
                .context
                .send_publish(format!("{}.items", self.name), message())
                .await
                .ok()?;
            sent.await.ok()
        };
        eventually("an item is stored", put).await;
    }

    pub async fn stream(&self, name: &str) -> jetstream::stream::Stream {
        let get = async || self.context.get_stream(name).await.ok();
        eventually(&format!("stream {name}"), get).await
    }

    /// How many messages are in a stream.
    pub async fn count(&self, name: &str) -> u64 {
        self.stream(name).await.cached_info().state.messages
    }

    pub async fn waits_for(&self, stream: &str, count: u64) {
        eventually(&format!("{count} messages in {stream}"), async || {
            (self.count(stream).await == count).then_some(())
        })
        .await;
    }

    pub async fn results(&self) -> Vec<Found> {
        let stream = self.stream(&format!("{}-results", self.name)).await;
        let state = &stream.cached_info().state;
        let mut found = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            if let Ok(message) = stream.get_raw_message(sequence).await {
                let header = |name: &str| {
                    message
                        .headers
                        .get(name)
                        .map(|value| value.to_string())
                        .unwrap_or_default()
                };
                found.push(Found {
                    id: header("Outrigger-Item-Id"),
                    attempt: header("Outrigger-Attempt"),
                    body: String::from_utf8_lossy(&message.payload).into_owned(),
                    message,
                });
            }
        }
        found
    }

    /// Waits for one result of each of so many items.
    pub async fn results_of(&self, items: usize) -> BTreeMap<String, Found> {
        let all = async || {
            let found: BTreeMap<_, _> = self
                .results()
                .await
                .into_iter()
                .map(|found| (found.id.clone(), found))
                .collect();
            (found.len() >= items).then_some(found)
        };
        eventually(&format!("results of {items} items"), all).await
    }
}
