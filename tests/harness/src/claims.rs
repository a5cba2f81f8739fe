//! Whether answers that processes gave can all be true, and no two of them led at once.
//!
//! A claim was true at some instant between question and reply, and from then on for as long as it says. So it holds at least
//! from the reply (or from later) to the question plus its validity; nothing more is taken for granted, in favour of
//! the electors. A term (a token) is one stretch of time: it begins at the latest with the reply to its first claim.
use std::{collections::BTreeMap, time::Duration};

/// An answer that says that its process leads. Instants are of one clock.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who leads.
    pub by: String,
    /// The fencing token.
    pub token: u64,
    /// Before the question was sent.
    pub asked: Duration,
    /// When the reply was there.
    pub answered: Duration,
    /// For how long it may be relied upon, from the question on.
    pub valid_for: Duration,
}

/// A version of the Lease, as a watch told of it: it was written before `seen`.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its resource version.
    pub number: u64,
    /// Who leads by it; empty: nobody.
    pub holder: String,
    /// When the watch told of it.
    pub seen: Duration,
}

struct Term<'a> {
    by: &'a str,
    /// It has begun by then.
    begun: Duration,
    /// Somebody relies on it until then.
    relied_upon: Duration,
}

fn terms<'a>(claims: &'a [Claim], wrong: &mut Vec<String>) -> BTreeMap<u64, Term<'a>> {
    let mut terms = BTreeMap::<u64, Term<'_>>::new();
    for claim in claims {
        let relied_upon = claim.asked + claim.valid_for;
        let term = terms.entry(claim.token).or_insert(Term {
            by: &claim.by,
            begun: claim.answered,
            relied_upon,
        });
        term.begun = term.begun.min(claim.answered);
        term.relied_upon = term.relied_upon.max(relied_upon);
        if term.by != claim.by {
            wrong.push(format!("token {} is {}'s and {}'s", claim.token, term.by, claim.by));
        }
    }
    terms
}

/// What cannot be true; nothing: all is well.
pub fn contradictions(claims: &[Claim], history: &[Version]) -> Vec<String> {
    let mut wrong = Vec::new();
    let terms = terms(claims, &mut wrong);
    // Tokens only grow, so a later token is a later term: it must not begin while anybody relies on an earlier one.
    let mut earlier: Option<(u64, &Term<'_>)> = None;
    for (token, term) in &terms {
        if let Some((before, other)) = earlier
            && other.relied_upon >= term.begun
        {
            wrong.push(format!(
                "{} leads by token {token} from {:?} on, but {} may be relied upon until {:?} by token {before}",
                term.by, term.begun, other.by, other.relied_upon
            ));
        }
        if earlier.is_none_or(|(_, other)| term.relied_upon > other.relied_upon) {
            earlier = Some((*token, term));
        }
    }
    for (token, term) in &terms {
        against(*token, term, history, &mut wrong);
    }
    wrong
}

/// A term begins with a version of the Lease that names its holder, and ends before another holder is seen in it.
fn against(token: u64, term: &Term<'_>, history: &[Version], wrong: &mut Vec<String>) {
    if history.is_empty() {
        return;
    }
    match history.iter().find(|version| version.number == token) {
        Some(version) if version.holder == term.by => {}
        found => wrong.push(format!("{} leads by token {token}, which is {found:?}", term.by)),
    }
    let next = history
        .iter()
        .find(|version| version.number > token && version.holder != term.by);
    if let Some(next) = next
        && next.seen <= term.relied_upon
    {
        wrong.push(format!(
            "{} may be relied upon until {:?} by token {token}, but {next:?}",
            term.by, term.relied_upon
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn claim(by: &str, token: u64, asked: u64, answered: u64, valid_for: u64) -> Claim {
        Claim {
            by: by.into(),
            token,
            asked: ms(asked),
            answered: ms(answered),
            valid_for: ms(valid_for),
        }
    }

    fn version(number: u64, holder: &str, seen: u64) -> Version {
        Version {
            number,
            holder: holder.into(),
            seen: ms(seen),
        }
    }

    #[test]
    fn one_leader_after_the_other_is_no_contradiction() {
        let claims = [
            claim("a", 5, 1000, 1001, 500),
            claim("a", 5, 1400, 1402, 100),
            claim("b", 9, 1490, 1501, 500),
            // Answered late, by a process that had been stopped: it was true when it was asked.
            claim("a", 5, 900, 5000, 500),
            claim("a", 12, 3000, 3001, 500),
        ];
        let history = [
            version(5, "a", 950),
            version(7, "a", 1200),
            version(8, "", 1501),
            version(9, "b", 1502),
            version(12, "a", 3000),
        ];
        assert_eq!(contradictions(&claims, &history), [""; 0]);
        assert_eq!(contradictions(&claims, &[]), [""; 0]);
    }

    /// What broken electors would answer, and what is then said.
    #[test]
    fn an_elector_that_is_broken_is_found_out() {
        let first = claim("a", 5, 1000, 1001, 500);
        let cases = [
            // It does not wait for the lease to run out.
            (
                claim("b", 9, 1100, 1101, 500),
                "b leads by token 9 from 1.101s on, but a",
            ),
            (claim("b", 9, 1100, 1500, 0), "may be relied upon until 1.5s by token 5"),
            // It claims without a term of its own.
            (claim("b", 5, 9000, 9001, 500), "token 5 is a's and b's"),
            // Its tokens go back.
            (
                claim("b", 4, 9000, 9001, 500),
                "a leads by token 5 from 1.001s on, but b",
            ),
            // It was stopped, and does not look at the clock when it wakes.
            (
                claim("a", 5, 2100, 2101, 500),
                "b leads by token 9 from 2.001s on, but a",
            ),
        ];
        let second = claim("b", 9, 2000, 2001, 10);
        for (broken, said) in cases {
            let is_paused = broken.by == "a";
            let mut claims = vec![first.clone(), broken];
            claims.extend(is_paused.then(|| second.clone()));
            let wrong = contradictions(&claims, &[]);
            assert!(wrong.iter().any(|wrong| wrong.contains(said)), "{said}: {wrong:?}");
        }
    }

    #[test]
    fn a_claim_that_the_lease_does_not_bear_out_is_found_out() {
        let claims = [claim("a", 5, 1000, 1001, 500)];
        let history = |versions: &[Version]| contradictions(&claims, versions).join("\n");
        assert!(history(&[version(4, "a", 900)]).contains("which is None"));
        assert!(history(&[version(5, "b", 900)]).contains("which is Some"));
        assert!(history(&[version(5, "a", 900), version(6, "b", 1400)]).contains("may be relied upon"));
        assert!(history(&[version(5, "a", 900), version(6, "", 1400)]).contains("may be relied upon"));
        assert_eq!(history(&[version(5, "a", 900), version(6, "b", 1501)]), "");
    }
}
