//! The clock that leadership is measured on: CLOCK_BOOTTIME, which runs on while the machine is suspended.
use rustix::time::{ClockId, clock_gettime};
use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// An instant on this machine; nothing that can be told to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Instant(Duration);

impl Instant {
    /// Now.
    pub fn now() -> Instant {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        Instant(Duration::new(seconds, nanoseconds))
    }

    /// How long it is until this instant; nothing when it has passed.
    pub fn left(self) -> Duration {
        self - Instant::now()
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    fn add(self, duration: Duration) -> Instant {
        Instant(self.0.saturating_add(duration))
    }
}

/// How long after the other it is; nothing when it is before.
impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Instant) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
