//! Whom callers trust, by a file that comes with a given certificate: a certificate of an authority that they have just been
//! told of is not shown to them yet.
//!
//! Kubelets bring such files at different times, up to a minute and a half apart. The replica that leads tells callers what to
//! trust when its own file changes, and others may have theirs before it.
use super::{LARGEST, Pair};
use crate::regular_file;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The authorities of the file, and since when each has been there.
#[derive(Debug)]
pub struct Callers {
    file: PathBuf,
    patience: Duration,
    /// `None`: from the start on.
    authorities: Vec<(CertificateDer<'static>, Option<Instant>)>,
}

impl Callers {
    /// What is in the file now is trusted; what comes later, after that time.
    pub fn new(file: PathBuf, patience: Duration) -> Callers {
        let mut callers = Callers {
            file,
            patience,
            authorities: Vec::new(),
        };
        callers.look(None);
        callers
    }

    /// Whether this can be shown to callers. Of an authority that is not in the file at all it cannot be told, so it can.
    pub fn trust(&mut self, pair: &Pair) -> bool {
        self.look(Some(Instant::now()));
        let mut signers = self
            .authorities
            .iter()
            .filter(|(authority, _)| pair.is_signed_by(authority))
            .peekable();
        signers.peek().is_none() || signers.any(|(_, since)| since.is_none_or(|since| since.elapsed() >= self.patience))
    }

    fn look(&mut self, now: Option<Instant>) {
        // What cannot be read is told by who registers the webhooks.
        let Ok(text) = regular_file::read(&self.file, LARGEST) else {
            return;
        };
        let there: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&text).filter_map(Result::ok).collect();
        self.authorities.retain(|(authority, _)| there.contains(authority));
        for authority in there {
            if !self.authorities.iter().any(|(known, _)| *known == authority) {
                self.authorities.push((authority, now));
            }
        }
    }
}
