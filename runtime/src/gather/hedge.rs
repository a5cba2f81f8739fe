//! When a second replica is asked, and how often at most.
use super::numbers::Share;
use super::window::Window;
use crate::serving::seconds;
use hyper::Method;
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A shard that is always fast would be asked twice for every hiccup of this machine.
const SOONEST: Duration = Duration::from_millis(1);
/// What may be saved up, in requests.
const SAVED: f64 = 100.0;
/// Parts of a request that are counted.
const PARTS: f64 = 1_000_000.0;

/// After which time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HedgeAfter {
    /// No second request.
    Never,
    /// A fixed time.
    Time(Duration),
    /// What 95 of 100 of the shard's answers stay below.
    P95,
}

impl HedgeAfter {
    /// The time for this shard; none: no second request.
    pub fn delay(self, latencies: &Window) -> Option<Duration> {
        match self {
            HedgeAfter::Never => None,
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::P95 => latencies.p95().map(|p95| p95.max(SOONEST)),
        }
    }
}

impl FromStr for HedgeAfter {
    type Err = String;

    fn from_str(text: &str) -> Result<HedgeAfter, String> {
        match text {
            "never" => Ok(HedgeAfter::Never),
            "p95" => Ok(HedgeAfter::P95),
            time => seconds(time)
                .map(HedgeAfter::Time)
                .map_err(|_| format!("{text:?} is not when to hedge; write p95, a time, as 50ms, or never")),
        }
    }
}

/// Methods, with commas: `GET,HEAD`. Nothing: none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods(pub Vec<Method>);

impl FromStr for Methods {
    type Err = String;

    fn from_str(text: &str) -> Result<Methods, String> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let parse = |name: &str| {
            name.parse()
                .map_err(|_| format!("{name:?} is not a method; write GET,HEAD, or nothing for none"))
        };
        names.map(parse).collect::<Result<_, _>>().map(Methods)
    }
}

/// Requests beyond the first to a shard: never more than their share of all first ones.
#[derive(Debug)]
pub struct Extra {
    share: f64,
    /// Saved up, in parts of a request.
    saved: AtomicI64,
}

impl Extra {
    /// With nothing saved up.
    pub fn new(share: Share) -> Extra {
        Extra {
            share: share.0,
            saved: AtomicI64::new(0),
        }
    }

    /// There are so many first requests more.
    pub fn earn(&self, requests: usize) {
        let earned = (requests as f64 * self.share * PARTS) as i64;
        let most = (SAVED * PARTS) as i64;
        let add = |saved: i64| Some((saved + earned).min(most));
        let _ = self.saved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether there may be one more.
    pub fn take(&self) -> bool {
        let one = PARTS as i64;
        let take = |saved: i64| (saved >= one).then_some(saved - one);
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_requests_are_never_more_than_their_share() {
        let extra = Extra::new(Share(0.1));
        assert!(!extra.take());
        let taken = (0..1000).filter(|_| {
            extra.earn(1);
            extra.take()
        });
        assert!((99..=100).contains(&taken.count()));
        extra.earn(1_000_000);
        assert_eq!((0..1000).filter(|_| extra.take()).count(), 100);
        let none = Extra::new(Share(0.0));
        none.earn(1_000_000);
        assert!(!none.take());
    }

    #[test]
    fn methods_are_a_list_that_may_be_empty() {
        let methods = |text: &str| text.parse::<Methods>().map(|methods| methods.0);
        assert_eq!(methods("GET, HEAD"), Ok(vec![Method::GET, Method::HEAD]));
        assert_eq!((methods(""), methods(" ,")), (Ok(vec![]), Ok(vec![])));
        assert!(methods("GET POST").unwrap_err().contains("write GET,HEAD"));
    }

    #[test]
    fn the_delay_is_fixed_or_the_shards_own() {
        let window = Window::default();
        let delay = |text: &str| text.parse::<HedgeAfter>().unwrap().delay(&window);
        assert_eq!(
            (delay("never"), delay("50ms"), delay("p95")),
            (None, Some(Duration::from_millis(50)), None)
        );
        (0..32).for_each(|_| window.record(Duration::from_micros(3)));
        assert_eq!(delay("p95"), Some(SOONEST));
        for wrong in ["", "p99", "soon", "-1s"] {
            assert!(
                wrong.parse::<HedgeAfter>().unwrap_err().contains("write p95"),
                "{wrong}"
            );
        }
    }
}
