//! Which container of a Pod is meant.

use crate::pod::{Container, List, Object, Spec};

/// A container that the Pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) list: List,
    pub(crate) index: usize,
}

impl Slot {
    pub(super) fn containers<'p>(list: List, spec: &'p Spec<'p>) -> &'p [Object<Container<'p>>] {
        match list {
            List::Init => spec.init_containers.items(),
            List::Main => spec.containers.items(),
        }
    }

    pub(crate) fn all(list: List, spec: &Spec<'_>) -> impl Iterator<Item = Slot> + use<> {
        (0..Slot::containers(list, spec).len()).map(move |index| Slot { list, index })
    }

    pub(crate) fn of<'p>(&self, spec: &'p Spec<'p>) -> Option<&'p Container<'p>> {
        Slot::containers(self.list, spec)
            .get(self.index)
            .map(|container| &container.0)
    }

    pub(super) fn named(name: &str, spec: &Spec<'_>) -> Option<Slot> {
        let mut slots = Slot::all(List::Init, spec).chain(Slot::all(List::Main, spec));
        slots.find(|slot| slot.of(spec).is_some_and(|container| *container.name == *name))
    }
}
