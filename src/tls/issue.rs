//! Makes certificates: an authority, and leaves that it signs. ECDSA P-256, as PEM; where they are kept is not known here.
use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use time::{Duration, OffsetDateTime};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, pem::parse_x509_pem};

/// A clock that is a little behind must not refuse a new certificate.
const BACKDATED: Duration = Duration::hours(1);
/// How long an authority lives.
pub const AUTHORITY_LIFE: Duration = Duration::days(365);
/// How long a leaf lives.
pub const LEAF_LIFE: Duration = Duration::days(30);

/// A certificate and its key, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate alone.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// Makes an authority that lives for `life` from `now` on.
///
/// # Errors
/// When there can be no key.
pub fn authority(now: OffsetDateTime, life: Duration) -> Result<Issued> {
    let key = KeyPair::generate().context("failed to make a key")?;
    let mut params = CertificateParams::default();
    // Two that are trusted at once must not have the same name.
    let mark: String = key
        .public_key_raw()
        .iter()
        .rev()
        .take(4)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Outrigger CA {} {mark}", now.date()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    (params.not_before, params.not_after) = (now - BACKDATED.min(life), now + life);
    let certificate = params
        .self_signed(&key)
        .context("failed to make a certificate authority")?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// Has `authority` sign a leaf for these names (DNS names or IP addresses) that lives for `life` from `now` on, but not
/// longer than its authority.
///
/// # Errors
/// When a name is not one, or the authority cannot be used.
pub fn leaf(authority: &Issued, names: &[String], now: OffsetDateTime, life: Duration) -> Result<Issued> {
    let unusable = "failed to use the certificate authority";
    let (_, pem) = parse_x509_pem(authority.certificate.as_bytes()).context(unusable)?;
    let end = pem.parse_x509().context(unusable)?.validity().not_after.to_datetime();
    let issuer_key = KeyPair::from_pem(&authority.key).context(unusable)?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate, issuer_key).context(unusable)?;
    let key = KeyPair::generate().context("failed to make a key")?;
    let mut params = CertificateParams::new(names)
        .with_context(|| format!("failed to use the names {names:?}; use DNS names or IP addresses"))?;
    params.distinguished_name.push(DnType::CommonName, "outrigger");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = (now - BACKDATED.min(life), (now + life).min(end));
    let certificate = params
        .signed_by(&key, &issuer)
        .context("failed to sign a certificate")?;
    Ok(Issued {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// When a certificate with this life is due for renewal, in seconds since 1970.
pub fn renewal(not_before: i64, not_after: i64) -> i64 {
    not_before + (not_after - not_before) / 3 * 2
}

/// Whether a certificate is for this DNS name or IP address.
pub fn carries(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return false;
    };
    let address: Option<Vec<u8>> = name.parse().ok().map(|address| match address {
        std::net::IpAddr::V4(address) => address.octets().to_vec(),
        std::net::IpAddr::V6(address) => address.octets().to_vec(),
    });
    names.value.general_names.iter().any(|general| match general {
        GeneralName::DNSName(found) => address.is_none() && *found == name,
        GeneralName::IPAddress(found) => address.as_deref() == Some(*found),
        _ => false,
    })
}
