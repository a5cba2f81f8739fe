//! What the parts of the certificate have in common within one process.
use super::{
    content::Content,
    plan::{Lives, Moment},
};
use arc_swap::ArcSwapOption;
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::sync::Notify;

/// Names, lives, and the last content of the Secret that was good.
#[derive(Debug)]
pub struct Shared {
    names: Vec<String>,
    lives: Lives,
    /// How long callers are given to take up an authority that they are told to trust.
    pub(super) settling: Duration,
    last_good: ArcSwapOption<Content>,
    /// The Secret was written by this process.
    pub(super) written: Notify,
}

impl Shared {
    /// For leaves that carry these names.
    pub fn new(names: Vec<String>, lives: Lives, settling: Duration) -> Shared {
        Shared {
            names,
            lives,
            settling,
            last_good: ArcSwapOption::empty(),
            written: Notify::new(),
        }
    }

    pub(super) fn moment(&self) -> Moment<'_> {
        Moment {
            now: OffsetDateTime::now_utc(),
            names: &self.names,
            lives: self.lives,
            asked: false,
            told: false,
        }
    }

    pub(super) fn last_good(&self) -> Option<Arc<Content>> {
        self.last_good.load_full()
    }

    pub(super) fn is_good(&self, content: &Content) {
        if self.last_good.load().as_deref() != Some(content) {
            self.last_good.store(Some(Arc::new(content.clone())));
        }
    }
}
