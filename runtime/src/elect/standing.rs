//! Where an election stands, as this process knows it: what it has seen of the Lease, and whether it leads.
//!
//! Every decision and every answer is made here, from what is passed in: no clock is read, nobody is called. Two things
//! keep two processes from leading at once. A Lease is only taken when it has stayed at one version for as long as its holder
//! says, and the write names that version. And a leader counts from the instant before it sent the renewal that was
//! confirmed: others saw that later, so they wait longer.
use super::{clock::Instant, durations::Durations, record::Record};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// What a process knows of one election.
#[derive(Debug)]
pub struct Standing {
    identity: String,
    durations: Durations,
    seen: Option<Seen>,
    /// The highest version seen: events of a watch up to it tell nothing new.
    floor: u64,
    term: Option<Term>,
    /// Until then an answer may be relied upon that was given before.
    promised_until: Instant,
    /// Until then it does not try to lead, so that another one can.
    resting_until: Option<Instant>,
    /// Told to end: it leads no more, whatever is still confirmed.
    ended: bool,
    /// The outcome of a write is not known, so the Lease must be read first.
    pub unsure: bool,
    /// Nothing is tried before.
    pub not_before: Instant,
}

/// The Lease, or that there is none.
#[derive(Debug)]
struct Seen {
    record: Option<Record>,
    at: Instant,
    /// From then on it may be taken.
    free_at: Instant,
}

/// From acquiring the lease until it is lost, given up, or not renewed in time.
#[derive(Debug, Clone, Copy)]
struct Term {
    /// The version that the acquiring write made.
    token: u64,
    /// Before the last confirmed write was sent.
    sent: Instant,
    valid_until: Instant,
}

/// How something about the Lease was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Read from the store, after this instant.
    Read(Instant),
    /// An event of a watch, which may lag behind: the Lease came to this version, or went with it.
    Event(u64),
}

/// What a candidate does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until then or until something changes.
    Wait(Instant),
    /// Read the Lease.
    Look,
    /// Write itself into the Lease.
    Acquire,
    /// Write the Lease again.
    Renew,
}

/// What can be said about an election at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The Pod that leads, as far as this process knows; empty: nobody, or not known.
    pub name: String,
    /// When its term began, by its own wall clock.
    pub since: Option<Timestamp>,
    /// The fencing token, when this process leads.
    pub token: Option<u64>,
}

/// The name of the Pod in an identity: what stands before the random part.
fn pod(identity: &str) -> &str {
    identity.rsplit_once('_').map_or(identity, |(pod, _)| pod)
}

impl Standing {
    /// Nothing is known yet.
    pub fn new(identity: String, durations: Durations) -> Standing {
        Standing {
            identity,
            durations,
            seen: None,
            floor: 0,
            term: None,
            promised_until: Instant::default(),
            resting_until: None,
            ended: false,
            unsure: false,
            not_before: Instant::default(),
        }
    }

    /// Whether anything is known of the Lease.
    pub fn is_known(&self) -> bool {
        self.seen.is_some()
    }

    /// The Lease as last seen.
    pub fn record(&self) -> Option<&Record> {
        self.seen.as_ref()?.record.as_ref()
    }

    /// Since when the Lease may be taken.
    pub fn free_at(&self) -> Option<Instant> {
        Some(self.seen.as_ref()?.free_at)
    }

    /// Whether the Lease, as last seen, is held by this process.
    pub fn holds(&self) -> bool {
        self.record().and_then(|record| record.holder.as_deref()) == Some(&self.identity)
    }

    fn term_at(&self, now: Instant) -> Option<&Term> {
        self.term.as_ref().filter(|term| now < term.valid_until)
    }

    /// Whether it leads.
    pub fn leads(&self, now: Instant) -> bool {
        self.term_at(now).is_some()
    }

