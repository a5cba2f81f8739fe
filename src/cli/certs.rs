//! `outrigger certs`: writes a development CA and certificate.
use crate::tls::authority;
use clap::Args;
use std::path::PathBuf;

/// Write a development certificate authority and a certificate signed by it
///
/// What is there and still good is kept. `serve` does the same when it is given no certificate.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger certs
  outrigger certs --dir /tmp/certs --dns webhook.example --dns 10.0.0.5")]
pub struct CertsArgs {
    /// Directory for ca.crt, ca.key, tls.crt and tls.key
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// Further name (DNS or IP address) that the certificate is for; may be given several times
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
}

pub(super) fn run(args: &CertsArgs) -> anyhow::Result<()> {
    let paths = authority::ensure(&args.dir, &args.dns)?;
    for path in [&paths.authority, &paths.certificate, &paths.key] {
        println!("{}", path.display());
    }
    Ok(())
}
