//! How often the API server may be asked for something.
use std::time::Duration;
use tokio::time::Instant;

/// So many in a second in the long run, and some at once after a pause.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    at_once: u32,
    /// When the present ones would be over, were they spread evenly.
    spread: Instant,
}

impl Pace {
    /// `rate` in a second, `at_once` after a pause.
    pub fn new(rate: u32, at_once: u32) -> Pace {
        Pace {
            interval: Duration::from_secs(1) / rate.max(1),
            at_once: at_once.max(1),
            spread: Instant::now(),
        }
    }

    /// When the next one may be; it is taken.
    pub fn reserve(&mut self, now: Instant) -> Instant {
        let spread = self.spread.max(now);
        self.spread = spread + self.interval;
        now.max(spread - self.interval * (self.at_once - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn after_some_at_once_they_come_evenly() {
        tokio::time::advance(Duration::from_secs(100)).await;
        let now = Instant::now();
        let mut pace = Pace::new(10, 3);
        let waits =
            |pace: &mut Pace, now| -> Vec<u128> { (0..5).map(|_| (pace.reserve(now) - now).as_millis()).collect() };
        assert_eq!(waits(&mut pace, now), [0, 0, 0, 100, 200]);
        assert_eq!(waits(&mut pace, now + Duration::from_secs(10)), [0, 0, 0, 100, 200]);
    }
}
