//! When to write next.
use std::time::Duration;
use tokio::time::Instant;

/// No object is written more often than that.
pub(super) const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// The longest wait before a repair, so that one comes soon after whoever spoils things has stopped.
const LONGEST: Duration = Duration::from_secs(16);
/// What has been right for so long is a new beginning.
const FORGIVEN: Duration = Duration::from_secs(60);

/// The writes of one object.
#[derive(Debug, Default)]
pub(super) struct Pace {
    tried: Option<Instant>,
    written: Option<Instant>,
    /// Repairs and failures in a row.
    attempts: u32,
}

impl Pace {
    /// We want something else.
    pub(super) fn after_wish(&self, now: Instant) -> Instant {
        self.tried.map_or(now, |tried| now.max(tried + BETWEEN_WRITES))
    }

    /// We look, and may write.
    pub(super) fn tried(&mut self, now: Instant) {
        self.tried = Some(now);
    }

    /// Somebody else has changed the object: the more often, the longer it waits.
    pub(super) fn after_deviation(&self, now: Instant) -> Instant {
        self.written.map_or(now, |written| now.max(written + self.wait()))
    }

    /// The write did not succeed.
    pub(super) fn after_failure(&mut self, now: Instant) -> Instant {
        self.attempts = self.attempts.saturating_add(1);
        now + self.wait()
    }

    pub(super) fn wrote(&mut self, now: Instant) {
        self.written = Some(now);
        self.attempts = 0;
    }

    pub(super) fn repaired(&mut self, now: Instant) {
        self.held(now);
        self.written = Some(now);
        self.attempts = self.attempts.saturating_add(1);
    }

    /// The object is as it should be.
    pub(super) fn held(&mut self, now: Instant) {
        if self.written.is_some_and(|written| now >= written + FORGIVEN) {
            self.attempts = 0;
        }
    }

    fn wait(&self) -> Duration {
        let doubled = BETWEEN_WRITES * 2u32.saturating_pow(self.attempts.saturating_sub(1).min(10));
        doubled.min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_repair_is_at_once_and_each_further_one_waits_longer() {
        let mut pace = Pace::default();
        let mut now = Instant::now();
        pace.wrote(now);
        now += Duration::from_secs(100);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let next = pace.after_deviation(now);
            waits.push((next - now).as_secs());
            now = next;
            pace.repaired(now);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 16, 16]);
        pace.held(now + FORGIVEN);
        assert_eq!(pace.after_deviation(now + FORGIVEN), now + FORGIVEN);
    }
}
