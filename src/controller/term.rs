//! How long the lease is certainly ours.
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The time for which the lease is held. Copies are the same term.
///
/// A process that was stopped for a while must not go on with what it was about to write: somebody else leads by now.
#[derive(Debug, Clone)]
pub struct Term {
    start: Instant,
    /// Milliseconds from `start` to the end, as far as that is known.
    until: Arc<AtomicU64>,
}

impl Term {
    /// A term that begins at `start` and lasts this long, unless it is extended.
    pub(super) fn new(start: Instant, lasting: Duration) -> Term {
        let term = Term {
            start,
            until: Arc::default(),
        };
        term.extend(start, lasting);
        term
    }

    /// It lasts this long from `from` on.
    pub(super) fn extend(&self, from: Instant, lasting: Duration) {
        let until = from.saturating_duration_since(self.start) + lasting;
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.until.store(millis, Ordering::Release);
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether nobody else can hold the lease at this moment.
    pub fn is_ours(&self) -> bool {
        Instant::now() < self.ends()
    }

    /// When it ends, unless it is extended.
    pub(super) fn ends(&self) -> Instant {
        self.start + Duration::from_millis(self.until.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_term_lasts_until_it_ends_or_is_not_extended() {
        let start = Instant::now();
        let term = Term::new(start, Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(term.is_ours());
        let copy = term.clone();
        term.extend(Instant::now(), Duration::from_secs(10));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(copy.is_ours());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!copy.is_ours());
        term.extend(Instant::now(), Duration::from_secs(10));
        copy.end();
        assert!(!term.is_ours());
    }
}
