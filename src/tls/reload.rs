//! Serves a certificate from files, and takes up a new one when the files change.
//!
//! The files are read again each second, contents and all: two small files cost less than a watch that misses how kubelet
//! swaps symlinks. Open connections are not touched.
use super::{Pair, authority, callers::Callers, clients::Clients, issue::renewal, served::Served};
use crate::observe::{
    health::{self, Health},
    metrics::Metrics,
};
use crate::regular_file;
use anyhow::{Context, Result};
use axum_server::tls_rustls::RustlsConfig;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// How often the files are looked at.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Where the certificate comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Files that someone else writes.
    Given {
        /// PEM, leaf first.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// Our own authority.
    Own {
        /// Where its files are.
        directory: PathBuf,
        /// Names beside the usual ones.
        names: Vec<String>,
    },
}

/// The certificate that is served, and how to get the next.
#[derive(Debug)]
pub struct Certificate {
    origin: Origin,
    files: (PathBuf, PathBuf),
    seen: Option<(Vec<u8>, Vec<u8>)>,
    renewal: i64,
    /// Who must trust the next one before it is shown.
    callers: Option<Callers>,
    held_back: bool,
    served: Served,
}

impl Certificate {
    /// Loads the certificate, making it first when it is our own. It is shown to everybody, or to these clients alone.
    ///
    /// # Errors
    /// When there is none that works. One that has expired works, but the process is not ready.
    pub fn open(
        origin: Origin,
        clients: Option<Arc<Clients>>,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Result<Certificate> {
        let files = match &origin {
            Origin::Given { certificate, key } => (certificate.clone(), key.clone()),
            Origin::Own { directory, names } => {
                let paths = authority::ensure(directory, names)?;
                tracing::info!(authority = %paths.authority.display(), "serving with a certificate of this authority");
                (paths.certificate, paths.key)
            }
        };
        let contents = read(&files)?;
        let pair = parse(&contents, &files)?;
        let (not_before, not_after) = (pair.not_before, pair.not_after);
        if not_before > health::now() {
            tracing::error!(certificate = %files.0.display(), "the certificate is not valid yet; not ready until it is");
        }
        if not_after <= health::now() {
            tracing::error!(certificate = %files.0.display(), "the certificate has expired; not ready until it is renewed");
        }
        let mut served = Served::nothing(clients, health, metrics)?;
        served.serve(pair)?;
        Ok(Certificate {
            renewal: renewal(not_before, not_after),
            seen: Some(contents),
            origin,
            files,
            callers: None,
            held_back: false,
            served,
        })
    }

    /// The same, showing certificates of another authority once these callers trust it.
    #[must_use]
    pub fn trusted_by(self, callers: Option<Callers>) -> Certificate {
        Certificate { callers, ..self }
    }

    /// For the listener; shows each new handshake the latest good certificate.
    pub fn config(&self) -> RustlsConfig {
        self.served.config()
    }

    /// Takes up a changed certificate if it works; else keeps the present one and says so once.
    pub fn refresh(&mut self) {
        self.renew_if_due();
        let contents = match read(&self.files) {
            Ok(contents) if self.seen.as_ref() == Some(&contents) => return self.served.content(),
            Ok(contents) => contents,
            Err(error) => {
                self.seen = None;
                return self.served.complain(&error);
            }
        };
        match self.take_up(&contents) {
            Ok(false) => {}
            Ok(true) => {
                self.served.reloaded();
                tracing::info!(certificate = %self.files.0.display(), "took up a new certificate");
                self.seen = Some(contents);
            }
            // It is tried again: time alone can make it valid.
            Err(error) => self.served.complain(&error),
        }
    }

    /// Calls [`Certificate::refresh`] each [`PERIOD`] from a thread of its own, for as long as the process lives: a file
    /// system that hangs must not keep a worker.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn keep_fresh(mut self) -> Result<()> {
        let run = move || {
            loop {
                std::thread::sleep(PERIOD);
                self.refresh();
            }
        };
        std::thread::Builder::new()
            .name("certificate".into())
            .spawn(run)
            .context("failed to start a thread")?;
        Ok(())
    }

    fn renew_if_due(&mut self) {
        if let Origin::Own { directory, names } = &self.origin
            && health::now() >= self.renewal
            && let Err(error) = authority::ensure(directory, names)
        {
            self.served.complain(&error.context("failed to renew the certificate"));
        }
    }

    /// Whether it is served from now on; else it is tried again.
    fn take_up(&mut self, contents: &(Vec<u8>, Vec<u8>)) -> Result<bool> {
        let pair = parse(contents, &self.files)?;
        if self.waits_for_callers(&pair) {
            return Ok(false);
        }
        let due = renewal(pair.not_before, pair.not_after);
        self.served
            .take_up(pair)
            .with_context(|| self.files.0.display().to_string())?;
        self.renewal = due;
        Ok(true)
    }

    /// Whether callers are still to be told of who signed this, and the present one serves them meanwhile.
    fn waits_for_callers(&mut self, pair: &Pair) -> bool {
        let Some(callers) = &mut self.callers else { return false };
        let waits = !callers.trust(pair) && self.served.not_after > health::now();
        if waits && !self.held_back {
            tracing::info!(
                certificate = %self.files.0.display(),
                "a new certificate is of another authority: it is shown when callers have been told to trust that"
            );
        }
        self.held_back = waits;
        waits
    }
}

fn read((certificate, key): &(PathBuf, PathBuf)) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path| {
        regular_file::read(path, super::LARGEST).with_context(|| format!("failed to read {}", path.display()))
    };
    Ok((read(certificate)?, read(key)?))
}

fn parse(contents: &(Vec<u8>, Vec<u8>), files: &(PathBuf, PathBuf)) -> Result<Pair> {
    Pair::from_pem(&contents.0, &contents.1)
        .with_context(|| format!("failed to use {} with {}", files.0.display(), files.1.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use std::fs;

    fn install(files: &(PathBuf, PathBuf), (from, to): (i32, i32)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        fs::write(&files.0, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
    }

    fn served(directory: &Path, years: (i32, i32)) -> Certificate {
        let files = (directory.join("tls.crt"), directory.join("tls.key"));
        install(&files, years);
        let (certificate, key) = files;
        Certificate::open(Origin::Given { certificate, key }, None, Arc::default(), Arc::default()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_not_yet_valid_does_not_replace_one_that_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 3000));
        let before = certificate.served.not_after;
        install(&certificate.files, (2900, 3100));
        certificate.refresh();
        assert_eq!(certificate.served.not_after, before);
        assert!(certificate.served.complaint.as_ref().unwrap().contains("not valid yet"));
        install(&certificate.files, (2000, 3200));
        certificate.refresh();
        assert!(certificate.served.not_after > before && certificate.served.complaint.is_none());
    }

    #[test]
    fn a_certificate_that_never_works_is_replaced_by_one_that_will() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 2001));
        install(&certificate.files, (2900, 3100));
        certificate.refresh();
        assert_eq!(certificate.served.complaint, None);
    }

    #[test]
    fn a_fifo_for_a_key_is_an_error_and_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 3000));
        fs::remove_file(&certificate.files.1).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&certificate.files.1).status();
        assert!(made.unwrap().success());
        certificate.refresh();
        let complaint = certificate.served.complaint.as_ref().unwrap();
        assert!(complaint.contains("not a regular file"), "{complaint}");
    }
}
