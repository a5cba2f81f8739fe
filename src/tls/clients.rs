//! Who may call: whoever shows a certificate of a given authority and, if so told, with one of given names.
//!
//! The authority's file is read again each second, and taken up without touching connections that are open.
use super::LARGEST;
use crate::{
    observe::metrics::{Metrics, Source},
    regular_file,
};
use anyhow::{Context, Result, ensure};
use arc_swap::ArcSwap;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Which clients are let in.
#[derive(Debug)]
pub struct Clients {
    authority: PathBuf,
    /// None: whoever has a certificate of the authority.
    names: Vec<String>,
    current: ArcSwap<Authority>,
    metrics: Arc<Metrics>,
}

/// What was read last, and the check that was made of what worked last.
#[derive(Debug)]
struct Authority {
    seen: Result<Vec<u8>, String>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    /// Clients with a certificate of the authority in this file (PEM, one certificate or several), and one of these names.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(authority: PathBuf, names: Vec<String>, metrics: Arc<Metrics>) -> Result<Clients> {
        let seen = read(&authority)?;
        let verifier = verifier(&seen).with_context(|| format!("failed to use {}", authority.display()))?;
        Ok(Clients {
            current: ArcSwap::from_pointee(Authority {
                seen: Ok(seen),
                verifier,
            }),
            authority,
            names,
            metrics,
        })
    }

    /// Takes up a changed file if it works; else keeps what worked last, and says so once.
    pub fn refresh(&self) {
        let current = self.current.load();
        let contents = read(&self.authority);
        if matches!((&contents, &current.seen), (Ok(new), Ok(old)) if new == old) {
            return;
        }
        let verifier = contents
            .as_ref()
            .map_err(|error| format!("{error:#}"))
            .and_then(|contents| {
                verifier(contents).map_err(|error| format!("{}: {error:#}", self.authority.display()))
            });
        match verifier {
            Ok(verifier) => {
                tracing::info!(authority = %self.authority.display(), "took up new authorities of clients");
                self.metrics.reloaded(Source::ClientAuthority, true);
                self.current.store(Arc::new(Authority {
                    seen: contents.map_err(|_| String::new()),
                    verifier,
                }));
            }
            Err(complaint) if current.seen.as_ref().is_err_and(|said| *said == complaint) => {}
            Err(complaint) => {
                tracing::error!(error = complaint, "kept the present authorities of clients");
                self.metrics.reloaded(Source::ClientAuthority, false);
                self.current.store(Arc::new(Authority {
                    seen: Err(complaint),
                    verifier: Arc::clone(&current.verifier),
                }));
            }
        }
    }

    /// Calls [`Clients::refresh`] each second from a thread of its own, for as long as the process lives.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn keep_fresh(self: Arc<Self>) -> Result<()> {
        let run = move || {
            loop {
                std::thread::sleep(super::reload::PERIOD);
                self.refresh();
            }
        };
        std::thread::Builder::new()
            .name("clients".into())
            .spawn(run)
            .context("failed to start a thread")?;
        Ok(())
    }

    fn has_a_name(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return false;
        };
        self.names.is_empty() || names(&certificate).iter().any(|name| self.names.contains(name))
    }
}

fn read(authority: &Path) -> Result<Vec<u8>> {
    regular_file::read(authority, LARGEST).with_context(|| format!("failed to read {}", authority.display()))
}

fn verifier(authorities: &[u8]) -> Result<Arc<dyn ClientCertVerifier>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.context("failed to read a certificate as PEM")?;
        roots
            .add(certificate)
            .context("failed to read an authority's certificate")?;
    }
    ensure!(!roots.is_empty(), "it holds no certificate; it should be PEM");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), super::provider()).build();
    verifier.context("failed to set up the check of clients")
}

/// The common name, and the alternative names that are text. Of several common names none counts: whose would it be?
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut common = certificate.subject().iter_common_name();
    let mut names: Vec<String> = match (common.next(), common.next()) {
        (Some(name), None) => name.as_str().map(str::to_owned).into_iter().collect(),
        _ => Vec::new(),
    };
    if let Ok(Some(alternative)) = certificate.subject_alternative_name() {
        names.extend(alternative.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
                Some((*name).to_owned())
            }
            _ => None,
        }));
    }
    names
}

impl ClientCertVerifier for Clients {
    /// None: they change with the file, and a client then shows whatever certificate it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verifier = Arc::clone(&self.current.load().verifier);
        let verified = verifier.verify_client_cert(certificate, intermediates, now)?;
        match self.has_a_name(certificate) {
            true => Ok(verified),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = Arc::clone(&self.current.load().verifier);
        verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verifier = Arc::clone(&self.current.load().verifier);
        verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().verifier.supported_verify_schemes()
    }
}
