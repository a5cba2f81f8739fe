//! Objects that should be as we say: applied, watched, and repaired when somebody changes or deletes them.
//!
//! Server-side apply as one field manager. What is compared is what we say and no more: fields, list entries and
//! exclusions that others add are theirs and stay (`compare`). Repairs go at a pace (`pace`), so that two who want
//! different things do not wear out the API server. What the objects are about is not known here.
mod compare;
mod pace;

use super::{
    call::{Complaint, within},
    duty::Post,
};
use anyhow::Result;
use futures_util::StreamExt;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams},
    core::ApiResource,
    runtime::{WatchStreamExt, watcher::watch_object},
};
use pace::Pace;
use serde_json::{Value, json};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep_until},
};

/// As whom we write.
pub const FIELD_MANAGER: &str = "outrigger";
/// How often to look even though the watch says nothing.
const BACKSTOP: Duration = Duration::from_secs(30);

/// How an object should be.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Wish {
    /// Not known yet: it is left alone.
    #[default]
    Unknown,
    /// So: the whole manifest. The owner is added to it.
    Present(Arc<Value>),
    /// Not at all.
    Absent,
}

impl Wish {
    /// The object should be like this manifest.
    pub fn present(manifest: Value) -> Wish {
        Wish::Present(Arc::new(manifest))
    }
}

/// Which object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name; it is cluster-scoped.
    pub name: &'static str,
}

/// Keeps objects as they should be, while the lease is ours. Copies share a pace.
#[derive(Clone)]
pub struct Keeper {
    post: Post,
    /// When the next repair of any of our objects may be.
    next_repair: Arc<Mutex<Instant>>,
}

impl Keeper {
    /// A keeper for this term.
    pub fn new(post: Post) -> Keeper {
        Keeper {
            post,
            next_repair: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Keeps `object` as the latest wish says, until nobody can wish any more.
    pub async fn keep(&self, object: Object, wishes: watch::Receiver<Wish>) {
        let api: Api<DynamicObject> = Api::all_with(self.post.client.clone(), &object.resource);
        let kept = Kept {
            keeper: self,
            api,
            object,
            applied: Wish::Unknown,
            pace: Pace::default(),
            complaint: Complaint::default(),
        };
        kept.run(wishes).await;
    }
}

/// One object being kept.
struct Kept<'a> {
    keeper: &'a Keeper,
    api: Api<DynamicObject>,
    object: Object,
    /// The last wish that came true.
    applied: Wish,
    pace: Pace,
    complaint: Complaint,
}

impl Kept<'_> {
    async fn run(mut self, mut wishes: watch::Receiver<Wish>) {
        let mut seen = pin!(watch_object(self.api.clone(), self.object.name).default_backoff());
        let mut due = Instant::now();
        loop {
            let wish = tokio::select! {
                changed = wishes.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    due = self.pace.after_wish(Instant::now());
                    continue;
                }
                Some(event) = seen.next() => {
                    // An error is met again, and told, by who looks at the due time.
                    let deviates = event.is_ok_and(|live| !is_right(live.map(raw).as_ref(), &self.applied));
                    if deviates {
                        self.keeper.post.metrics.is_wrong(self.object.name, true);
                        due = due.min(self.pace.after_deviation(Instant::now()));
                    }
                    continue;
                }
                () = sleep_until(due) => wishes.borrow_and_update().clone(),
            };
            self.pace.tried(Instant::now());
            due = match self.look(&wish).await {
                Ok(()) => {
                    if self.complaint.over() {
                        tracing::info!(object = self.object.name, "the object is as it should be again");
                    }
                    Instant::now() + BACKSTOP
                }
                Err(error) => {
                    if let Some(text) = self.complaint.about(&error) {
                        tracing::error!(object = self.object.name, "{text}; trying on");
                    }
                    self.pace.after_failure(Instant::now())
                }
            };
        }
    }

    /// Sees to it that the object is as wished.
    async fn look(&mut self, wish: &Wish) -> Result<()> {
        let wish = self.owned(wish).await?;
        if wish == Wish::Unknown {
            return Ok(());
        }
        let live = within(self.api.get_opt(self.object.name)).await?.map(raw);
        let right = is_right(live.as_ref(), &wish);
        let repair = wish == self.applied;
        self.keeper.post.metrics.is_wrong(self.object.name, !right);
        if right && repair {
            self.pace.held(Instant::now());
            return Ok(());
        }
        if repair {
            self.wait_for_a_turn().await;
        }
        if !self.keeper.post.term.is_ours() {
            return Ok(());
        }
        match &wish {
            Wish::Present(manifest) => self.apply(manifest, live.as_ref()).await?,
            _ if live.is_some() => self.delete().await?,
            _ => {}
        }
        if repair {
            self.keeper.post.metrics.repaired(self.object.name);
            self.pace.repaired(Instant::now());
            tracing::warn!(object = self.object.name, "repaired what somebody else had changed");
        } else {
            self.pace.wrote(Instant::now());
            tracing::info!(object = self.object.name, "brought the object up to date");
        }
        self.keeper.post.metrics.is_wrong(self.object.name, false);
        self.applied = wish;
        Ok(())
    }

    /// Of all objects together, one is repaired in a second.
    async fn wait_for_a_turn(&self) {
        let mut next = self.keeper.next_repair.lock().await;
        sleep_until(*next).await;
        *next = Instant::now() + pace::BETWEEN_WRITES;
    }

    /// The wish, with the owner as it is now.
    async fn owned(&self, wish: &Wish) -> Result<Wish> {
        match (wish, &self.keeper.post.owner) {
            (Wish::Present(manifest), Some(owner)) => {
                let mut manifest = Value::clone(manifest);
                manifest["metadata"]["ownerReferences"] = json!([owner.reference().await?]);
                Ok(Wish::present(manifest))
            }
            (wish, _) => Ok(wish.clone()),
        }
    }

    async fn apply(&self, manifest: &Value, live: Option<&Value>) -> Result<()> {
        let manifest = live.map_or_else(|| manifest.clone(), |live| compare::with_exclusions_of(live, manifest));
        let params = PatchParams::apply(FIELD_MANAGER).force();
        within(self.api.patch(self.object.name, &params, &Patch::Apply(&manifest))).await?;
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        match within(self.api.delete(self.object.name, &DeleteParams::default())).await {
            Err(error) if super::call::status(&error) != Some(404) => Err(error),
            _ => Ok(()),
        }
    }
}

fn is_right(live: Option<&Value>, wish: &Wish) -> bool {
    match wish {
        Wish::Unknown => true,
        Wish::Absent => live.is_none(),
        Wish::Present(manifest) => live.is_some_and(|live| compare::covers(live, manifest)),
    }
}

/// The object as JSON; its kind is known.
fn raw(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}
