//! What callers have to trust, from a file that somebody else writes, such as cert-manager's `ca.crt`.
use crate::{regular_file, tls};
use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{sync::watch, time::sleep};

/// How often the file is read.
const PERIOD: Duration = Duration::from_secs(1);

/// States what the file holds, whenever that changes. What cannot be used changes nothing.
pub(super) async fn follow(path: PathBuf, trust: watch::Sender<Option<String>>) {
    let mut complaint = None;
    loop {
        let file = path.clone();
        // A file system that hangs must not keep this thread.
        let read = tokio::task::spawn_blocking(move || read(&file)).await;
        match read.unwrap_or_else(|error| Err(error.into())) {
            Ok(text) => {
                complaint = None;
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