    /// Takes note of the Lease, or of its absence. Whatever is older than what is known is passed over.
    pub fn observe(&mut self, record: Option<Record>, source: Source, at: Instant) {
        let version = record.as_ref().map(|record| record.version);
        let is_news = match (source, &self.seen) {
            (_, None) => true,
            (Source::Event(version), Some(_)) => version > self.floor,
            // A read that began after the last news is later than them. Where its version is lower nevertheless, the store has
            // been restored from a backup.
            (Source::Read(began), Some(seen)) => {
                version.is_some_and(|version| version > self.floor) || began >= seen.at
            }
        };
        // That it is still absent, too, is nothing new.
        let is_same = self.seen.is_some() && version == self.record().map(|record| record.version);
        if !is_news || is_same {
            return;
        }
        let holder = record.as_ref().and_then(|record| record.holder.as_deref());
        let is_own = holder == Some(&self.identity);
        if !is_own {
            self.term = None;
        }
        let free_at = match (&record, holder) {
            (_, Some(_)) if is_own => at,
            (Some(record), Some(_)) => at + record.duration.unwrap_or(self.durations.lease),
            (Some(_), None) => at,
            // Somebody deleted it; who held it does not know yet.
            (None, _) => self.free_at().map_or(at, |free_at| free_at.max(at)),
        };
        if holder.is_some() && !is_own {
            self.resting_until = None;
        }
        self.floor = match (source, version) {
            (Source::Event(version), _) | (_, Some(version)) => version,
            (Source::Read(_), None) => self.floor,
        };
        self.seen = Some(Seen { record, at, free_at });
    }

    /// Takes note that a write of this process, sent after `sent`, was done, which made the Lease `record`. Whether a term begins with it.
    pub fn confirm(&mut self, record: Record, sent: Instant, now: Instant) -> bool {
        let continued = self.term_at(now).map(|term| term.token);
        let token = record.version;
        if token < self.floor {
            // Somebody wrote since, and was heard first.
            self.unsure = true;
            return false;
        }
        self.floor = token;
        self.seen = Some(Seen {
            record: Some(record),
            at: now,
            free_at: now,
        });
        if self.ended || self.rests(now) {
            return false;
        }
        self.term = Some(Term {
            token: continued.unwrap_or(token),
            sent,
            valid_until: sent + self.durations.renew_deadline,
        });
        continued.is_none()
    }

    /// What a candidate does next; it waits `hesitation` before it takes a Lease from another one.
    pub fn next(&self, now: Instant, hesitation: Duration) -> Step {
        if now < self.not_before {
            return Step::Wait(self.not_before);
        }
        if self.unsure {
            return Step::Look;
        }
        let Some(seen) = self.seen.as_ref() else {
            return Step::Wait(now + self.durations.retry);
        };
        if let Some(term) = self.term_at(now) {
            let due = term.sent + self.durations.retry;
            return if now < due { Step::Wait(due) } else { Step::Renew };
        }
        let hesitation = if self.holds() { Duration::ZERO } else { hesitation };
        let free_at = (seen.free_at + hesitation).max(self.resting_until.unwrap_or_default());
        if now < free_at {
            Step::Wait(free_at)
        } else {
            Step::Acquire
        }
    }

    /// What holds at this instant, without a promise.
    pub fn view(&self, now: Instant) -> View {
        let nobody = View {
            name: String::new(),
            since: None,
            token: None,
        };
        let Some((seen, record)) = self.seen.as_ref().and_then(|seen| Some((seen, seen.record.as_ref()?))) else {
            return nobody;
        };
        let holder = record.holder.as_deref().map(pod).unwrap_or_default();
        let own = pod(&self.identity);
        let token = self.term_at(now).map(|term| term.token);
        // Whoever compares the name with that of the own Pod, as one does with the well-known container, must not take itself
        // for the leader because of a lease that has run out, or that an earlier process of the Pod had.
        let is_other = holder != own && now < seen.free_at;
        if token.is_none() && !is_other {
            return nobody;
        }
        View {
            name: holder.to_owned(),
            since: record.acquired,
            token,
        }
    }

    /// What holds at this instant, and for how long it can be relied upon: nothing, unless this process leads.
    pub fn answer(&mut self, now: Instant) -> (View, Duration) {
        let view = self.view(now);
        let Some(term) = self.term_at(now) else {
            return (view, Duration::ZERO);
        };
        let left = (term.valid_until - now).min(self.durations.max_validity);
        self.promised_until = self.promised_until.max(now + left);
        (view, left)
    }

    /// Leads no more from now on. Until the instant that is returned somebody may rely on an earlier answer.
    pub fn step_down(&mut self) -> Instant {
        self.term = None;
        self.promised_until
    }

    /// As [`Self::step_down`], and lets others lead: until one does, at most for a lease duration.
    pub fn rest(&mut self, now: Instant) -> Instant {
        self.resting_until = Some(now + self.durations.lease);
        self.step_down()
    }

    /// Whether it lets others lead.
    pub fn rests(&mut self, now: Instant) -> bool {
        self.resting_until = self.resting_until.filter(|until| now < *until);
        self.resting_until.is_some()
    }

    /// As [`Self::step_down`], for good.
    pub fn end(&mut self) -> Instant {
        self.ended = true;
        self.step_down()
    }
}
