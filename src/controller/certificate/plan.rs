//! What to do next with the Secret's content, and doing it: values in, values out.
//!
//! A new authority is trusted before it signs, and the former one for as long as a leaf of it may be served:
//! [`Step::Announce`], then, when callers have been told, [`Step::Switch`], then, when its last leaf has expired,
//! [`Step::Retire`]. All that is needed to go on is in the content, so whoever leads can.
use super::{
    content::{Content, Keyed},
    x509::Certificate,
};
use crate::tls::issue::{self, AUTHORITY_LIFE, Issued, LEAF_LIFE};
use anyhow::{Context, Result};
use time::{Duration, OffsetDateTime};

/// How long what is made lives.
#[derive(Debug, Clone, Copy)]
pub struct Lives {
    /// An authority.
    pub authority: Duration,
    /// A leaf.
    pub leaf: Duration,
}

impl Default for Lives {
    fn default() -> Self {
        Lives {
            authority: AUTHORITY_LIFE,
            leaf: LEAF_LIFE,
        }
    }
}

/// What is to be decided by, besides the content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'a> {
    pub(super) now: OffsetDateTime,
    /// The names that a leaf has to carry.
    pub(super) names: &'a [String],
    pub(super) lives: Lives,
    /// Somebody asks for a new authority.
    pub(super) asked: bool,
    /// All callers have been told for long enough to trust the content's authorities and the next one.
    pub(super) told: bool,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// All is well, or time has to pass.
    Nothing,
    /// Make an authority and a leaf: there is nothing that could be kept working.
    Anew,
    /// Make a leaf.
    Renew,
    /// Make the next authority, and have it trusted.
    Announce,
    /// Have the next authority sign.
    Switch,
    /// Trust a former authority no more.
    Retire,
}

impl Step {
    /// What is logged when it is done.
    pub(super) fn done(self) -> &'static str {
        match self {
            Step::Nothing => "nothing to do",
            Step::Anew => "made a certificate authority and a certificate",
            Step::Renew => "renewed the certificate",
            Step::Announce => "made the next certificate authority; it signs when callers trust it",
            Step::Switch => "the next certificate authority signs from now on",
            Step::Retire => "a former certificate authority is trusted no more",
        }
    }
}

impl Moment<'_> {
    fn seconds(&self) -> i64 {
        self.now.unix_timestamp()
    }
}

/// Chooses the next step.
pub(super) fn next(content: &Content, at: &Moment<'_>) -> Step {
    let now = at.seconds();
    let authority = content
        .authorities
        .first()
        .filter(|authority| !authority.has_expired(now));
    let leaf = content.leaf.as_ref().map(|leaf| &leaf.certificate);
    let works = leaf.filter(|leaf| !leaf.has_expired(now) && carries_all(leaf, at.names));
    let (Some(authority), true) = (authority, content.signer.is_some() || works.is_some()) else {
        // Without anything that works nobody has to be told first.
        return if content
            .next
            .as_ref()
            .is_some_and(|next| !next.certificate.has_expired(now))
        {
            Step::Switch
        } else {
            Step::Anew
        };
    };
    let can_live_longer = |leaf: &&Certificate| leaf.not_after < authority.not_after;
    let is_due = works.is_none_or(|leaf| leaf.due() <= now && can_live_longer(&leaf));
    if content.signer.is_some() && is_due {
        return Step::Renew;
    }
    if content.next.is_some() {
        return if at.told { Step::Switch } else { Step::Nothing };
    }
    let ends_early = authority.not_after - now < at.lives.leaf.whole_seconds();
    if content.signer.is_none() || at.asked || authority.due() <= now || ends_early {
        return Step::Announce;
    }
    if (1..content.authorities.len()).any(|index| is_done_with(content, index, now)) {
        return Step::Retire;
    }
    Step::Nothing
}

fn carries_all(leaf: &Certificate, names: &[String]) -> bool {
    names.iter().all(|name| leaf.carries(name))
}

/// Whether no leaf of this authority can be served any more.
fn is_done_with(content: &Content, index: usize, now: i64) -> bool {
    let authority = &content.authorities[index];
    if authority.has_expired(now) {
        return true;
    }
    let served = content.leaf.iter().map(|leaf| &leaf.certificate);
    let mut leaves = content
        .former
        .iter()
        .chain(served)
        .filter(|leaf| leaf.is_signed_by(authority))
        .peekable();
    // One whose leaves are not known is trusted until it ends itself.
    leaves.peek().is_some() && leaves.all(|leaf| leaf.has_expired(now))
}

/// The content after a step.
///
/// # Errors
/// When a key or a certificate cannot be made.
pub(super) fn perform(step: Step, content: &Content, at: &Moment<'_>) -> Result<Content> {
    let mut content = content.clone();
    let now = at.seconds();
    match step {
        Step::Nothing => {}
        Step::Announce => content.next = Some(Keyed::from_issued(&issue::authority(at.now, at.lives.authority)?)?),
        Step::Renew => {
            let (first, key) = content
                .authorities
                .first()
                .zip(content.signer.clone())
                .context("nobody can sign")?;
            let certificate = first.pem();
            content.leaf = Some(leaf(&Issued { certificate, key }, at)?);
        }
        Step::Anew => {
            let authority = Keyed::from_issued(&issue::authority(at.now, at.lives.authority)?)?;
            sign_with(&mut content, authority, at)?;
        }
        Step::Switch => {
            let next = content.next.take().context("there is no next authority")?;
            sign_with(&mut content, next, at)?;
        }
        Step::Retire => {
            let keep: Vec<bool> = (0..content.authorities.len())
                .map(|index| index == 0 || !is_done_with(&content, index, now))
                .collect();
            let mut keep = keep.into_iter();
            content.authorities.retain(|_| keep.next().unwrap_or(true));
        }
    }
    content
        .former
        .retain(|leaf| !leaf.has_expired(now) || step != Step::Retire);
    content.authorities.dedup();
    Ok(content)
}

/// From now on this authority signs; the former ones are trusted on.
fn sign_with(content: &mut Content, authority: Keyed, at: &Moment<'_>) -> Result<()> {
    let new = leaf(&authority.issued(), at)?;
    let former = content.leaf.replace(new).map(|leaf| leaf.certificate);
    content.former.extend(former);
    content.authorities.retain(|former| !former.has_expired(at.seconds()));
    content.authorities.insert(0, authority.certificate);
    content.signer = Some(authority.key);
    content.next = None;
    Ok(())
}

fn leaf(authority: &Issued, at: &Moment<'_>) -> Result<Keyed> {
    Keyed::from_issued(&issue::leaf(authority, at.names, at.now, at.lives.leaf)?)
}
