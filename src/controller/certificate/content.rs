//! What the Secret holds: authorities, the leaf that all replicas serve, and how far a rotation is.
//!
//! | key | |
//! |---|---|
//! | `tls.crt`, `tls.key` | the leaf |
//! | `ca.crt` | the authorities to trust; the one that signs is the first |
//! | `ca.key` | its key |
//! | `next.crt`, `next.key` | the authority that will sign next: trusted already, wherever that has been told |
//! | `former.crt` | the last leaves of authorities that sign no more |
//!
//! Anyone who may write Secrets can have written it. What cannot be used is left out, and told.
use super::x509::Certificate;
use crate::tls::{Pair, issue::Issued};
use anyhow::{Result, ensure};
use k8s_openapi::ByteString;
use std::collections::BTreeMap;

/// The data of a Secret.
pub(super) type Data = BTreeMap<String, ByteString>;

/// A certificate whose key is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyed {
    pub(super) certificate: Certificate,
    /// PEM.
    pub(super) key: String,
}

impl Keyed {
    pub(super) fn from_issued(issued: &Issued) -> Result<Keyed> {
        Keyed::read(issued.certificate.as_bytes(), issued.key.as_bytes())
    }

    fn read(certificate: &[u8], key: &[u8]) -> Result<Keyed> {
        // It proves that both belong together.
        Pair::from_pem(certificate, key)?;
        Ok(Keyed {
            certificate: Certificate::first(certificate)?,
            key: String::from_utf8(key.to_vec())?,
        })
    }

    pub(super) fn issued(&self) -> Issued {
        Issued {
            certificate: self.certificate.pem(),
            key: self.key.clone(),
        }
    }

    /// As what the HTTPS port serves.
    pub(super) fn pair(&self) -> Result<Pair> {
        Pair::from_pem(self.certificate.pem().as_bytes(), self.key.as_bytes())
    }
}

/// What of it can be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) authorities: Vec<Certificate>,
    /// The key of the first authority.
    pub(super) signer: Option<String>,
    /// Signed by one of the authorities.
    pub(super) leaf: Option<Keyed>,
    pub(super) next: Option<Keyed>,
    pub(super) former: Vec<Certificate>,
}

impl Content {
    /// Reads it, with what is wrong with it.
    pub(super) fn read(data: &Data) -> (Content, Vec<String>) {
        let get = |key: &str| data.get(key).map_or(&[][..], |value| &value.0);
        let mut wrong = Vec::new();
        let mut content = Content::default();
        match Certificate::all(get("ca.crt")) {
            Ok(all) => content.authorities = all,
            Err(error) => wrong.push(format!("ca.crt: {error:#}")),
        }
        if content
            .authorities
            .iter()
            .any(|certificate| !certificate.is_authority())
        {
            wrong.push("ca.crt: not all of its certificates are those of authorities".into());
            content.authorities.retain(Certificate::is_authority);
        }
        match Keyed::read(get("ca.crt"), get("ca.key")) {
            Ok(signer) if content.authorities.first() == Some(&signer.certificate) => content.signer = Some(signer.key),
            Ok(_) => wrong.push("ca.key: it is not that of an authority".into()),
            Err(error) => wrong.push(format!("ca.key: {error:#}")),
        }
        match content.read_leaf(get("tls.crt"), get("tls.key")) {
            Ok(leaf) => content.leaf = Some(leaf),
            Err(error) => wrong.push(format!("tls.crt, tls.key: {error:#}")),
        }
        if !(get("next.crt").is_empty() && get("next.key").is_empty()) {
            match Keyed::read(get("next.crt"), get("next.key")) {
                Ok(next) if next.certificate.is_authority() => content.next = Some(next),
                Ok(_) => wrong.push("next.crt: it is not the certificate of an authority".into()),
                Err(error) => wrong.push(format!("next.crt, next.key: {error:#}")),
            }
        }
        match get("former.crt") {
            [] => {}
            former => match Certificate::all(former) {
                Ok(former) => content.former = former,
                Err(error) => wrong.push(format!("former.crt: {error:#}")),
            },
        }
        (content, wrong)
    }

    fn read_leaf(&self, certificate: &[u8], key: &[u8]) -> Result<Keyed> {
        let leaf = Keyed::read(certificate, key)?;
        ensure!(
            self.signer_of(&leaf.certificate).is_some(),
            "it is not signed by an authority of ca.crt"
        );
        Ok(leaf)
    }

    /// The authority that has signed this.
    pub(super) fn signer_of(&self, leaf: &Certificate) -> Option<&Certificate> {
        self.authorities.iter().find(|authority| leaf.is_signed_by(authority))
    }

    /// The data of a Secret that holds it.
    pub(super) fn data(&self) -> Data {
        let (leaf, next) = (self.leaf.as_ref(), self.next.as_ref());
        let certificate = |keyed: Option<&Keyed>| keyed.map(|keyed| keyed.certificate.pem());
        let key = |keyed: Option<&Keyed>| keyed.map(|keyed| keyed.key.clone());
        let many = |all: &[Certificate]| (!all.is_empty()).then(|| bundle(all));
        let entries = [
            ("tls.crt", certificate(leaf)),
            ("tls.key", key(leaf)),
            ("ca.crt", many(&self.authorities)),
            ("ca.key", self.signer.clone()),
            ("next.crt", certificate(next)),
            ("next.key", key(next)),
            ("former.crt", many(&self.former)),
        ];
        let present = entries.into_iter().filter_map(|(key, text)| Some((key, text?)));
        present
            .map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes())))
            .collect()
    }

    /// All that callers have to trust, as PEM.
    pub(super) fn trust(&self) -> String {
        let next = self.next.iter().map(|next| &next.certificate);
        let all: Vec<Certificate> = self.authorities.iter().chain(next).cloned().collect();
        bundle(&all)
    }
}

fn bundle(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}
