//! Numbers as flags have them: bytes, shares, statuses, and how many shards are enough.
use hyper::StatusCode;
use std::{fmt, ops::RangeInclusive, str::FromStr};

/// A number of bytes: `4096`, `64KiB` or `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Bytes, String> {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
        let unit = units
            .iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
        let (number, shift) = unit.unwrap_or((text, 0));
        let bytes = number
            .parse::<usize>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift));
        bytes
            .filter(|bytes| (1..=1 << 40).contains(bytes))
            .map(Bytes)
            .ok_or_else(|| format!("{text:?} is not a number of bytes; write 65536, 64KiB or 1MiB"))
    }
}

/// A share: `10%`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
        percent
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Share(percent / 100.0))
            .ok_or_else(|| format!("{text:?} is not a share; write 0% to 100%"))
    }
}

/// How many shards must have answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Require {
    /// Every one.
    All,
    /// So many.
    Count(u32),
    /// So many of a hundred, rounded up.
    Percent(f64),
}

impl Require {
    /// How many of `shards` that is; at least one.
    pub fn of(self, shards: usize) -> usize {
        match self {
            Require::All => shards,
            Require::Count(count) => count as usize,
            // A hair less, so that 7% of 100 is 7 whatever the machine's 0.07 is.
            Require::Percent(percent) => ((shards as f64 * percent / 100.0 - 1e-9).ceil() as usize).max(1),
        }
    }
}

impl FromStr for Require {
    type Err = String;

    fn from_str(text: &str) -> Result<Require, String> {
        let wrong = || format!("{text:?} is not a number of shards; write all, a number from 1, or a share, as 80%");
        if text == "all" {
            return Ok(Require::All);
        }
        if text.ends_with('%') {
            let Share(share) = text.parse().map_err(|_| wrong())?;
            return Some(Require::Percent(share * 100.0))
                .filter(|_| share > 0.0)
                .ok_or_else(wrong);
        }
        text.parse()
            .ok()
            .filter(|count| *count > 0)
            .map(Require::Count)
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Require {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Require::All => out.write_str("all"),
            Require::Count(count) => count.fmt(out),
            Require::Percent(percent) => write!(out, "{percent}%"),
        }
    }
}

/// Statuses: `200-299,404`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// Whether it is one of them.
    pub fn contain(&self, status: StatusCode) -> bool {
        self.0.iter().any(|range| range.contains(&status.as_u16()))
    }
}

impl FromStr for Statuses {
    type Err = String;

    fn from_str(text: &str) -> Result<Statuses, String> {
        let range = |item: &str| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
            (200 <= first && first <= last && last <= 599).then_some(first..=last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(Statuses).ok_or_else(|| {
            format!("{text:?} are not statuses; write numbers and ranges from 200 to 599, as 200-299,404")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_shares_are_read_and_what_is_none_is_refused_with_the_way_out() {
        let bytes = |text: &str| text.parse::<Bytes>().map(|bytes| bytes.0);
        assert_eq!(
            (bytes("1"), bytes("64KiB"), bytes("1MiB")),
            (Ok(1), Ok(65_536), Ok(1 << 20))
        );
        for wrong in ["", "0", "-1", "1MB", "KiB", "1.5MiB", "99999999999GiB"] {
            assert!(bytes(wrong).unwrap_err().contains("write 65536"), "{wrong}");
        }
        assert_eq!("2.5%".parse(), Ok(Share(0.025)));
        for wrong in ["", "5", "-1%", "101%", "NaN%", "%"] {
            assert!(
                wrong.parse::<Share>().unwrap_err().contains("write 0% to 100%"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn enough_is_all_or_a_number_or_a_share_rounded_up() {
        let of = |text: &str, shards| text.parse::<Require>().map(|require| require.of(shards));
        assert_eq!(of("all", 16), Ok(16));
        assert_eq!(of("3", 16), Ok(3));
        assert_eq!(
            (of("50%", 3), of("7%", 100), of("1%", 16), of("100%", 16)),
            (Ok(2), Ok(7), Ok(1), Ok(16))
        );
        for wrong in ["", "0", "0%", "-1", "half", "101%"] {
            assert!(of(wrong, 1).unwrap_err().contains("write all"), "{wrong}");
        }
    }

    #[test]
    fn statuses_are_numbers_and_ranges() {
        let statuses: Statuses = "200-299, 404".parse().unwrap();
        let contained = [200, 299, 404].map(|code| statuses.contain(StatusCode::from_u16(code).unwrap()));
        assert_eq!(contained, [true; 3]);
        assert!(!statuses.contain(StatusCode::FOUND));
        for wrong in ["", "100", "299-200", "2xx", "200-600"] {
            assert!(
                wrong.parse::<Statuses>().unwrap_err().contains("as 200-299,404"),
                "{wrong}"
            );
        }
    }
}
