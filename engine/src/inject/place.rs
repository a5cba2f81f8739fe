//! Where a new container goes in its list.

use crate::policy::Position;

/// A container that is to be placed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Newcomer<'a> {
    pub(crate) name: &'a str,
    pub(crate) position: Position,
    pub(crate) before: &'a [String],
    pub(crate) after: &'a [String],
}

/// A container that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing<'a> {
    pub(crate) name: &'a str,
    pub(crate) before: &'a [String],
    pub(crate) after: &'a [String],
}

impl<'a> Newcomer<'a> {
    fn wishes(&self) -> Existing<'a> {
        Existing {
            name: self.name,
            before: self.before,
            after: self.after,
        }
    }
}

/// An item of the resulting list, by its index among those that were there or among the newcomers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Item {
    Existing(usize),
    New(usize),
}

/// The resulting list. Existing containers keep their order; newcomers with the same wish keep theirs.
///
/// # Errors
/// When the wishes contradict each other or the Pod's own order; the message names a container that cannot be placed.
pub(crate) fn place(existing: &[Existing<'_>], newcomers: &[Newcomer<'_>]) -> Result<Vec<Item>, String> {
    let with_wishes = |item: Item| match item {
        Item::Existing(index) => existing[index],
        Item::New(index) => newcomers[index].wishes(),
    };
    let is_first = first(newcomers);
    let (early, late): (Vec<usize>, Vec<usize>) = (0..newcomers.len()).partition(|index| is_first[*index]);
    // In order of preference: those who want to be first, the Pod's own, those who want to be last.
    let mut waiting: Vec<Item> = (early.into_iter().map(Item::New))
        .chain((0..existing.len()).map(Item::Existing))
        .chain(late.into_iter().map(Item::New))
        .collect();
    if waiting
        .iter()
        .map(|item| with_wishes(*item))
        .all(|item| item.before.is_empty() && item.after.is_empty())
    {
        return Ok(waiting);
    }
    let must_wait = |item: Item, waiting: &[Item]| {
        waiting.iter().any(|other| match (*other, item) {
            (Item::Existing(other), Item::Existing(index)) => other < index,
            (other, item) => other != item && comes_before(with_wishes(other), with_wishes(item)),
        })
    };
    let mut placed = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let Some(next) = waiting.iter().position(|item| !must_wait(*item, &waiting)) else {
            // The latest newcomer: it is the one that those before it could do without.
            let newest = waiting.iter().filter_map(|item| match item {
                Item::New(index) => Some(*index),
                Item::Existing(_) => None,
            });
            let stuck = newest.max().map_or("", |index| newcomers[index].name);
            return Err(format!(
                "container \"{stuck}\" cannot be placed: its before and after contradict the order of the others; drop one of them"
            ));
        };
        placed.push(waiting.remove(next));
    }
    Ok(placed)
}

/// Which newcomers want to be first, or must come before one who does.
fn first(newcomers: &[Newcomer<'_>]) -> Vec<bool> {
    let mut first: Vec<bool> = newcomers.iter().map(|n| n.position == Position::First).collect();
    // As often as the longest chain has links.
    for _ in newcomers {
        for (index, newcomer) in newcomers.iter().enumerate() {
            let mut others = newcomers.iter().zip(&first);
            first[index] |= others.any(|(other, first)| *first && comes_before(newcomer.wishes(), other.wishes()));
        }
    }
    first
}

/// Whether a wish of either says that `first` comes before `second`.
fn comes_before(first: Existing<'_>, second: Existing<'_>) -> bool {
    first.before.iter().any(|name| name == second.name) || second.after.iter().any(|name| name == first.name)
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
        let there: Vec<_> = existing.iter().map(|name| alone(name)).collect();
        let items = place(&there, &newcomers)?;
        let names: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Existing(i) => existing[*i],
                Item::New(i) => newcomers[*i].name,
            })
            .collect();
        Ok(names.join(" "))
    }

    fn alone(name: &str) -> Existing<'_> {
        Existing {
            name,
            before: &[],
            after: &[],
        }
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
    fn contradictions_are_refused() {
        use Position::{First, Last};
        assert!(
            placed(&["x", "y"], &[("a", Last, &["x"], &["y"])])
                .unwrap_err()
                .contains("\"a\"")
        );
        assert!(placed(&[], &[("a", First, &["b"], &[]), ("b", First, &["a"], &[])]).is_err());
    }
}
