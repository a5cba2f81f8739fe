//! What a standing decides and answers, on a clock that the test moves.
use super::{
    clock::Instant,
    durations::Durations,
    record::{Record, created_by},
    standing::{Source, Standing, Step},
};
use k8s_openapi::api::coordination::v1::Lease;
use std::time::Duration;

const ME: &str = "web-0_00ab";
const OTHER: &str = "web-1_00cd";
/// An earlier process of the same Pod.
const BEFORE: &str = "web-0_00aa";

fn at(ms: u64) -> Instant {
    Instant::default() + Duration::from_millis(ms)
}

fn standing() -> Standing {
    let durations = Durations {
        lease: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        max_validity: Duration::from_millis(500),
    };
    Standing::new(ME.to_owned(), durations)
}

fn versioned(mut lease: Lease, version: u64) -> Record {
    lease.metadata.resource_version = Some(version.to_string());
    Record::read(lease, "shop").unwrap()
}

/// A Lease at this version, held for `seconds`.
fn held(by: &str, version: u64, seconds: i32) -> Record {
    versioned(created_by("shop", by, seconds), version)
}

fn read(standing: &mut Standing, record: Option<Record>, ms: u64) {
    standing.observe(record, Source::Read(at(ms)), at(ms));
}

fn event(standing: &mut Standing, record: Record, ms: u64) {
    let version = record.version;
    standing.observe(Some(record), Source::Event(version), at(ms));
}

/// One that leads since 1000, by a write that was answered at 1200.
fn leader() -> Standing {
    let mut standing = standing();
    read(&mut standing, None, 900);
    assert!(standing.confirm(held(ME, 7, 15), at(1000), at(1200)));
    standing
}

fn next(standing: &Standing, ms: u64) -> Step {
    standing.next(at(ms), Duration::ZERO)
}

#[test]
fn a_lease_that_nobody_holds_is_taken_at_once() {
    let mut standing = standing();
    assert_eq!(next(&standing, 0), Step::Wait(at(2000)));
    assert!(!standing.is_known());
    read(&mut standing, None, 100);
    assert_eq!(next(&standing, 100), Step::Acquire);
    let record = held(OTHER, 3, 15);
    let released = versioned(record.released(), 4);
    event(&mut standing, record, 200);
    event(&mut standing, released, 300);
    assert_eq!(next(&standing, 300), Step::Acquire);
    assert_eq!(standing.next(at(300), Duration::from_millis(50)), Step::Wait(at(350)));
}

#[test]
fn a_lease_is_taken_when_it_did_not_change_for_as_long_as_its_holder_says() {
    let mut standing = standing();
    read(&mut standing, Some(held(OTHER, 3, 5)), 1000);
    assert_eq!(next(&standing, 1000), Step::Wait(at(6000)));
    event(&mut standing, held(OTHER, 4, 5), 4000);
    assert_eq!(next(&standing, 6000), Step::Wait(at(9000)));
    // Neither what is older nor what is the same is a sign of life.
    event(&mut standing, held(OTHER, 2, 5), 8000);
    event(&mut standing, held(OTHER, 4, 5), 8000);
    read(&mut standing, Some(held(OTHER, 4, 5)), 8500);
    assert_eq!(next(&standing, 9000), Step::Acquire);
}

#[test]
fn a_lease_that_was_deleted_is_not_taken_before_its_holder_knows() {
    let mut standing = standing();
    read(&mut standing, Some(held(OTHER, 3, 15)), 1000);
    standing.observe(None, Source::Event(9), at(2000));
    assert_eq!(next(&standing, 2000), Step::Wait(at(16_000)));
    assert_eq!(next(&standing, 16_000), Step::Acquire);
}

