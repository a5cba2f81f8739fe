//! A certificate authority of our own in a directory: `ca.crt`, `ca.key`, and a leaf in `tls.crt`, `tls.key`.
//!
//! What is there is used as long as it is good; what is not is made. Whoever trusts `ca.crt` reaches the webhook.
use super::issue::{self, AUTHORITY_LIFE, Issued, LEAF_LIFE, carries, renewal};
use crate::regular_file;
use anyhow::{Context, Result};
use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, pem::parse_x509_pem, prelude::FromDer};

/// The names that every leaf carries: this machine, and the Service in a cluster.
const NAMES: [&str; 5] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "outrigger.outrigger-system.svc",
    "outrigger.outrigger-system.svc.cluster.local",
];

/// Where the files of an authority are.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The authority's certificate, for clients to trust.
    pub authority: PathBuf,
    authority_key: PathBuf,
    /// The leaf's certificate.
    pub certificate: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
}

impl Paths {
    /// The files' names in `directory`.
    pub fn new(directory: &Path) -> Self {
        Paths {
            authority: directory.join("ca.crt"),
            authority_key: directory.join("ca.key"),
            certificate: directory.join("tls.crt"),
            key: directory.join("tls.key"),
        }
    }
}

/// Sees to it that `directory` holds a valid authority and leaf for the usual names and `more` (DNS names or IP addresses).
///
/// # Errors
/// When the directory cannot be written, or a name is not one.
pub fn ensure(directory: &Path, more: &[String]) -> Result<Paths> {
    ensure_at(directory, more, OffsetDateTime::now_utc())
}

fn ensure_at(directory: &Path, more: &[String], now: OffsetDateTime) -> Result<Paths> {
    let paths = Paths::new(directory);
    fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
    // Two processes that start together must not each make an authority.
    let guard = File::create(directory.join(".lock"))
        .with_context(|| format!("failed to write in {}; choose another directory", directory.display()))?;
    guard.lock().context("failed to lock the certificate directory")?;
    let names: Vec<String> = NAMES
        .iter()
        .map(ToString::to_string)
        .chain(more.iter().cloned())
        .collect();
    let authority = match reusable_authority(&paths, now) {
        Some(authority) => authority,
        None => make_authority(&paths, now)?,
    };
    if !leaf_is_reusable(&paths, &names, now) {
        make_leaf(&paths, &names, &authority, now)?;
    }
    Ok(paths)
}

fn reusable_authority(paths: &Paths, now: OffsetDateTime) -> Option<Issued> {
    let certificate = regular_file::read_to_string(&paths.authority, super::LARGEST).ok()?;
    let key = regular_file::read_to_string(&paths.authority_key, super::LARGEST).ok()?;
    super::Pair::from_pem(certificate.as_bytes(), key.as_bytes()).ok()?;
    let (_, pem) = parse_x509_pem(certificate.as_bytes()).ok()?;
    let (_, parsed) = X509Certificate::from_der(&pem.contents).ok()?;
    // A leaf must not outlive its authority.
    let needed = (now + LEAF_LIFE).unix_timestamp();
    if !parsed.is_ca() || parsed.validity().not_after.timestamp() <= needed {
        return None;
    }
    Some(Issued { certificate, key })
}

fn make_authority(paths: &Paths, now: OffsetDateTime) -> Result<Issued> {
    let made = issue::authority(now, AUTHORITY_LIFE)?;
    write(&paths.authority_key, &made.key, 0o600)?;
    write(&paths.authority, &made.certificate, 0o644)?;
    tracing::info!(authority = %paths.authority.display(), "made a certificate authority; clients must trust it");
    Ok(made)
}

fn make_leaf(paths: &Paths, names: &[String], authority: &Issued, now: OffsetDateTime) -> Result<()> {
    let made = issue::leaf(authority, names, now, LEAF_LIFE)?;
    write(&paths.key, &made.key, 0o600)?;
    write(&paths.certificate, &made.certificate, 0o644)?;
    tracing::info!(certificate = %paths.certificate.display(), "made a certificate");
    Ok(())
}

/// Signed by the authority, with all names and its key, and in the first two thirds of its life.
fn leaf_is_reusable(paths: &Paths, names: &[String], now: OffsetDateTime) -> bool {
    let read = |path: &Path| regular_file::read(path, super::LARGEST).unwrap_or_default();
    let (authority, certificate) = (read(&paths.authority), read(&paths.certificate));
    let Ok(pair) = super::Pair::from_pem(&certificate, &read(&paths.key)) else {
        return false;
    };
    let (Ok((_, authority)), Ok((_, certificate))) = (parse_x509_pem(&authority), parse_x509_pem(&certificate)) else {
        return false;
    };
    let (Ok(authority), Ok(certificate)) = (authority.parse_x509(), certificate.parse_x509()) else {
        return false;
    };
    certificate.verify_signature(Some(authority.public_key())).is_ok()
        && names.iter().all(|name| carries(&certificate, name))
        && now.unix_timestamp() < renewal(pair.not_before, pair.not_after)
}

/// Writes beside and renames, so that a reader sees the old file or the new one.
fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let beside = path.with_extension("new");
    let attempt = || {
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    attempt().with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use time::Duration;

    fn contents(paths: &Paths) -> [String; 4] {
        [&paths.authority, &paths.authority_key, &paths.certificate, &paths.key]
            .map(|path| fs::read_to_string(path).unwrap())
    }

    #[test]
    fn what_is_good_is_used_again_and_keys_are_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ensure(directory.path(), &[]).unwrap();
        let first = contents(&paths);
        ensure(directory.path(), &[]).unwrap();
        assert_eq!(contents(&paths), first);
        for key in [&paths.key, &paths.authority_key] {
            assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_leaf_is_renewed_at_two_thirds_and_the_authority_before_a_leaf_could_outlive_it() {
        let directory = tempfile::tempdir().unwrap();
        let now = OffsetDateTime::now_utc();
        let at = |days| contents(&ensure_at(directory.path(), &[], now + Duration::days(days)).unwrap());
        let first = at(0);
        assert_eq!(at(19), first);
        let second = at(21);
        assert_eq!(second[..2], first[..2]);
        assert!(second[2] != first[2] && second[3] != first[3]);
        assert_ne!(at(336)[0], first[0]);
    }

    #[test]
    fn a_new_name_a_broken_file_or_a_foreign_key_makes_a_new_leaf() {
        let directory = tempfile::tempdir().unwrap();
        let paths = ensure(directory.path(), &[]).unwrap();
        let more = ["outrigger.example".to_owned(), "10.0.0.1".to_owned()];
        let first = contents(&paths);
        ensure(directory.path(), &more).unwrap();
        let second = contents(&paths);
        assert_ne!(second[2], first[2]);
        ensure(directory.path(), &more).unwrap();
        assert_eq!(contents(&paths), second);
        fs::write(&paths.certificate, "-----BEGIN").unwrap();
        ensure(directory.path(), &[]).unwrap();
        fs::write(&paths.key, &second[3]).unwrap();
        ensure(directory.path(), &[]).unwrap();
        let pair = super::super::Pair::from_pem(&fs::read(&paths.certificate).unwrap(), &fs::read(&paths.key).unwrap());
        assert!(pair.is_ok());
        fs::write(&paths.authority_key, "").unwrap();
        ensure(directory.path(), &[]).unwrap();
        assert_ne!(contents(&paths)[0], first[0]);
    }
}
