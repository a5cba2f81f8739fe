//! Where a new container goes in its list.

use std::collections::HashMap;

use crate::policy::Position;

/// A container of the list as it is: the application's, or one of ours with its wishes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing<'a> {
    pub(crate) name: &'a str,
    pub(crate) before: &'a [String],
    pub(crate) after: &'a [String],
}

impl<'a> Existing<'a> {
    /// One that wishes nothing.
    pub(crate) fn unwilling(name: &'a str) -> Existing<'a> {
        Existing {
            name,
            before: &[],
            after: &[],
        }
    }
}

/// A container that is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer<'a> {
    pub(crate) name: &'a str,
    pub(crate) position: Position,
    pub(crate) before: &'a [String],
    pub(crate) after: &'a [String],
}

/// An item of the resulting list, by its index among those that were there or among the newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Existing(usize),
    New(usize),
}

/// The resulting list. Existing containers keep their order; newcomers with the same wish keep theirs. What an existing
/// container of ours wishes about newcomers counts as if it came with them, so that a second call does not allow what
/// the first one refused.
///
/// # Errors
/// When the wishes contradict each other or the Pod's own order; the message names a container that cannot be placed.
pub(crate) fn place(existing: &[Existing<'_>], newcomers: &[Newcomer<'_>]) -> Result<Vec<Item>, String> {
    let of_existing = existing.iter().map(|container| [container.before, container.after]);
    let of_newcomers = newcomers.iter().map(|container| [container.before, container.after]);
    match of_existing.chain(of_newcomers).flatten().all(<[String]>::is_empty) {
        true => Ok(by_position(existing.len(), newcomers)),
        false => by_wishes(existing, newcomers),
    }
}

fn by_wishes(existing: &[Existing<'_>], newcomers: &[Newcomer<'_>]) -> Result<Vec<Item>, String> {
    let mut placing = Placing::new(existing, newcomers);
    let mut placed = Vec::with_capacity(existing.len() + newcomers.len());
    while placed.len() < existing.len() + newcomers.len() {
        let Some(next) = placing.next() else {
            // The last one: those before it could be placed without it.
            let stuck = placing.waiting.iter().max().map_or("", |index| newcomers[*index].name);
            return Err(format!(
                "container \"{stuck}\" cannot be placed: its before and after contradict the order of the others; drop one of them"
            ));
        };
        placed.push(next);
    }
    Ok(placed)
}

/// What [`by_wishes`] comes to when nobody names anybody, as in most Pods, without what it keeps count of.
fn by_position(existing: usize, newcomers: &[Newcomer<'_>]) -> Vec<Item> {
    let mut placed = Vec::with_capacity(existing + newcomers.len());
    let at = |position| {
        let newcomers = newcomers.iter().enumerate();
        let there = newcomers.filter(move |(_, newcomer)| newcomer.position == position);
        there.map(|(index, _)| Item::New(index))
    };
    placed.extend(at(Position::First));
    placed.extend((0..existing).map(Item::Existing));
    placed.extend(at(Position::Last));
    placed
}

/// A list that is filled from its front.
struct Placing<'a> {
    existing: &'a [Existing<'a>],
    newcomers: &'a [Newcomer<'a>],
    /// How many of the existing are placed.
    passed: usize,
    /// Newcomers still to be placed: those who want to be first, then those who want to be last.
    waiting: Vec<usize>,
    /// For each newcomer, how many of the existing must be placed before it.
    after: Vec<usize>,
    /// For each newcomer, whether it goes before the existing where it can.
    first: Vec<bool>,
}

impl<'a> Placing<'a> {
    fn new(existing: &'a [Existing<'a>], newcomers: &'a [Newcomer<'a>]) -> Placing<'a> {
        let by_name: HashMap<&str, usize> = existing.iter().enumerate().map(|(i, e)| (e.name, i)).collect();
        let after = |newcomer: &Newcomer<'_>| {
            let named = newcomer
                .after
                .iter()
                .filter_map(|name| by_name.get(name.as_str()).copied());
            let wished = existing
                .iter()
                .rposition(|existing| has(existing.before, newcomer.name));
            named.chain(wished).map(|index| index + 1).max().unwrap_or(0)
        };
        let first = first(newcomers);
        let (early, late): (Vec<usize>, Vec<usize>) = (0..newcomers.len()).partition(|index| first[*index]);
        Placing {
            existing,
            newcomers,
            passed: 0,
            waiting: [early, late].concat(),
            after: newcomers.iter().map(after).collect(),
            first,
        }
    }

    /// The next item: a newcomer who wants to be first, the Pod's own, a newcomer who wants to be last.
    fn next(&mut self) -> Option<Item> {
        let ready = self.waiting.iter().position(|index| self.is_ready(*index));
        let at = match ready {
            Some(at) if self.first[self.waiting[at]] || !self.existing_is_ready() => at,
            _ if self.existing_is_ready() => {
                self.passed += 1;
                return Some(Item::Existing(self.passed - 1));
            }
            _ => return None,
        };
        Some(Item::New(self.waiting.remove(at)))
    }

    fn is_ready(&self, index: usize) -> bool {
        let newcomer = &self.newcomers[index];
        let must_wait_for = |other: &usize| *other != index && comes_before(&self.newcomers[*other], newcomer);
        self.after[index] <= self.passed && !self.waiting.iter().any(must_wait_for)
    }

    fn existing_is_ready(&self) -> bool {
        self.existing.get(self.passed).is_some_and(|existing| {
            !self.waiting.iter().any(|index| {
                let newcomer = &self.newcomers[*index];
                has(newcomer.before, existing.name) || has(existing.after, newcomer.name)
            })
        })
    }
}

