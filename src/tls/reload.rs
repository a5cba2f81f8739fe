//! Serves a certificate from files, and takes up a new one when the files change.
//!
//! The files are read again each second, contents and all: two small files cost less than a watch that misses how kubelet
//! swaps symlinks. Open connections are not touched.
use super::{
    Pair,
    authority::{self, renewal},
};
use crate::observe::{
    health::{self, Health},
    metrics::{Metrics, Source},
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
    complaint: Option<String>,
    not_before: i64,
    not_after: i64,
    renewal: i64,
    config: RustlsConfig,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl Certificate {
    /// Loads the certificate, making it first when it is our own.
    ///
    /// # Errors
    /// When there is none that works. One that has expired works, but the process is not ready.
    pub fn open(origin: Origin, health: Arc<Health>, metrics: Arc<Metrics>) -> Result<Certificate> {
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
        let certificate = Certificate {
            config: RustlsConfig::from_config(pair.into_server_config()?),
            renewal: renewal(not_before, not_after),
            seen: Some(contents),
            complaint: None,
            origin,
            files,
            not_before,
            not_after,
            health,
            metrics,
        };
        certificate.announce();
        Ok(certificate)
    }

    /// For the listener; shows each new handshake the latest good certificate.
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Takes up a changed certificate if it works; else keeps the present one and says so once.
    pub fn refresh(&mut self) {
        self.renew_if_due();
        let contents = match read(&self.files) {
            Ok(contents) if self.seen.as_ref() == Some(&contents) => {
                self.complaint = None;
                return;
            }
            Ok(contents) => contents,
            Err(error) => {
                self.seen = None;
                return self.complain(&error);
            }
        };
        match self.take_up(&contents) {
            Ok(()) => {
                self.complaint = None;
                self.metrics.reloaded(Source::Certificate, true);
                self.announce();
                tracing::info!(certificate = %self.files.0.display(), "took up a new certificate");
                self.seen = Some(contents);
            }
            // It is tried again: time alone can make it valid.
            Err(error) => self.complain(&error),
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
            self.complain(&error.context("failed to renew the certificate"));
        }
    }

    fn take_up(&mut self, contents: &(Vec<u8>, Vec<u8>)) -> Result<()> {
        let pair = parse(contents, &self.files)?;
        let now = health::now();
        anyhow::ensure!(
            pair.not_after > now || self.not_after <= now,
            "{}: the certificate has expired; renew it",
            self.files.0.display()
        );
        anyhow::ensure!(
            pair.not_before <= now || self.not_before > now || self.not_after <= now,
            "{}: the certificate is not valid yet; set the clock that it was made by, or wait",
            self.files.0.display()
        );
        (self.not_before, self.not_after) = (pair.not_before, pair.not_after);
        self.renewal = renewal(pair.not_before, pair.not_after);
        self.config.reload_from_config(pair.into_server_config()?);
        Ok(())
    }

    fn complain(&mut self, error: &anyhow::Error) {
        let complaint = format!("{error:#}");
        if self.complaint.as_ref() != Some(&complaint) {
            tracing::error!(error = complaint, "kept the present certificate");
            self.metrics.reloaded(Source::Certificate, false);
            self.complaint = Some(complaint);
        }
    }

    fn announce(&self) {
        self.health.certificate_is_valid(self.not_before, self.not_after);
        self.metrics.certificate_expires(self.not_after);
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
        Certificate::open(Origin::Given { certificate, key }, Arc::default(), Arc::default()).unwrap()
    }

    #[test]
    fn a_certificate_that_is_not_yet_valid_does_not_replace_one_that_is() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 3000));
        let before = certificate.not_after;
        install(&certificate.files, (2900, 3100));
        certificate.refresh();
        assert_eq!(certificate.not_after, before);
        assert!(certificate.complaint.as_ref().unwrap().contains("not valid yet"));
        install(&certificate.files, (2000, 3200));
        certificate.refresh();
        assert!(certificate.not_after > before && certificate.complaint.is_none());
    }

    #[test]
    fn a_certificate_that_never_works_is_replaced_by_one_that_will() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 2001));
        install(&certificate.files, (2900, 3100));
        certificate.refresh();
        assert_eq!(certificate.complaint, None);
    }

    #[test]
    fn a_fifo_for_a_key_is_an_error_and_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let mut certificate = served(directory.path(), (2000, 3000));
        fs::remove_file(&certificate.files.1).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&certificate.files.1).status();
        assert!(made.unwrap().success());
        certificate.refresh();
        let complaint = certificate.complaint.as_ref().unwrap();
        assert!(complaint.contains("not a regular file"), "{complaint}");
    }
}
