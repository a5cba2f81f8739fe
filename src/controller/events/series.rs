//! What has been told, so that the same is counted and not told again. It knows no API server.
use crate::observe::events::{Event, Reference};
use k8s_openapi::jiff::Timestamp;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// Events that are remembered.
const REMEMBERED: usize = 2_000;
/// What has not happened for so long is told anew (as in client-go).
const FORGOTTEN_AFTER: Duration = Duration::from_secs(360);
/// How soon the first repetition is counted up; each further one waits twice as long, up to the limit.
const FIRST_COUNT: Duration = Duration::from_secs(5);
const SLOWEST_COUNT: Duration = Duration::from_secs(160);
/// Events about one object at once, and how soon there may be another one.
const OF_ONE: f64 = 10.0;
const ANOTHER_AFTER: Duration = Duration::from_secs(30);
/// As much of an object's name as the name of an Event begins with.
const NAME_BYTES: usize = 200;

/// What becomes of something that has happened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be told, in an object of this name.
    New { name: String },
    /// It has been told, and will be counted.
    Again,
    /// It is not told: too much is, of that object or at all.
    TooMany,
}

/// An Event of which the number is to be told.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) event: Event,
    pub(super) name: String,
    pub(super) count: i32,
    pub(super) last: Timestamp,
}

/// What has been told.
#[derive(Debug, Default)]
pub(super) struct Series {
    told: HashMap<Event, Entry>,
    owners: HashMap<Reference, Allowance>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    count: i32,
    told_count: i32,
    last: (Instant, Timestamp),
    wait: Duration,
    next_count: Instant,
}

/// How many Events there may still be about one object.
#[derive(Debug)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        let grown = (now - self.at).as_secs_f64() / ANOTHER_AFTER.as_secs_f64();
        self.left = (self.left + grown).min(OF_ONE);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

impl Series {
    pub(super) fn take(&mut self, event: &Event, now: Instant) -> Taken {
        self.sweep(now);
        if let Some(entry) = self.told.get_mut(event) {
            entry.count = entry.count.saturating_add(1);
            entry.last = (now, Timestamp::now());
            return Taken::Again;
        }
        if self.told.len() >= REMEMBERED {
            return Taken::TooMany;
        }
        let owner = self
            .owners
            .entry(event.regarding.clone())
            .or_insert(Allowance { left: OF_ONE, at: now });
        if !owner.take(now) {
            return Taken::TooMany;
        }
        let time = Timestamp::now();
        let beginning = super::shortened(&event.regarding.name, NAME_BYTES).trim_end_matches(['.', '-']);
        let name = format!("{beginning}.{:x}{:04x}", time.as_microsecond(), fastrand::u16(..));
        let entry = Entry {
            name: name.clone(),
            count: 1,
            told_count: 1,
            last: (now, time),
            wait: FIRST_COUNT,
            next_count: now + FIRST_COUNT,
        };
        self.told.insert(event.clone(), entry);
        Taken::New { name }
    }

    /// One whose number has grown since it was told, and that is to be told now.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |entry: &Entry| entry.count > entry.told_count && entry.next_count <= now;
        let (event, entry) = self.told.iter_mut().find(|(_, entry)| is_due(entry))?;
        entry.told_count = entry.count;
        entry.wait = (entry.wait * 2).min(SLOWEST_COUNT);
        entry.next_count = now + entry.wait;
        Some(Due {
            event: event.clone(),
            name: entry.name.clone(),
            count: entry.count,
            last: entry.last.1,
        })
    }

    /// As if it had not happened.
    pub(super) fn forget(&mut self, event: &Event) {
        self.told.remove(event);
    }

    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + FIRST_COUNT) {
            return;
        }
        self.swept = Some(now);
        self.told
            .retain(|_, entry| now < entry.last.0 + FORGOTTEN_AFTER || entry.count > entry.told_count);
        // After so long the allowance is whole again.
        self.owners
            .retain(|_, allowance| now < allowance.at + ANOTHER_AFTER.mul_f64(OF_ONE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::events::Tone;

    fn event(owner: &str, note: &str) -> Event {
        Event {
            regarding: Reference {
                name: owner.into(),
                ..Reference::default()
            },
            related: None,
            tone: Tone::Warning,
            reason: "PodRefused",
            action: "Admit",
            note: note.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_again_is_counted_and_more_and_more_seldom_told() {
        let mut series = Series::default();
        let mut now = Instant::now();
        assert!(matches!(series.take(&event("a", "x"), now), Taken::New { .. }));
        let mut told = Vec::new();
        for second in 0..100 {
            assert_eq!(series.take(&event("a", "x"), now), Taken::Again);
            if let Some(due) = series.due(now) {
                told.push((second, due.count));
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(told, [(5, 7), (15, 17), (35, 37), (75, 77)]);
        // The rest is told all the same.
        now += Duration::from_secs(60);
        assert_eq!(series.due(now).map(|due| due.count), Some(101));
        assert!(series.due(now).is_none());
        now += FORGOTTEN_AFTER;
        assert!(matches!(series.take(&event("a", "x"), now), Taken::New { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn one_object_does_not_use_up_what_others_have() {
        let mut series = Series::default();
        let mut now = Instant::now();
        let mut take = |owner: &str, note: usize, now| series.take(&event(owner, &note.to_string()), now);
        let told = (0..100).filter(|note| take("a", *note, now) != Taken::TooMany).count();
        assert_eq!(told, 10);
        assert!(matches!(take("b", 1, now), Taken::New { .. }));
        now += ANOTHER_AFTER;
        assert!(matches!(take("a", 101, now), Taken::New { .. }));
        assert_eq!(take("a", 102, now), Taken::TooMany);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let mut series = Series::default();
        let now = Instant::now();
        for number in 0..2 * REMEMBERED {
            series.take(&event(&number.to_string(), "x"), now);
        }
        assert_eq!(series.told.len(), REMEMBERED);
        let later = now + FORGOTTEN_AFTER;
        assert!(matches!(series.take(&event("new", "x"), later), Taken::New { .. }));
        assert_eq!((series.told.len(), series.owners.len()), (1, 1));
    }
}
