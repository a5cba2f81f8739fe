//! One item, from its delivery to its end.
//!
//! The order is what keeps items from being lost: the result (or the dead letter, or the count of attempts) is confirmed by the server
//! before the item is, and that confirmation is waited for too. Whatever breaks in between, the item comes again.
use super::application::{Handed, Outcome};
use super::attempts::{self, Record};
use super::names::{ATTEMPT, ITEM, PASSED_ON, id, is_among, token};
use super::publish::{Published, confirmed, rest};
use super::shared::{Held, Shared};
use super::streams::Queue;
use super::{backoff, dead};
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{AckKind, Message};
use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

/// Where nobody accepts connections, the item may go to another worker soon.
const AWAY: Duration = Duration::from_secs(1);
/// So long an item waits here for its turn, at most.
const LONGEST_QUEUE: Duration = Duration::from_millis(500);
/// Room for headers besides a result's body.
const HEADERS: usize = 4096;
/// So often a confirmation is asked for; then the item comes again.
const CONFIRMATIONS: u32 = 20;

/// An item that this worker has.
struct Item<'a> {
    shared: &'a Arc<Shared>,
    queue: &'a Queue,
    message: &'a Message,
    id: String,
    /// Its place in the stream and its time: no other item has the same.
    key: String,
    arrived: OffsetDateTime,
    delivered: i64,
}

/// Does with the item what there is to do, while the server is told that it is in progress.
pub async fn take(shared: Arc<Shared>, queue: Arc<Queue>, message: Message, _held: Held) {
    let Ok(place) = message.info() else { return };
    let key = format!("{}-{}", place.stream_sequence, place.published.unix_timestamp_nanos());
    let item = Item {
        id: id(message.headers.as_ref(), &key),
        key,
        arrived: place.published,
        delivered: place.delivered,
        shared: &shared,
        queue: &queue,
        message: &message,
    };
    tokio::select! {
        () = item.handle() => {}
        () = keep_alive(&message, queue.ack_wait() / 3) => {}
    }
}

async fn keep_alive(message: &Message, every: Duration) {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Where there is no connection, there is no way to tell.
        let _ = message.ack_with(AckKind::Progress).await;
    }
}