#[test]
fn a_leader_renews_each_retry_period_and_keeps_its_token() {
    let mut standing = leader();
    assert_eq!(next(&standing, 1200), Step::Wait(at(3000)));
    assert_eq!(next(&standing, 3000), Step::Renew);
    assert!(!standing.confirm(held(ME, 9, 15), at(3000), at(3100)));
    let (view, valid_for) = standing.answer(at(3200));
    assert_eq!((view.name.as_str(), view.token), ("web-0", Some(7)));
    assert_eq!(valid_for, Duration::from_millis(500));
}

#[test]
fn leadership_is_counted_from_before_the_renewal_was_sent() {
    let mut standing = leader();
    // The answer came at 1200; the write was sent after 1000.
    let (view, valid_for) = standing.answer(at(10_999));
    assert_eq!((view.token, valid_for), (Some(7), Duration::from_millis(1)));
    let (view, valid_for) = standing.answer(at(11_000));
    assert_eq!(
        (view.token, view.name.as_str(), valid_for),
        (None, "", Duration::ZERO),
        "it says that it leads although others may"
    );
}

#[test]
fn a_renewal_that_is_confirmed_too_late_begins_a_new_term_with_a_new_token() {
    let mut standing = leader();
    // Nobody took the lease meanwhile, or the write would have failed; but there was a time without a leader.
    assert!(standing.confirm(held(ME, 12, 15), at(10_900), at(11_100)));
    assert_eq!(standing.answer(at(11_100)).0.token, Some(12));
    // Sent so long ago that it is worth nothing.
    let mut standing = leader();
    standing.confirm(held(ME, 12, 15), at(2000), at(12_100));
    assert_eq!(standing.answer(at(12_100)).0.token, None);
}

#[test]
fn who_sees_another_holder_leads_no_more() {
    for source in [Source::Event(8), Source::Read(at(1500))] {
        let mut standing = leader();
        standing.observe(Some(held(OTHER, 8, 15)), source, at(1600));
        let (view, _) = standing.answer(at(1600));
        assert_eq!((view.token, view.name.as_str()), (None, "web-1"), "{source:?}");
    }
    let mut standing = leader();
    standing.observe(None, Source::Event(8), at(1600));
    assert_eq!(standing.answer(at(1600)).0.token, None);
}

#[test]
fn old_news_do_not_end_a_term() {
    let mut standing = leader();
    event(&mut standing, held(OTHER, 6, 15), 1600);
    // Asked before the acquiring write was confirmed.
    standing.observe(Some(held(OTHER, 6, 15)), Source::Read(at(1100)), at(1600));
    standing.observe(None, Source::Read(at(1100)), at(1600));
    assert_eq!(standing.answer(at(1600)).0.token, Some(7));
    // Asked after it: the store has gone back in time.
    standing.observe(Some(held(OTHER, 6, 15)), Source::Read(at(1500)), at(1600));
    assert_eq!(standing.answer(at(1600)).0.token, None);
}

#[test]
fn a_confirmation_that_news_have_overtaken_makes_no_leader() {
    let mut standing = standing();
    read(&mut standing, None, 900);
    event(&mut standing, held(ME, 7, 15), 1050);
    event(&mut standing, held(OTHER, 8, 15), 1100);
    assert!(!standing.confirm(held(ME, 7, 15), at(1000), at(1200)));
    assert_eq!(standing.answer(at(1200)).0.token, None);
    assert_eq!(next(&standing, 1200), Step::Look);
}

#[test]
fn a_lease_that_stays_absent_is_free_since_it_was_first_missed() {
    let mut standing = standing();
    read(&mut standing, None, 100);
    read(&mut standing, None, 900);
    assert_eq!(standing.free_at(), Some(at(100)));
}

