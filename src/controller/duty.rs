//! What one replica does for all, and what it is given for that.
//!
//! A duty knows nothing of leases: it begins when this replica wins the lease, and is dropped when that is lost.
use super::{owner::Owner, term::Term};
use crate::{observe::metrics::Metrics, store::Current};
use kube::Client;
use outrigger_engine::Snapshot;
use std::{pin::Pin, sync::Arc, time::Duration};

/// How soon a new snapshot is noticed.
const GLANCE: Duration = Duration::from_millis(250);

/// A duty being done.
pub type Performing = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// Something that the lease holder does for as long as it holds the lease.
pub trait Duty: Send + Sync {
    /// What logs call it.
    fn name(&self) -> &'static str;

    /// Begins. Called anew each time that the lease is won, and after an error, with pauses that grow; `Ok` ends the
    /// duty until the lease is won again.
    ///
    /// It is dropped at an `.await` when the lease is lost: what it spawns has to end with it (as in a
    /// [`JoinSet`](tokio::task::JoinSet)).
    fn perform(&self, post: Post) -> Performing;
}

/// What the lease holder works with.
#[derive(Clone)]
pub struct Post {
    /// The API server. Requests may hang: see [`within`](super::call::within).
    pub client: Client,
    /// What this replica serves.
    pub current: Current,
    /// Where to count.
    pub metrics: Arc<Metrics>,
    /// For how long the lease is ours; looked at before each write.
    pub term: Term,
    /// Who owns what is made for the whole cluster, if anybody.
    pub owner: Option<Owner>,
}

impl Post {
    /// The snapshots that are served, from the present one on.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots {
            current: Arc::clone(&self.current),
            seen: None,
        }
    }
}

/// One snapshot after the other.
#[derive(Debug)]
pub struct Snapshots {
    current: Current,
    seen: Option<Arc<Snapshot>>,
}

impl Snapshots {
    /// The present snapshot; called again, waits until there is another one. Those that nobody waited for are left out.
    pub async fn next(&mut self) -> Arc<Snapshot> {
        loop {
            let snapshot = self.current.load_full();
            let is_new = |seen: &Arc<Snapshot>| !Arc::ptr_eq(seen, &snapshot);
            if self.seen.as_ref().is_none_or(is_new) {
                self.seen = Some(Arc::clone(&snapshot));
                return snapshot;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}
