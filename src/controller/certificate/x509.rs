//! A certificate: what of it decides what to do next.
use crate::tls::issue;
use anyhow::{Context, Result, ensure};
use std::fmt;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// A certificate that could be read.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    der: Vec<u8>,
    /// In seconds since 1970.
    pub(super) not_before: i64,
    /// In seconds since 1970.
    pub(super) not_after: i64,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({}..{})", self.not_before, self.not_after)
    }
}

impl Certificate {
    fn from_der(der: Vec<u8>) -> Result<Certificate> {
        let (_, parsed) = X509Certificate::from_der(&der).context("failed to read the certificate")?;
        let (not_before, not_after) = (
            parsed.validity().not_before.timestamp(),
            parsed.validity().not_after.timestamp(),
        );
        Ok(Certificate {
            der,
            not_before,
            not_after,
        })
    }

    /// All certificates of a PEM text.
    pub(super) fn all(text: &[u8]) -> Result<Vec<Certificate>> {
        let blocks = pem::parse_many(text).context("failed to read it as PEM")?;
        let certificates = blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE");
        let all: Vec<Certificate> = certificates
            .map(|block| Certificate::from_der(block.into_contents()))
            .collect::<Result<_>>()?;
        ensure!(!all.is_empty(), "it holds no certificate");
        Ok(all)
    }

    /// The first certificate of a PEM text.
    pub(super) fn first(text: &[u8]) -> Result<Certificate> {
        Certificate::all(text)?
            .into_iter()
            .next()
            .context("it holds no certificate")
    }

    pub(super) fn pem(&self) -> String {
        let block = pem::Pem::new("CERTIFICATE", self.der.clone());
        pem::encode_config(&block, pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF))
    }

    fn parsed(&self) -> Option<X509Certificate<'_>> {
        X509Certificate::from_der(&self.der).ok().map(|(_, parsed)| parsed)
    }

    pub(super) fn is_authority(&self) -> bool {
        self.parsed().is_some_and(|parsed| parsed.is_ca())
    }

    pub(super) fn is_signed_by(&self, authority: &Certificate) -> bool {
        let (Some(own), Some(authority)) = (self.parsed(), authority.parsed()) else {
            return false;
        };
        own.verify_signature(Some(authority.public_key())).is_ok()
    }

    pub(super) fn carries(&self, name: &str) -> bool {
        self.parsed().is_some_and(|parsed| issue::carries(&parsed, name))
    }

    pub(super) fn has_expired(&self, now: i64) -> bool {
        self.not_after <= now
    }

    /// When to make the next: at two thirds of its life and a little, each a little different.
    pub(super) fn due(&self) -> i64 {
        let life = self.not_after - self.not_before;
        // The end of a signature is as good as drawn by lot, and for everybody the same.
        let lot = self.der.last().copied().map_or(0, i64::from);
        issue::renewal(self.not_before, self.not_after) + life / 30 * lot / 255
    }
}