#[test]
fn a_write_whose_outcome_is_not_known_is_followed_by_a_look_and_then_taken_up() {
    let mut standing = standing();
    read(&mut standing, None, 100);
    standing.unsure = true;
    assert_eq!(next(&standing, 100), Step::Look);
    // It was done after all. What is read is no confirmation: when it was sent is not known any more.
    read(&mut standing, Some(held(ME, 7, 15)), 200);
    standing.unsure = false;
    assert_eq!(standing.answer(at(200)).0.token, None);
    assert_eq!(standing.next(at(200), Duration::from_secs(1)), Step::Acquire);
    assert!(standing.confirm(held(ME, 8, 15), at(200), at(250)));
    assert_eq!(standing.answer(at(250)).0.token, Some(8));
}

#[test]
fn what_is_answered_is_waited_for_when_the_lease_is_given_up() {
    let mut standing = leader();
    assert_eq!(standing.step_down(), at(0), "nobody asked");
    let mut standing = leader();
    standing.answer(at(2000));
    standing.answer(at(1900));
    let relied_upon_until = standing.end();
    assert_eq!(relied_upon_until, at(2500));
    assert_eq!(standing.answer(at(2000)).0.token, None);
    // What was on its way does not make it a leader again.
    assert!(!standing.confirm(held(ME, 9, 15), at(2000), at(2100)));
    assert_eq!(standing.answer(at(2100)).0.token, None);
    // What ends with the term needs no longer.
    let mut standing = leader();
    standing.answer(at(10_900));
    assert_eq!(standing.end(), at(11_000));
}

#[test]
fn who_resigned_lets_others_lead_for_a_lease_duration_at_most() {
    let mut standing = leader();
    standing.rest(at(2000));
    read(&mut standing, Some(versioned(held(ME, 8, 15).released(), 9)), 2100);
    assert_eq!(next(&standing, 2100), Step::Wait(at(17_000)));
    assert_eq!(next(&standing, 17_000), Step::Acquire);
    assert!(standing.confirm(held(ME, 10, 15), at(17_000), at(17_100)));
    let mut standing = leader();
    standing.rest(at(2000));
    event(&mut standing, held(OTHER, 10, 15), 3000);
    event(&mut standing, versioned(held(OTHER, 10, 15).released(), 11), 4000);
    assert_eq!(next(&standing, 4000), Step::Acquire, "another one has led");
}

#[test]
fn the_own_name_is_only_told_while_this_process_leads() {
    let mut standing = standing();
    read(&mut standing, Some(held(BEFORE, 3, 15)), 1000);
    assert_eq!(standing.view(at(1000)).name, "", "an earlier process of the Pod had it");
    event(&mut standing, held(OTHER, 4, 15), 2000);
    assert_eq!(standing.view(at(2000)).name, "web-1");
    assert_eq!(standing.view(at(17_000)).name, "", "it has run out");
    assert!(standing.confirm(held(ME, 5, 15), at(18_000), at(18_000)));
    assert_eq!(standing.view(at(18_000)).name, "web-0");
    assert_eq!(standing.view(at(28_000)).name, "");
}

#[test]
fn an_answer_that_is_no_lease_is_refused() {
    let lease = created_by("shop", ME, 15);
    assert!(Record::read(lease.clone(), "shop").is_err(), "without a version");
    let mut other = lease;
    other.metadata.resource_version = Some("0x1f".into());
    assert!(
        Record::read(other.clone(), "shop").is_err(),
        "with a version that is no number"
    );
    other.metadata.resource_version = Some("12".into());
    assert!(Record::read(other.clone(), "shop").is_ok());
    assert!(Record::read(other, "bank").is_err(), "of another name");
}

#[test]
fn transitions_are_counted_when_the_lease_changes_hands() {
    let transitions = |lease: Lease| lease.spec.unwrap().lease_transitions;
    let record = held(OTHER, 3, 15);
    assert_eq!(transitions(record.acquired_by(ME, 15)), Some(1));
    assert_eq!(transitions(record.acquired_by(OTHER, 15)), Some(0));
    let released = versioned(record.released(), 4);
    assert_eq!((released.holder.as_deref(), released.version), (None, 4));
    assert_eq!(transitions(released.acquired_by(OTHER, 15)), Some(1));
}
