//! Which container of a Pod is meant.

use crate::pod::{Container, Object, PodView};

/// One of the Pod's two lists of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum List {
    Init,
    Main,
}

/// A container that the Pod has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) list: List,
    pub(crate) index: usize,
}

impl Slot {
    pub(super) fn containers<'p>(list: List, pod: &'p PodView<'p>) -> &'p [Object<Container<'p>>] {
        match list {
            List::Init => pod.spec.init_containers.items(),
            List::Main => pod.spec.containers.items(),
        }
    }

    pub(crate) fn all(list: List, pod: &PodView<'_>) -> impl Iterator<Item = Slot> + use<> {
        (0..Slot::containers(list, pod).len()).map(move |index| Slot { list, index })
    }

    pub(crate) fn of<'p>(&self, pod: &'p PodView<'p>) -> Option<&'p Container<'p>> {
        Slot::containers(self.list, pod)
            .get(self.index)
            .map(|container| &container.0)
    }

    pub(super) fn named(name: &str, pod: &PodView<'_>) -> Option<Slot> {
        let mut slots = Slot::all(List::Init, pod).chain(Slot::all(List::Main, pod));
        slots.find(|slot| slot.of(pod).is_some_and(|container| *container.name == *name))
    }
}
