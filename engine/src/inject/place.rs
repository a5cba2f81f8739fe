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
pub(crate) fn place(existing: &[&str], newcomers: &[Newcomer<'_>]) -> Result<Vec<Item>, String> {
    let name_of = |item: Item| match item {
        Item::Existing(index) => existing[index],
        Item::New(index) => newcomers[index].name,
    };
    // Candidates in order of preference: those who want to be first, the Pod's own, those who want to be last.
    let at = |position| {
        (0..newcomers.len())
            .filter(move |i| newcomers[*i].position == position)
            .map(Item::New)
    };
    let mut waiting: Vec<Item> = at(Position::First)
        .chain((0..existing.len()).map(Item::Existing))
        .chain(at(Position::Last))
        .collect();
    if newcomers
        .iter()
        .all(|newcomer| newcomer.before.is_empty() && newcomer.after.is_empty())
    {
        return Ok(waiting);
    }
    let must_wait = |item: Item, waiting: &[Item]| {
        waiting.iter().any(|other| match (*other, item) {
            (Item::Existing(other), Item::Existing(index)) => other < index,
            (other, item) => other != item && comes_before(other, item, newcomers, name_of(other), name_of(item)),
        })
    };
    let mut placed = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let Some(next) = waiting.iter().position(|item| !must_wait(*item, &waiting)) else {
            let stuck = waiting
                .iter()
                .find(|item| matches!(item, Item::New(_)))
                .map_or("", |item| name_of(*item));
            return Err(format!(
                "container \"{stuck}\" cannot be placed: its before and after contradict the order of the others; drop one of them"
            ));
        };
        placed.push(waiting.remove(next));
    }
    Ok(placed)
}

/// Whether a wish of either says that `first` comes before `second`.
fn comes_before(first: Item, second: Item, newcomers: &[Newcomer<'_>], first_name: &str, second_name: &str) -> bool {
    let newcomer = |item| match item {
        Item::New(index) => Some(&newcomers[index]),
        Item::Existing(_) => None,
    };
    newcomer(first).is_some_and(|newcomer| newcomer.before.iter().any(|name| name == second_name))
        || newcomer(second).is_some_and(|newcomer| newcomer.after.iter().any(|name| name == first_name))
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
        let items = place(existing, &newcomers)?;
        let names: Vec<_> = items
            .iter()
            .map(|item| match item {
                Item::Existing(i) => existing[*i],
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
