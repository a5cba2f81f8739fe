//! How long an item waits until it is tried again.
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// After `attempts` failed ones: `first`, doubled with each, at most `longest`; a part of it by chance, so that what failed together does not
/// come back together. What the application asked for counts where it is longer, up to `longest`.
pub fn delay(attempts: u32, first: Duration, longest: Duration, asked: Option<Duration>) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    let scattered = doubled.min(longest).mul_f64(rand::random_range(0.75..1.0));
    scattered.max(asked.unwrap_or_default().min(longest))
}

/// The value of `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
pub fn retry_after(value: &str, now: OffsetDateTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = OffsetDateTime::parse(value.trim(), &Rfc2822).ok()?;
    Some((date - now).try_into().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_what_was_asked_for_counts() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(10));
        for (attempts, most) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (500, 10)] {
            let most = Duration::from_secs(most);
            let wait = delay(attempts, first, longest, None);
            assert!(wait <= most && wait >= most.mul_f64(0.75), "{attempts}: {wait:?}");
        }
        assert_eq!(
            delay(1, first, longest, Some(Duration::from_secs(7))),
            Duration::from_secs(7)
        );
        assert_eq!(delay(1, first, longest, Some(Duration::from_secs(70))), longest);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = OffsetDateTime::parse("Wed, 21 Oct 2015 07:28:00 GMT", &Rfc2822).unwrap();
        let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:28:30 GMT"), Some(30));
        assert_eq!(seconds("Wed, 21 Oct 2015 07:27:00 GMT"), Some(0));
        assert_eq!(seconds("soon"), None);
    }
}
