//! What is wrong with an election at present: logged when it changes and now and then, and told to whoever asks.
use super::clock::Instant;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// What lasts is said again after this time.
const AGAIN_AFTER: Duration = Duration::from_secs(60);

/// The present complaint of an election.
#[derive(Debug)]
pub struct Complaints {
    election: String,
    present: Mutex<Option<(String, Instant)>>,
}

impl Complaints {
    /// Nothing is wrong yet.
    pub fn new(election: &str) -> Complaints {
        Complaints {
            election: election.to_owned(),
            present: Mutex::default(),
        }
    }

    /// What is wrong, if anything is.
    pub fn present(&self) -> Option<String> {
        let present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        present.as_ref().map(|(text, _)| text.clone())
    }

    /// Something is wrong.
    pub fn raise(&self, text: String) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((known, said)) = present.as_ref()
            && *known == text
            && now - *said < AGAIN_AFTER
        {
            return;
        }
        tracing::warn!(election = self.election, "{text}");
        *present = Some((text, now));
    }

    /// All is well again.
    pub fn settle(&self) {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if present.take().is_some() {
            tracing::info!(election = self.election, "the election goes on");
        }
    }
}
