//! The certificate of the HTTPS port: made here ([`issue`], [`authority`]) or given, and swapped while serving
//! ([`served`], [`reload`]), when callers trust it ([`callers`]); and, if so told, the certificates that clients must show
//! ([`clients`]).
//!
//! It knows nothing about requests, and never lets go of a working pair for one that does not work.
pub mod authority;
pub mod callers;
pub mod clients;
pub mod issue;
pub mod reload;
pub mod served;

use anyhow::{Context, ensure};
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::sync::Arc;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

/// Largest PEM file, in bytes.
pub const LARGEST: u64 = 1 << 20;

/// A certificate chain and the key that belongs to it.
#[derive(Debug)]
pub struct Pair {
    certified: CertifiedKey,
    /// When the leaf begins to be valid, in seconds since 1970.
    pub not_before: i64,
    /// When the leaf ceases to be valid, in seconds since 1970.
    pub not_after: i64,
}

impl Pair {
    /// Reads a pair from PEM.
    ///
    /// # Errors
    /// When either is not PEM, or they do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> anyhow::Result<Pair> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .context("failed to read the certificate as PEM")?;
        ensure!(
            !chain.is_empty(),
            "the certificate file holds no certificate; it should be PEM, leaf first"
        );
        let key = PrivateKeyDer::from_pem_slice(key).context("failed to read the key as PEM")?;
        let (_, leaf) = X509Certificate::from_der(&chain[0]).context("failed to read the certificate")?;
        let (not_before, not_after) = (
            leaf.validity().not_before.timestamp(),
            leaf.validity().not_after.timestamp(),
        );
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .context("the certificate and the key do not belong together")?;
        Ok(Pair {
            certified,
            not_before,
            not_after,
        })
    }

    /// Whether a certificate of its chain is signed by this authority.
    fn is_signed_by(&self, authority: &CertificateDer<'_>) -> bool {
        let Ok((_, authority)) = X509Certificate::from_der(authority) else {
            return false;
        };
        self.certified.cert.iter().any(|certificate| {
            let signed = |certificate: X509Certificate<'_>| {
                certificate.issuer() == authority.subject()
                    && certificate.verify_signature(Some(authority.public_key())).is_ok()
            };
            X509Certificate::from_der(certificate).is_ok_and(|(_, certificate)| signed(certificate))
        })
    }

    /// Serves with this pair, whoever calls, or these clients alone: TLS 1.2 (ring's suites are AEAD only) and 1.3, and
    /// HTTP/1.1 as the only protocol.
    ///
    /// # Errors
    /// When the provider lacks what TLS needs, which would be an error of the build.
    pub fn into_server_config(self, clients: Option<Arc<clients::Clients>>) -> anyhow::Result<Arc<ServerConfig>> {
        server_config(Arc::new(SingleCertAndKey::from(self.certified)), clients)
    }
}

/// Refuses every handshake: there is no certificate yet.
fn nothing_to_serve() -> anyhow::Result<Arc<ServerConfig>> {
    #[derive(Debug)]
    struct Nothing;
    impl ResolvesServerCert for Nothing {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }
    server_config(Arc::new(Nothing), None)
}

fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<clients::Clients>>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("failed to set up TLS")?;
    let mut config = match clients {
        None => config.with_no_client_auth().with_cert_resolver(certificates),
        Some(clients) => {
            let mut config = config
                .with_client_cert_verifier(clients)
                .with_cert_resolver(certificates);
            // A session that is taken up again would not show its certificate again.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
            config
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
