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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 2] = ["outrigger.outrigger-system.svc", "127.0.0.1"];

    struct World {
        content: Content,
        names: Vec<String>,
        now: OffsetDateTime,
        told: bool,
        asked: bool,
    }

    impl World {
        fn new() -> World {
            let mut world = World {
                content: Content::default(),
                names: NAMES.map(String::from).into(),
                now: OffsetDateTime::now_utc(),
                told: false,
                asked: false,
            };
            assert_eq!(world.step(), Step::Anew);
            assert_eq!(world.step(), Step::Nothing);
            world
        }

        /// Takes the next step, as one who knows no more than what is in the Secret.
        fn step(&mut self) -> Step {
            let at = Moment {
                now: self.now,
                names: &self.names,
                lives: Lives::default(),
                asked: self.asked,
                told: self.told,
            };
            let step = next(&self.content, &at);
            let content = perform(step, &self.content, &at).unwrap();
            let (read, wrong) = Content::read(&content.data());
            assert_eq!((&read, &wrong), (&content, &vec![]));
            self.content = read;
            step
        }

        fn pass(&mut self, days: i64) {
            self.now += Duration::days(days);
        }

        fn leaf(&self) -> &Certificate {
            &self.content.leaf.as_ref().unwrap().certificate
        }
    }

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_of_its_life_and_when_it_lacks_a_name() {
        let mut world = World::new();
        let authority = world.content.authorities.clone();
        world.pass(19);
        assert_eq!(world.step(), Step::Nothing);
        world.pass(3);
        assert_eq!(world.step(), Step::Renew);
        assert_eq!(world.step(), Step::Nothing);
        world.names.push("outrigger.example".into());
        assert_eq!(world.step(), Step::Renew);
        assert!(world.leaf().carries("outrigger.example"));
        assert_eq!(world.step(), Step::Nothing);
        assert_eq!(world.content.authorities, authority);
    }

    #[test]
    fn the_next_authority_signs_when_it_is_trusted_and_the_former_one_goes_with_its_last_certificate() {
        let mut world = World::new();
        let former = world.content.authorities[0].clone();
        for _ in 0..26 {
            world.pass(10);
            // The certificate and the authority can be due on the same day.
            for _ in 0..2 {
                assert!([Step::Renew, Step::Nothing, Step::Announce].contains(&world.step()));
            }
        }
        let next = world.content.next.clone().unwrap().certificate;
        assert!(world.leaf().is_signed_by(&former));
        assert_eq!(world.content.trust(), former.pem() + &next.pem());
        world.told = true;
        while world.step() != Step::Switch {}
        assert!(world.leaf().is_signed_by(&next));
        assert_eq!(world.content.authorities, [next.clone(), former.clone()]);
        let last = world.content.former[0].not_after;
        assert!(last > world.now.unix_timestamp());
        while world.now.unix_timestamp() < last {
            assert_ne!(world.step(), Step::Retire);
            world.pass(1);
        }
        while world.step() != Step::Retire {}
        assert_eq!(world.content.authorities, [next]);
        assert!(world.content.former.is_empty());
        assert_eq!(world.step(), Step::Nothing);
    }

    #[test]
    fn who_asks_gets_another_authority_and_waits_until_it_is_trusted() {
        let mut world = World::new();
        world.asked = true;
        assert_eq!(world.step(), Step::Announce);
        world.asked = false;
        assert_eq!(world.step(), Step::Nothing);
        world.told = true;
        assert_eq!(world.step(), Step::Switch);
        assert_eq!(world.step(), Step::Nothing);
    }

    #[test]
    fn a_lost_key_leads_to_the_next_authority_and_a_certificate_that_works_stays_meanwhile() {
        let mut world = World::new();
        world.content.signer = None;
        let at = Moment {
            now: world.now,
            names: &world.names,
            lives: Lives::default(),
            asked: false,
            told: false,
        };
        assert_eq!(next(&world.content, &at), Step::Announce);
        world.content.leaf = None;
        assert_eq!(next(&world.content, &at), Step::Anew);
        world.content.next = Some(Keyed::from_issued(&issue::authority(world.now, AUTHORITY_LIFE).unwrap()).unwrap());
        assert_eq!(next(&world.content, &at), Step::Switch);
    }

    #[test]
    fn after_a_long_sleep_there_is_a_new_authority_at_once() {
        let mut world = World::new();
        world.pass(400);
        assert_eq!(world.step(), Step::Anew);
        assert_eq!(world.step(), Step::Nothing);
        assert_eq!(world.content.authorities.len(), 1);
    }

    #[test]
    fn near_the_end_of_its_authority_a_certificate_lives_no_longer_and_is_not_made_again_and_again() {
        let mut world = World::new();
        for _ in 0..36 {
            world.pass(10);
            world.step();
        }
        world.pass(1);
        let mut renewals = 0;
        for _ in 0..20 {
            renewals += u32::from(world.step() == Step::Renew);
        }
        assert!(renewals <= 1, "{renewals}");
        assert!(world.leaf().not_after <= world.content.authorities[0].not_after);
    }
}
