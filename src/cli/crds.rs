//! `outrigger crds`: prints the CustomResourceDefinitions.
use crate::crds;
use clap::Args;
use std::io::Write;

/// Print the CustomResourceDefinitions of policies, as YAML
///
/// Applying them again, or those of another version, keeps the policies that are there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  outrigger crds | kubectl apply --server-side --field-manager=helm -f -")]
pub struct CrdsArgs {}

pub(super) fn run(_: &CrdsArgs) -> anyhow::Result<()> {
    let text = crds::yaml()?;
    match std::io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome?),
    }
}
