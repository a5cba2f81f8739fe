//! A shard's recent latencies, and what 95 of 100 of them stay below.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So many are remembered.
const SIZE: usize = 256;
/// With fewer nothing is said.
const ENOUGH: usize = 32;
/// Reckoned anew after so many.
const EVERY: usize = 16;

/// The last latencies.
#[derive(Debug, Default)]
pub struct Window {
    latencies: Mutex<Ring>,
    /// Microseconds; 0: not known.
    p95: AtomicU64,
}

#[derive(Debug, Default)]
struct Ring {
    microseconds: Vec<u32>,
    next: usize,
}

impl Window {
    /// One more.
    pub fn record(&self, latency: Duration) {
        let mut ring = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let latency = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
        let next = ring.next % SIZE;
        match ring.microseconds.get_mut(next) {
            Some(oldest) => *oldest = latency,
            None => ring.microseconds.push(latency),
        }
        ring.next += 1;
        if ring.next.is_multiple_of(EVERY) && ring.microseconds.len() >= ENOUGH {
            let mut all = ring.microseconds.clone();
            drop(ring);
            let place = all.len() * 95 / 100;
            let (_, p95, _) = all.select_nth_unstable(place);
            self.p95.store(u64::from(*p95).max(1), Ordering::Relaxed);
        }
    }

    /// What 95 of 100 stay below, once there are enough.
    pub fn p95(&self) -> Option<Duration> {
        match self.p95.load(Ordering::Relaxed) {
            0 => None,
            microseconds => Some(Duration::from_micros(microseconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_95th_of_100_is_told_once_there_are_enough_and_follows_what_is_new() {
        let window = Window::default();
        for latency in 0..31 {
            window.record(Duration::from_millis(latency));
        }
        assert_eq!(window.p95(), None);
        for _ in 0..4 {
            (0..100).for_each(|latency| window.record(Duration::from_millis(latency)));
        }
        let p95 = window.p95().unwrap().as_millis();
        assert!((90..100).contains(&p95), "{p95}");
        (0..SIZE + EVERY).for_each(|_| window.record(Duration::from_millis(1)));
        assert_eq!(window.p95(), Some(Duration::from_millis(1)));
    }
}
