//! Certificate authorities for the API server and for webhooks that are not Outrigger.
use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// A certificate authority with a key of its own.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
pub struct Pair {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM (PKCS #8).
    pub key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// When the key cannot be generated.
    pub fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Authority { issuer })
    }

    /// Its certificate, PEM.
    pub fn certificate(&self) -> String {
        self.issuer.as_ref().pem()
    }

    /// A certificate for a server on this machine.
    ///
    /// # Errors
    /// When the key cannot be generated.
    pub fn server(&self) -> Result<Pair> {
        let names = ["localhost", "kubernetes.default.svc", "127.0.0.1"].map(String::from);
        self.sign(
            CertificateParams::new(names)?,
            "localhost",
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A certificate for a server with these names.
    ///
    /// # Errors
    /// When the key cannot be generated, or a name is not one.
    pub fn server_for(&self, names: &[&str]) -> Result<Pair> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        self.sign(
            CertificateParams::new(names)?,
            "server",
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// A certificate for a user of the API server.
    ///
    /// # Errors
    /// When the key cannot be generated.
    pub fn user(&self, name: &str, group: &str) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, group);
        self.sign(params, name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, name: &str, purpose: ExtendedKeyUsagePurpose) -> Result<Pair> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair {
            certificate,
            key: key.serialize_pem(),
        })
    }
}
