//! What every replica does: it serves the Secret's leaf, makes the Secret where there is none, and puts back what was last good
//! in it where the leader does not.
//!
//! Whoever comes first makes it; all others find that there is one, and read it. It is read again and again, which misses
//! nothing and costs less than a watch.
use super::{
    content::{Content, Keyed},
    plan::{self, Step},
    secret::{Found, Store},
    shared::Shared,
};
use crate::{controller::call::Complaint, tls::served::Served};
use anyhow::{Context, Result, anyhow};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// How often the Secret is read.
pub(super) const PERIOD: Duration = Duration::from_secs(5);
/// How long the Secret is left for the leader to put right.
const LEFT_TO_THE_LEADER: Duration = Duration::from_secs(4);
/// Pause after an error, and after somebody was faster.
const AGAIN: Duration = Duration::from_millis(500);

/// Serves the leaf of the Secret from now on.
pub(super) async fn follow(store: Store, shared: Arc<Shared>, mut served: Served) {
    let mut follower = Follower {
        store,
        shared,
        leaf: None,
        wrong_since: None,
        complaint: Complaint::default(),
    };
    loop {
        let pause = match follower.look(&mut served).await {
            Ok(true) => {
                follower.complaint.over();
                PERIOD
            }
            Ok(false) => AGAIN,
            Err(error) => {
                if let Some(text) = follower.complaint.about(&error) {
                    tracing::error!("{text}; serving the present certificate, if there is one");
                }
                if follower.leaf.is_some() { PERIOD } else { AGAIN }
            }
        };
        // The leader of this very process tells of what it has written.
        let _ = timeout(pause, follower.shared.written.notified()).await;
    }
}

struct Follower {
    store: Store,
    shared: Arc<Shared>,
    /// What is served.
    leaf: Option<Keyed>,
    /// Since when the Secret is of no use.
    wrong_since: Option<Instant>,
    complaint: Complaint,
}

impl Follower {
    /// Reads the Secret, or makes it; whether that has led to anything.
    async fn look(&mut self, served: &mut Served) -> Result<bool> {
        let Some(found) = self
            .store
            .read()
            .await
            .context("failed to read the certificate's Secret")?
        else {
            self.make().await.context("failed to make the certificate's Secret")?;
            return Ok(false);
        };
        self.take_up(&found, served);
        self.put_back(&found)
            .await
            .context("failed to put back what was last good in the Secret")?;
        Ok(true)
    }

    /// The leader does so at once, if it knows what was in it; one that has just started does not.
    async fn put_back(&mut self, found: &Found) -> Result<()> {
        let Some(last_good) = self.shared.last_good().filter(|_| !found.wrong.is_empty()) else {
            self.wrong_since = None;
            return Ok(());
        };
        let since = *self.wrong_since.get_or_insert_with(Instant::now);
        if since.elapsed() < LEFT_TO_THE_LEADER {
            return Ok(());
        }
        self.wrong_since = None;
        if self.store.replace(found, &last_good, false).await? {
            let wrong = found.wrong.join("; ");
            tracing::warn!(
                secret = self.store.name,
                wrong,
                "put back what was last good in the Secret"
            );
        }
        Ok(())
    }

    async fn make(&self) -> Result<()> {
        let last_good = self.shared.last_good();
        let content = match &last_good {
            Some(content) => Content::clone(content),
            None => plan::perform(Step::Anew, &Content::default(), &self.shared.moment())?,
        };
        if self.store.create(&content).await? {
            let what = if last_good.is_some() { "put back" } else { "made" };
            tracing::info!(
                secret = self.store.name,
                "{what} the Secret with certificate authority and certificate"
            );
        }
        Ok(())
    }

    fn take_up(&mut self, found: &Found, served: &mut Served) {
        let Some(leaf) = &found.content.leaf else {
            if found.is_empty() && self.leaf.is_none() {
                // The leader fills it.
                return;
            }
            let wrong = found.wrong.join("; ");
            served.complain(&anyhow!("Secret {}: {wrong}", self.store.name));
            return;
        };
        if self.leaf.as_ref() != Some(leaf) {
            if let Err(error) = leaf.pair().and_then(|pair| served.take_up(pair)) {
                served.complain(&error.context(format!("Secret {}", self.store.name)));
                return;
            }
            served.reloaded();
            tracing::info!(secret = self.store.name, "took up a new certificate");
            self.leaf = Some(leaf.clone());
        }
        served.content();
        if found.wrong.is_empty() {
            self.shared.is_good(&found.content);
        }
    }
}
