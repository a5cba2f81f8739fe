//! Asking the server for items: no more at a time than can be worked on, and none while the application is away.
//!
//! Not async-nats' own stream of messages, as that asks for a fixed number ahead: items of a slow application would lie here while other
//! workers have nothing to do.
use super::item;
use super::publish::rest;
use super::shared::{Held, Shared};
use super::streams::Queue;
use anyhow::{Context, Result};
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::jetstream::{self, AckKind};
use async_nats::{Message, StatusCode, Subject, Subscriber};
use futures_util::StreamExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long the server keeps a request.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often it says that it still does.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Works until told to stop, and then until all is settled.
pub async fn run(shared: Arc<Shared>) {
    let mut pause = Duration::from_millis(100);
    while !shared.stop.is_cancelled() {
        let Some(queue) = open(&shared).await else { break };
        if !wait_for_application(&shared).await {
            break;
        }
        match take(&shared, &queue).await {
            Ok(()) => pause = Duration::from_millis(100),
            Err(error) => {
                tracing::warn!("{error:#}");
                let _ = until_stop(&shared, rest(&shared, &mut pause)).await;
            }
        }
    }
    settle(&shared).await;
}

async fn settle(shared: &Shared) {
    let all = async {
        while shared.held() > 0 {
            shared.changed.notified().await;
        }
    };
    if timeout(shared.args.serving.shutdown_grace, all).await.is_err() {
        tracing::warn!(items = shared.held(), "giving back what is not done");
        shared.hard_stop.cancel();
        let all = async {
            while shared.held() > 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = timeout(Duration::from_secs(2), all).await;
    }
    let _ = timeout(Duration::from_secs(2), shared.client.flush()).await;
}

/// Nothing when told to stop first.
async fn until_stop<T>(shared: &Shared, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        () = shared.stop.cancelled() => None,
        outcome = future => Some(outcome),
    }
}

async fn open(shared: &Shared) -> Option<Arc<Queue>> {
    let mut pause = Duration::from_millis(100);
    loop {
        let opening = Queue::open(&shared.context, &shared.names, &shared.args.streams);
        match until_stop(shared, opening).await? {
            Ok(queue) => {
                let queue = Arc::new(queue);
                shared.set_queue(Some(Arc::clone(&queue)));
                shared.set_trouble(None);
                return Some(queue);
            }
            // Without a connection that is no wonder, and told elsewhere.
            Err(error) if shared.is_connected() => shared.set_trouble(Some(format!("{error:#}"))),
            Err(error) => tracing::debug!("{error:#}"),
        }
        until_stop(shared, rest(shared, &mut pause)).await?;
    }
}

async fn wait_for_application(shared: &Shared) -> bool {
    let mut pause = Duration::from_millis(50);
    loop {
        let Some(up) = until_stop(shared, shared.application.is_up()).await else {
            return false;
        };
        shared.set_up(up);
        if up {
            return true;
        }
        if until_stop(shared, sleep(pause)).await.is_none() {
            return false;
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// Requests that the server has, and what came of them.
struct Asking<'a> {
    shared: &'a Arc<Shared>,
    queue: &'a Arc<Queue>,
    inbox: Subject,
    /// Items that were asked for and have not come.
    expected: usize,
    heard: Instant,
}

/// Takes items until told to stop, or the application goes away.
///
/// # Errors
/// When the consumer is gone, or the server silent.
async fn take(shared: &Arc<Shared>, queue: &Arc<Queue>) -> Result<()> {
    let inbox = Subject::from(shared.client.new_inbox());
    let mut arriving = shared
        .client
        .subscribe(inbox.clone())
        .await
        .context("failed to subscribe")?;
    let mut asking = Asking {
        shared,
        queue,
        inbox,
        expected: 0,
        heard: Instant::now(),
    };
    let outcome = asking.until_it_ends(&mut arriving).await;
    give_back_the_rest(shared, &mut arriving).await;
    outcome
}

impl Asking<'_> {
    async fn until_it_ends(&mut self, arriving: &mut Subscriber) -> Result<()> {
        let shared = self.shared;
        loop {
            self.ask().await?;
            tokio::select! {
                biased;
                () = shared.stop.cancelled() => return Ok(()),
                message = arriving.next() => self.arrived(message.context("the subscription has ended")?).await?,
                () = shared.changed.notified() => if !shared.is_up() { return Ok(()) },
                // Whatever was asked for on an earlier connection is forgotten there.
                () = shared.connected.notified() => self.expected = 0,
                () = sleep_until(self.heard + HEARTBEAT * 3) => self.silence()?,
            }
        }
    }

    async fn ask(&mut self) -> Result<()> {
        let wanted = self.shared.wanted();
        let room = wanted.saturating_sub(self.shared.held() + self.expected);
        // Few requests for many items, unless nothing is on its way.
        if room == 0 || (self.expected > 0 && room < wanted.div_ceil(4)) {
            return Ok(());
        }
        let request = BatchConfig {
            batch: room,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        if self.expected == 0 {
            self.heard = Instant::now();
        }
        self.queue
            .consumer
            .request_batch(request, self.inbox.clone())
            .await
            .context("failed to ask for items")?;
        self.expected += room;
        Ok(())
    }

    async fn arrived(&mut self, message: Message) -> Result<()> {
        self.heard = Instant::now();
        match message.status.unwrap_or(StatusCode::OK) {
            StatusCode::OK => self.begin(message),
            StatusCode::IDLE_HEARTBEAT => {}
            status => return self.refused(status, &message).await,
        }
        Ok(())
    }

    fn begin(&mut self, message: Message) {
        self.expected = self.expected.saturating_sub(1);
        let message = jetstream::Message {
            message,
            context: self.shared.context.clone(),
        };
        let held = Held::new(self.shared);
        tokio::spawn(item::take(
            Arc::clone(self.shared),
            Arc::clone(self.queue),
            message,
            held,
        ));
    }

    /// A request ended before all of its items came.
    async fn refused(&mut self, status: StatusCode, message: &Message) -> Result<()> {
        let said = message.description.as_deref().unwrap_or_default();
        let left = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get("Nats-Pending-Messages"));
        if status == StatusCode::NO_RESPONDERS || said.contains("Deleted") {
            anyhow::bail!("the consumer is gone ({status} {said}); opening the queue again");
        }
        match left.and_then(|left| left.as_str().parse::<usize>().ok()) {
            Some(left) => self.expected = self.expected.saturating_sub(left),
            None => {
                tracing::debug!("the server ended a request: {status} {said}");
                self.expected = 0;
                sleep(Duration::from_millis(250)).await;
            }
        }
        Ok(())
    }

    /// Nothing was heard, not even that the server is still there.
    fn silence(&mut self) -> Result<()> {
        self.heard = Instant::now();
        if self.expected > 0 && self.shared.is_connected() {
            anyhow::bail!("the server is silent; opening the queue again");
        }
        Ok(())
    }
}

/// What was on its way here goes to others at once.
async fn give_back_the_rest(shared: &Shared, arriving: &mut Subscriber) {
    if arriving.drain().await.is_err() {
        return;
    }
    while let Ok(Some(message)) = timeout(Duration::from_secs(1), arriving.next()).await {
        if message.status.is_none_or(|status| status == StatusCode::OK) {
            let message = jetstream::Message {
                message,
                context: shared.context.clone(),
            };
            let _ = message.ack_with(AckKind::Nak(None)).await;
        }
    }
}