/// Who wants to be first, and who must come before one of those.
fn first(newcomers: &[Newcomer<'_>]) -> Vec<bool> {
    let mut first: Vec<bool> = newcomers.iter().map(|n| n.position == Position::First).collect();
    // As often as there are newcomers, the length of the longest chain.
    for _ in newcomers {
        for (index, newcomer) in newcomers.iter().enumerate() {
            let mut others = newcomers.iter().zip(&first);
            first[index] = first[index] || others.any(|(other, first)| *first && comes_before(newcomer, other));
        }
    }
    first
}

/// Whether a wish of either says so.
fn comes_before(one: &Newcomer<'_>, other: &Newcomer<'_>) -> bool {
    has(one.before, other.name) || has(other.after, one.name)
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|other| other == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Wish<'a> = (&'a str, Position, &'a [&'a str], &'a [&'a str]);

    fn placed(existing: &[&str], wishes: &[Wish<'_>]) -> Result<String, String> {
        let owned: Vec<(Vec<String>, Vec<String>)> = wishes
            .iter()
            .map(|w| {
                (
                    w.2.iter().map(|s| s.to_string()).collect(),
                    w.3.iter().map(|s| s.to_string()).collect(),
                )
            })
            .collect();
        let newcomers: Vec<_> = wishes
            .iter()
            .zip(&owned)
            .map(|(w, (before, after))| Newcomer {
                name: w.0,
                position: w.1,
                before,
                after,
            })
            .collect();
        let existing: Vec<_> = existing.iter().map(|name| Existing::unwilling(name)).collect();
        let items = place(&existing, &newcomers)?;
        let names: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Existing(i) => existing[*i].name,
                Item::New(i) => newcomers[*i].name,
            })
            .collect();
        Ok(names.join(" "))
    }

    #[test]
    fn containers_are_placed_by_position_then_by_names() {
        use Position::{First, Last};
        let table: &[(&[&str], &[Wish<'_>], &str)] = &[
            (&[], &[("a", Last, &[], &[])], "a"),
            (
                &["x", "y"],
                &[("a", First, &[], &[]), ("b", Last, &[], &[]), ("c", First, &[], &[])],
                "a c x y b",
            ),
            (&["x", "y", "z"], &[("a", Last, &["y"], &[])], "x a y z"),
            (&["x", "y", "z"], &[("a", First, &[], &["x"])], "x a y z"),
            (&["x", "y"], &[("a", First, &["nobody"], &["no-one"])], "a x y"),
            (&["x"], &[("a", Last, &["b"], &[]), ("b", First, &[], &[])], "a b x"),
            (&["x"], &[("a", First, &[], &["b"]), ("b", Last, &[], &["x"])], "x b a"),
        ];
        for (existing, wishes, expected) in table {
            assert_eq!(placed(existing, wishes).unwrap(), *expected);
        }
    }

    #[test]
    fn where_nobody_names_anybody_position_alone_gives_what_wishes_would() {
        for (existing, newcomers) in (0..3).flat_map(|existing| (0..5).map(move |newcomers| (existing, newcomers))) {
            let existing = vec![Existing::unwilling("e"); existing];
            for positions in 0..1 << newcomers {
                let newcomer = |index| Newcomer {
                    name: "n",
                    position: match positions >> index & 1 {
                        0 => Position::First,
                        _ => Position::Last,
                    },
                    before: &[],
                    after: &[],
                };
                let newcomers: Vec<_> = (0..newcomers).map(newcomer).collect();
                let placed = by_wishes(&existing, &newcomers).unwrap();
                assert_eq!(by_position(existing.len(), &newcomers), placed, "{newcomers:?}");
                assert_eq!(place(&existing, &newcomers), Ok(placed));
            }
        }
    }

    #[test]
    fn contradictions_are_refused() {
        use Position::{First, Last};
        assert!(
            placed(&["x", "y"], &[("a", Last, &["x"], &["y"])])
                .unwrap_err()
                .contains("\"a\"")
        );
        assert!(placed(&[], &[("a", First, &["b"], &[]), ("b", First, &["a"], &[])]).is_err());
    }

    #[test]
    fn what_could_not_be_placed_together_cannot_be_placed_one_after_the_other() {
        let (wish, none) = (["b".to_owned()], []);
        let ours = |before, after| Existing {
            name: "a",
            before,
            after,
        };
        let newcomer = |before, after| Newcomer {
            name: "b",
            position: Position::First,
            before,
            after,
        };
        let a = ["a".to_owned()];
        assert!(place(&[ours(&wish, &none)], &[newcomer(&a, &none)]).is_err());
        assert!(place(&[ours(&none, &wish)], &[newcomer(&none, &a)]).is_err());
        assert_eq!(
            place(&[ours(&wish, &none)], &[newcomer(&none, &none)]),
            Ok(vec![Item::Existing(0), Item::New(0)])
        );
    }
}