impl Item<'_> {
    async fn handle(&self) {
        let slot = tokio::select! {
            biased;
            () = self.shared.stop.cancelled() => return self.give_back(None).await,
            slot = self.shared.slots.acquire() => slot,
            // Others may have nothing to do meanwhile.
            () = sleep(LONGEST_QUEUE) => {
                self.shared.is_slow();
                return self.give_back(None).await;
            }
        };
        let Some(record) = self.record().await else {
            return self.give_back(None).await;
        };
        if let Some(wait) = record.wait() {
            return self.give_back(Some(wait)).await;
        }
        if record.attempts >= self.shared.args.handing.max_attempts {
            return self.bury(&record, &record.reason, record.attempts).await;
        }
        let outcome = tokio::select! {
            () = self.shared.hard_stop.cancelled() => {
                self.shared.metrics.attempt("returned");
                return self.give_back(None).await;
            }
            outcome = self.call(&record) => outcome,
        };
        drop(slot);
        self.settle(record, outcome).await;
    }

    /// What is known of earlier attempts; nothing when the worker must end first.
    async fn record(&self) -> Option<Record> {
        if self.delivered <= 1 {
            return Some(Record::default());
        }
        let mut pause = Duration::from_millis(50);
        loop {
            match attempts::read(self.queue, &self.shared.names.attempts.1, &self.key).await {
                Ok(record) => return Some(record),
                Err(error) => tracing::debug!(item = self.id, "{error:#}"),
            }
            if !rest(self.shared, &mut pause).await {
                return None;
            }
        }
    }

    async fn call(&self, record: &Record) -> Outcome {
        let shared = self.shared;
        let handed = Handed {
            id: self.id.clone(),
            attempt: record.attempts + 1,
            body: self.message.payload.clone(),
            headers: self.passed_on(),
        };
        let _in_flight = InFlight::new(shared);
        let start = Instant::now();
        let longest = shared.client.max_payload().saturating_sub(HEADERS);
        let outcome = shared.application.call(&handed, longest).await;
        shared.took(start.elapsed());
        shared.metrics.attempt_duration.observe(start.elapsed().as_secs_f64());
        outcome
    }

    fn passed_on(&self) -> Vec<(String, String)> {
        let Some(headers) = &self.message.headers else {
            return Vec::new();
        };
        let all = headers
            .iter()
            .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
        let kept = all.filter(|(name, _)| is_among(name.as_ref(), PASSED_ON));
        kept.map(|(name, value)| (name.to_string(), value.as_str().to_owned()))
            .collect()
    }

    async fn settle(&self, record: Record, outcome: Outcome) {
        match outcome {
            Outcome::Done { body, headers } => self.done(&record, body, headers).await,
            Outcome::Failed { reason, after } => self.failed(record, &reason, after).await,
            Outcome::Refused { reason } => self.bury(&record, &reason, record.attempts + 1).await,
            Outcome::Away { reason } => {
                tracing::debug!(item = self.id, "the application is away: {reason}");
                self.shared.metrics.attempt("away");
                self.shared.set_up(self.shared.application.is_up().await);
                self.give_back(Some(AWAY)).await;
            }
        }
    }

    async fn done(&self, record: &Record, body: Bytes, headers: Vec<(String, String)>) {
        if let Some((stream, subject)) = &self.shared.names.results {
            let message = || self.result(record, &body, &headers);
            loop {
                match confirmed(self.shared, subject, message).await {
                    Some(Published::Stored(ack)) => {
                        self.shared.metrics.result(ack.duplicate);
                        break;
                    }
                    Some(Published::Never(why)) => {
                        let reason = format!("the result cannot be published: {why}");
                        return self.bury(record, &reason, record.attempts + 1).await;
                    }
                    Some(Published::Full(why)) => {
                        let trouble = format!(
                            "stream {stream} is full, so that items wait: {why}; read and delete results, or raise its limits"
                        );
                        self.shared.set_trouble(Some(trouble));
                    }
                    None => return self.give_back(None).await,
                }
                if !rest(self.shared, &mut Duration::from_secs(1)).await {
                    return self.give_back(None).await;
                }
            }
            self.shared.set_trouble(None);
        }
        self.confirm(record).await;
        self.shared.metrics.attempt("done");
        let age = (OffsetDateTime::now_utc() - self.arrived).as_seconds_f64();
        self.shared.metrics.latency.observe(age.max(0.0));
    }

    /// Its id is the item's place, not its name: a name may come again, and its result must not be taken for this one.
    fn result(&self, record: &Record, body: &Bytes, answered: &[(String, String)]) -> PublishMessage {
        let mut headers = HeaderMap::new();
        let trace = self
            .passed_on()
            .into_iter()
            .filter(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
        for (name, value) in trace.chain(answered.iter().cloned()) {
            headers.insert(name, value);
        }
        headers.insert(ITEM, self.id.as_str());
        headers.insert(ATTEMPT, (record.attempts + 1).to_string());
        headers.insert(NATS_MESSAGE_ID, self.key.as_str());
        PublishMessage::build().headers(headers).payload(body.clone())
    }

    async fn failed(&self, mut record: Record, reason: &str, after: Option<Duration>) {
        let handing = &self.shared.args.handing;
        let mut pause = Duration::from_millis(50);
        loop {
            let attempts = record.attempts + 1;
            if attempts >= handing.max_attempts {
                return self.bury(&record, reason, attempts).await;
            }
            let wait = backoff::delay(attempts, handing.backoff, handing.max_backoff, after);
            let next = record.failed(reason, wait);
            match attempts::write(&self.shared.context, &self.shared.names.attempts.1, &self.key, &next).await {
                Ok(true) => {
                    tracing::info!(
                        item = self.id,
                        attempts,
                        "failed, to be tried again in {} ms: {reason}",
                        wait.as_millis()
                    );
                    self.shared.metrics.attempt("failed");
                    return self.give_back(Some(wait)).await;
                }
                // Somebody else had it too, and counted.
                Ok(false) => match attempts::read(self.queue, &self.shared.names.attempts.1, &self.key).await {
                    Ok(found) => record = found,
                    Err(error) => tracing::debug!(item = self.id, "{error:#}"),
                },
                Err(error) => tracing::debug!(item = self.id, "{error:#}"),
            }
            if !rest(self.shared, &mut pause).await {
                return self.give_back(None).await;
            }
        }
    }

    /// To the dead letters; where these take nothing, it is kept, so that nothing is lost, and out of the way.
    async fn bury(&self, record: &Record, reason: &str, attempts: u32) {
        let shared = self.shared;
        let subject = format!("{}.{}", shared.names.dead.1, token(&self.id));
        let letter = || dead::letter(&self.message.message, &self.id, &self.key, reason, attempts);
        match confirmed(shared, &subject, letter).await {
            Some(Published::Stored(_)) => {
                tracing::warn!(item = self.id, attempts, "dead: {reason}");
                self.confirm(record).await;
                shared.metrics.attempt("dead");
            }
            Some(Published::Full(why) | Published::Never(why)) => {
                tracing::error!(
                    item = self.id,
                    "stream {} does not take the dead item, which stays in the queue: {why}",
                    shared.names.dead.0
                );
                let wait = shared.args.handing.max_backoff;
                let mut kept = record.clone();
                kept.attempts = shared.args.handing.max_attempts.max(attempts) - 1;
                let _ = attempts::write(
                    &shared.context,
                    &shared.names.attempts.1,
                    &self.key,
                    &kept.failed(reason, wait),
                )
                .await;
                self.give_back(Some(wait)).await;
            }
            None => self.give_back(None).await,
        }
    }

    /// Removes the item from the queue, and waits until the server says that it has.
    async fn confirm(&self, record: &Record) {
        let Some(reply) = &self.message.reply else { return };
        let mut pause = Duration::from_millis(50);
        for _ in 0..CONFIRMATIONS {
            let request = Request::new()
                .payload(AckKind::Ack.into())
                .timeout(Some(Duration::from_secs(5)));
            match self.shared.client.send_request(reply.clone(), request).await {
                Ok(_) => {
                    if *record != Record::default() {
                        attempts::forget(self.queue, &self.shared.names.attempts.1, &self.key).await;
                    }
                    return;
                }
                Err(error) => tracing::debug!(item = self.id, "failed to confirm the item: {error}"),
            }
            if !rest(self.shared, &mut pause).await {
                break;
            }
        }
        tracing::warn!(item = self.id, "the item's end was not confirmed; it may come again");
    }

    /// Another worker may have it, after that time.
    async fn give_back(&self, wait: Option<Duration>) {
        if let Err(error) = self.message.ack_with(AckKind::Nak(wait)).await {
            tracing::debug!(item = self.id, "failed to give the item back: {error}");
        }
    }
}

struct InFlight<'a>(&'a Shared);

impl InFlight<'_> {
    fn new(shared: &Shared) -> InFlight<'_> {
        shared.metrics.in_flight.inc();
        InFlight(shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}
