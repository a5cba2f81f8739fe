//! The durations of an election, and client-go's rules between them.
use anyhow::{Result, bail, ensure};
use std::time::Duration;

/// client-go multiplies the retry period by this before it compares it with the renew deadline.
const JITTER_FACTOR: f64 = 1.2;
/// Shorter, and electors are a load for the API server.
const SHORTEST_RETRY: Duration = Duration::from_millis(50);

/// What a candidate waits for, and how long a leader is one.
#[derive(Debug, Clone, Copy)]
pub struct Durations {
    /// After the last renewal that others saw, they take over.
    pub lease: Duration,
    /// After the last renewal that was sent and confirmed, the leader is none any more.
    pub renew_deadline: Duration,
    /// From one renewal to the next, and from a failure to the next try.
    pub retry: Duration,
    /// What an answer promises at most; giving up the lease waits for it.
    pub max_validity: Duration,
}

impl Durations {
    /// # Errors
    /// When a rule is broken; the message says which, and what to write.
    pub fn check(self) -> Result<Durations> {
        let Durations {
            lease,
            renew_deadline,
            retry,
            max_validity,
        } = self;
        ensure!(
            lease.subsec_nanos() == 0 && lease.as_secs() >= 1 && lease.as_secs() <= 86_400,
            "--lease-duration is {lease:?}; a Lease holds whole seconds: write 1s to 86400s, such as 15s"
        );
        ensure!(
            renew_deadline < lease,
            "--renew-deadline is {renew_deadline:?}, and must be shorter than --lease-duration, {lease:?}, so that a leader stops \
             before another one starts; two thirds of it are usual"
        );
        ensure!(
            retry >= SHORTEST_RETRY,
            "--retry-period is {retry:?}; write at least {SHORTEST_RETRY:?}, such as 2s"
        );
        if retry.as_secs_f64() * JITTER_FACTOR >= renew_deadline.as_secs_f64() {
            bail!(
                "--renew-deadline is {renew_deadline:?}, and must be longer than {JITTER_FACTOR} times --retry-period, {retry:?}, so \
                 that a renewal can be tried again; five times is usual"
            );
        }
        ensure!(
            max_validity >= Duration::from_millis(1) && max_validity <= renew_deadline,
            "--max-validity is {max_validity:?}; write 1ms to --renew-deadline, {renew_deadline:?}"
        );
        Ok(self)
    }

    /// The lease duration as a Lease has it.
    pub fn lease_seconds(&self) -> i32 {
        i32::try_from(self.lease.as_secs()).unwrap_or(i32::MAX)
    }

    /// How long one call of the API server may take: two fit into the time that a leader has for renewing.
    pub fn call(&self) -> Duration {
        self.renew_deadline / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(lease: u64, renew_deadline: u64, retry: u64, max_validity: u64) -> Result<Durations> {
        let ms = Duration::from_millis;
        let durations = Durations {
            lease: ms(lease),
            renew_deadline: ms(renew_deadline),
            retry: ms(retry),
            max_validity: ms(max_validity),
        };
        durations.check()
    }

    #[test]
    fn durations_keep_client_gos_rules_or_are_refused_with_the_way_out() {
        for (lease, renew_deadline, retry, max_validity) in [
            (15_000, 10_000, 2_000, 500),
            (1_000, 700, 200, 700),
            (2_000, 1_999, 1_000, 1),
        ] {
            durations(lease, renew_deadline, retry, max_validity).unwrap();
        }
        for (lease, renew_deadline, retry, max_validity, message) in [
            (1_500, 1_000, 200, 500, "whole seconds"),
            (0, 1_000, 200, 500, "whole seconds"),
            (2_000, 2_000, 200, 500, "must be shorter than --lease-duration"),
            (15_000, 10_000, 0, 500, "write at least 50ms"),
            (15_000, 2_400, 2_000, 500, "1.2 times --retry-period"),
            (15_000, 10_000, 2_000, 0, "write 1ms to --renew-deadline"),
            (15_000, 10_000, 2_000, 10_001, "write 1ms to --renew-deadline"),
        ] {
            let error = durations(lease, renew_deadline, retry, max_validity).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
