//! One replica of a shard: how fast it has been, how much it has to do, and whether it is ejected.
//!
//! It does not know what is sent to it.
use hyper::header::HeaderValue;
use hyper::http::uri::Authority;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After this long without news, what is known of a replica's speed counts a third.
const FORGET: Duration = Duration::from_secs(10);
/// What a failure counts as where nothing is ejected, so that a replica that fails fast is not taken for a fast one. (Else it is
/// ejected soon, and would otherwise be asked too seldom to be.)
const FAILURE: Duration = Duration::from_secs(1);
/// An ejection is at most so many times the first one.
const LONGEST: u32 = 10;

/// When replicas are ejected, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Ejection {
    /// Failures in a row; 0: never.
    pub after: u32,
    /// The first time.
    pub time: Duration,
}

/// One replica.
#[derive(Debug)]
pub struct Replica {
    /// Where it listens.
    pub address: SocketAddr,
    /// The same, as URLs have it.
    pub authority: Authority,
    /// The `Host` it is called by.
    pub host: HeaderValue,
    in_flight: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Seconds: a moving average that follows upwards at once, and when it was told last.
    latency: Option<(f64, Instant)>,
    /// In a row.
    failures: u32,
    /// In a row, without a success in between.
    ejections: u32,
    ejected_until: Option<Instant>,
}

impl Replica {
    /// One that nothing is known of; none where `host` is no host.
    pub fn new(address: SocketAddr, host: &str) -> Option<Replica> {
        Some(Replica {
            address,
            authority: address.to_string().parse().ok()?,
            host: host.parse().ok()?,
            in_flight: AtomicU32::new(0),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a further request is likely to wait for: its latency times the requests that it has.
    pub fn load(&self, now: Instant) -> f64 {
        let in_flight = f64::from(self.in_flight.load(Ordering::Relaxed));
        match self.state().latency {
            Some((latency, told)) => {
                let age = now.saturating_duration_since(told).as_secs_f64();
                latency * (-age / FORGET.as_secs_f64()).exp() * (in_flight + 1.0)
            }
            // A new one is tried, but not by everybody at once.
            None => in_flight,
        }
    }

    /// Whether a request may be sent to it. Of an ejected one whose time has come one request finds out how it is.
    pub fn claim(&self, ejection: Ejection, now: Instant) -> bool {
        let mut state = self.state();
        match state.ejected_until {
            Some(until) if now < until => false,
            Some(_) => {
                state.ejected_until = Some(now + ejection.time);
                true
            }
            None => true,
        }
    }

    /// Whether its ejection is over, and it has not been tried again.
    pub fn is_due(&self, now: Instant) -> bool {
        self.state().ejected_until.is_some_and(|until| until <= now)
    }

    /// Whether it is ejected.
    pub fn is_ejected(&self) -> bool {
        self.state().ejected_until.is_some()
    }

    /// A request is on its way.
    pub fn sent(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is not on its way any more.
    pub fn done(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// It has answered.
    pub fn succeeded(&self, took: Duration, now: Instant) {
        let mut state = self.state();
        if state.failures > 0 {
            // What its failures counted as says nothing about one that is back.
            state.latency = None;
        }
        state.learn(took, now);
        state.failures = 0;
        state.ejections = 0;
        state.ejected_until = None;
    }

    /// It has not answered within this time, which is no failure: another replica was faster.
    pub fn was_slower_than(&self, took: Duration, now: Instant) {
        let mut state = self.state();
        let known = state.latency.map_or(0.0, |(latency, _)| latency);
        if took.as_secs_f64() > known {
            state.learn(took, now);
        }
    }

    /// It has failed; true when that ejects it.
    pub fn failed(&self, took: Duration, ejection: Ejection, now: Instant) -> bool {
        let mut state = self.state();
        state.learn(if ejection.after == 0 { took.max(FAILURE) } else { took }, now);
        state.failures = state.failures.saturating_add(1);
        if ejection.after == 0 || state.failures < ejection.after {
            return false;
        }
        let newly = state.ejected_until.is_none();
        let factor = 1_u32.checked_shl(state.ejections).unwrap_or(LONGEST).min(LONGEST);
        state.ejections = state.ejections.saturating_add(1);
        state.ejected_until = Some(now + ejection.time * factor);
        newly
    }
}

impl State {
    fn learn(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        let latency = match self.latency {
            Some((latency, told)) if took < latency => {
                let old = (-now.saturating_duration_since(told).as_secs_f64() / FORGET.as_secs_f64()).exp();
                // Also many answers at once move it.
                let old = old.min(0.9);
                latency * old + took * (1.0 - old)
            }
            _ => took,
        };
        self.latency = Some((latency, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECTION: Ejection = Ejection {
        after: 3,
        time: Duration::from_secs(10),
    };

    fn replica() -> Replica {
        Replica::new(SocketAddr::from(([127, 0, 0, 1], 1)), "leaf").unwrap()
    }

    #[test]
    fn failures_in_a_row_eject_and_one_request_at_a_time_finds_out_whether_it_is_back() {
        let (replica, start) = (replica(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let fail = |seconds| replica.failed(Duration::ZERO, EJECTION, after(seconds));
        assert_eq!((fail(0), fail(0)), (false, false));
        replica.succeeded(Duration::ZERO, start);
        assert_eq!([fail(0), fail(0), fail(0)], [false, false, true]);
        assert!(!replica.claim(EJECTION, after(9)));
        assert_eq!(
            [10, 10].map(|seconds| replica.claim(EJECTION, after(seconds))),
            [true, false]
        );
        // Again it stays away for longer.
        assert!(!fail(11));
        assert!(!replica.claim(EJECTION, after(30)) && replica.claim(EJECTION, after(31)));
        replica.succeeded(Duration::ZERO, after(32));
        assert!(!replica.is_ejected() && replica.claim(EJECTION, after(32)));
    }

    #[test]
    fn ejections_do_not_grow_without_end_and_can_be_turned_off() {
        let (replica, start) = (replica(), Instant::now());
        for _ in 0..100 {
            replica.failed(Duration::ZERO, EJECTION, start);
        }
        assert!(replica.claim(EJECTION, start + EJECTION.time * LONGEST));
        let never = Ejection { after: 0, ..EJECTION };
        let other = self::replica();
        assert!((0..100).all(|_| !other.failed(Duration::ZERO, never, start)) && other.claim(never, start));
    }

    #[test]
    fn what_is_slow_busy_or_failing_is_a_greater_load_and_that_is_forgotten() {
        let (fast, slow, failing, now) = (replica(), replica(), replica(), Instant::now());
        fast.succeeded(Duration::from_millis(2), now);
        slow.was_slower_than(Duration::from_millis(200), now);
        failing.failed(Duration::ZERO, Ejection { after: 0, ..EJECTION }, now);
        assert!(fast.load(now) < slow.load(now) && slow.load(now) < failing.load(now));
        let idle = fast.load(now);
        fast.sent();
        assert!(fast.load(now) > idle);
        fast.done();
        assert!(slow.load(now + Duration::from_secs(60)) < idle);
    }
}
