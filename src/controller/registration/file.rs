//! What callers have to trust, from a file that somebody else writes, such as cert-manager's `ca.crt`.
use crate::{regular_file, tls};
use anyhow::{Context, Result, ensure};
use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

const UNIX: EncodeConfig = EncodeConfig::new().set_line_ending(LineEnding::LF);
/// How often the file is read.
const PERIOD: Duration = Duration::from_secs(1);

/// States what the file holds, whenever that changes, and `overlap` longer what it and `former` held before. What cannot be
/// used changes nothing.
pub(super) async fn follow(path: PathBuf, former: String, overlap: Duration, trust: watch::Sender<Option<String>>) {
    let mut former = Former::new(&former, overlap);
    let mut complaint = None;
    loop {
        let file = path.clone();
        // A file system that hangs must not keep this thread.
        let read = tokio::task::spawn_blocking(move || read(&file)).await;
        match read.unwrap_or_else(|error| Err(error.into())) {
            Ok(text) => {
                complaint = None;
                let text = former.beside(text);
                trust.send_if_modified(|stated| {
                    let modified = stated.as_ref() != Some(&text);
                    *stated = Some(text);
                    modified
                });
            }
            Err(error) => {
                let said = format!("{error:#}");
                if complaint.as_ref() != Some(&said) {
                    tracing::error!("{said}; the webhook configurations go on trusting what they do");
                    complaint = Some(said);
                }
            }
        }
        sleep(PERIOD).await;
    }
}

/// Authorities that were trusted before.
struct Former {
    overlap: Duration,
    present: Vec<Pem>,
    /// Each with the time at which it is trusted no more.
    former: Vec<(Pem, Instant)>,
}

impl Former {
    fn new(text: &str, overlap: Duration) -> Former {
        Former {
            overlap,
            present: certificates(text),
            former: Vec::new(),
        }
    }

    /// The text, and behind it the certificates that are still trusted beside those in it.
    fn beside(&mut self, text: String) -> String {
        let (now, there) = (Instant::now(), certificates(&text));
        let gone = self
            .present
            .drain(..)
            .filter(|certificate| !there.contains(certificate));
        self.former
            .extend(gone.map(|certificate| (certificate, now + self.overlap)));
        self.former
            .retain(|(certificate, end)| now < *end && !there.contains(certificate));
        self.present = there;
        let line_break = if text.ends_with('\n') || self.former.is_empty() {
            ""
        } else {
            "\n"
        };
        let former: String = self
            .former
            .iter()
            .map(|(certificate, _)| pem::encode_config(certificate, UNIX))
            .collect();
        text + line_break + &former
    }
}

fn certificates(text: &str) -> Vec<Pem> {
    let blocks = pem::parse_many(text).unwrap_or_default();
    blocks
        .into_iter()
        .filter(|block| block.tag() == "CERTIFICATE")
        .collect()
}

/// The file's text, if it holds certificates.
///
/// # Errors
/// When it does not.
pub fn read(path: &Path) -> Result<String> {
    let unusable = || format!("failed to use the certificate authorities in {}", path.display());
    let text = regular_file::read_to_string(path, tls::LARGEST).with_context(unusable)?;
    let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .with_context(unusable)?;
    ensure!(!certificates.is_empty(), "{}: it holds no certificate", path.display());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::issue;

    #[tokio::test(start_paused = true)]
    async fn who_was_trusted_before_is_for_a_while() {
        let authority = || {
            issue::authority(time::OffsetDateTime::now_utc(), issue::AUTHORITY_LIFE)
                .unwrap()
                .certificate
        };
        let all = [authority(), authority(), authority()];
        let trusted = |former: &mut Former, text: &str| {
            let text = former.beside(text.to_owned());
            all.each_ref().map(|authority| {
                certificates(&text)
                    .iter()
                    .filter(|one| certificates(authority)[0] == **one)
                    .count()
            })
        };
        let [a, b, c] = &all;
        let mut former = Former::new(a, Duration::from_secs(10));
        assert_eq!(former.beside(a.clone()), *a);
        assert_eq!(trusted(&mut former, b.trim_end()), [1, 1, 0]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(trusted(&mut former, c), [1, 1, 1]);
        tokio::time::advance(Duration::from_secs(6)).await;
        assert_eq!(trusted(&mut former, c), [0, 1, 1]);
        assert_eq!(trusted(&mut former, b), [0, 1, 1]);
        tokio::time::advance(Duration::from_secs(12)).await;
        assert_eq!(former.beside(b.clone()), *b);
    }
}
