//! What the leader does: it keeps the Secret's content good, one step after the other.
use super::{
    content::Content,
    follower::PERIOD,
    plan::{self, Step},
    secret::{Found, Store},
    shared::Shared,
};
use crate::controller::{
    call::Complaint,
    duty::Post,
    registration::{is_any_there, published},
};
use anyhow::{Context, Result};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

/// How often to look while something is under way.
const SOON: Duration = Duration::from_millis(500);
/// How long a Secret that is of no use is left for a replica to put right that knows what was in it: followers read it each
/// [`PERIOD`], and put it right when they find it so again.
const LEFT_TO_OTHERS: Duration = Duration::from_secs(12);

/// Keeps the Secret good while the lease is ours, and states what callers have to trust.
pub(super) async fn keep(store: Store, shared: Arc<Shared>, post: Post, trust: watch::Sender<Option<String>>) {
    let mut keeper = Keeper {
        store,
        shared,
        post,
        trust,
        told: None,
        useless_since: None,
    };
    let mut complaint = Complaint::default();
    loop {
        let pause = match keeper.look().await {
            Ok(pause) => {
                complaint.over();
                pause
            }
            Err(error) => {
                if let Some(text) = complaint.about(&error) {
                    tracing::error!("{text}; trying on");
                }
                SOON * 4
            }
        };
        sleep(pause).await;
    }
}

struct Keeper {
    store: Store,
    shared: Arc<Shared>,
    post: Post,
    /// What callers have to trust.
    trust: watch::Sender<Option<String>>,
    /// What they have been told to, and since when.
    told: Option<(String, Instant)>,
    useless_since: Option<Instant>,
}

impl Keeper {
    /// Does what is to be done next, and says when to look again.
    async fn look(&mut self) -> Result<Duration> {
        // Where there is none, the follower makes one.
        let Some(found) = self
            .store
            .read()
            .await
            .context("failed to read the certificate's Secret")?
        else {
            return Ok(SOON);
        };
        if !found.wrong.is_empty()
            && let Some(pause) = self.repair(&found).await?
        {
            return Ok(pause);
        }
        self.useless_since = None;
        self.state_trust(&found.content);
        let told = self.is_told(&found.content).await?;
        let mut at = self.shared.moment();
        (at.asked, at.told) = (found.asks_for_rotation(), told);
        let step = plan::next(&found.content, &at);
        if step == Step::Nothing {
            return Ok(if found.content.next.is_some() { SOON } else { PERIOD });
        }
        let content = plan::perform(step, &found.content, &at)?;
        if self.write(&found, &content, step == Step::Announce).await? {
            tracing::info!(secret = self.store.name, "{}", step.done());
        }
        Ok(Duration::ZERO)
    }

    /// Puts back what was last good. Where that is not known, it is left to others for a while; `None`: go on with what
    /// can be used.
    async fn repair(&mut self, found: &Found) -> Result<Option<Duration>> {
        if let Some(last_good) = self.shared.last_good() {
            if self.write(found, &last_good, false).await? {
                let wrong = found.wrong.join("; ");
                tracing::warn!(
                    secret = self.store.name,
                    wrong,
                    "put back what was last good in the Secret"
                );
            }
            return Ok(Some(SOON));
        }
        if found.is_empty() && !is_any_there(&self.post.client).await? {
            // An installation begins: nobody trusts anything yet.
            return Ok(None);
        }
        let since = *self.useless_since.get_or_insert_with(Instant::now);
        Ok((since.elapsed() < LEFT_TO_OTHERS).then_some(SOON))
    }

    async fn write(&self, found: &Found, content: &Content, answers: bool) -> Result<bool> {
        if !self.post.term.is_ours() {
            return Ok(false);
        }
        let written = self.store.replace(found, content, answers).await;
        let written = written.context("failed to write the certificate's Secret")?;
        self.shared.written.notify_one();
        Ok(written)
    }

    fn state_trust(&self, content: &Content) {
        let trust = Some(content.trust()).filter(|trust| !trust.is_empty());
        self.trust.send_if_modified(|stated| {
            let modified = *stated != trust;
            *stated = trust;
            modified
        });
    }

    /// Whether all callers have been told of the next authority, and had the time to take it up.
    async fn is_told(&mut self, content: &Content) -> Result<bool> {
        if content.next.is_none() {
            self.told = None;
            return Ok(false);
        }
        let trust = content.trust();
        if !published(&self.post.client, &trust).await? {
            self.told = None;
            return Ok(false);
        }
        match &self.told {
            Some((told, since)) if *told == trust => Ok(since.elapsed() >= self.shared.settling),
            _ => {
                self.told = Some((trust, Instant::now()));
                Ok(false)
            }
        }
    }
}
