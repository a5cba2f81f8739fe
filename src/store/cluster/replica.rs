//! A copy of a collection, as list and watch bring it.
use std::{collections::HashMap, hash::Hash};

/// The objects that were last seen. While they are listed anew, the former ones are kept: what is not in the new list is
/// gone when that is complete, and not before.
#[derive(Debug)]
pub(super) struct Replica<K, V> {
    present: HashMap<K, V>,
    arriving: HashMap<K, V>,
    complete: bool,
}

impl<K, V> Default for Replica<K, V> {
    fn default() -> Self {
        Replica {
            present: HashMap::new(),
            arriving: HashMap::new(),
            complete: false,
        }
    }
}

impl<K: Eq + Hash, V> Replica<K, V> {
    /// Whether there has ever been a whole list.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.present.get(key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.present.values()
    }

    pub(super) fn len(&self) -> usize {
        self.present.len()
    }

    /// A new list begins.
    pub(super) fn begin(&mut self) {
        self.arriving.clear();
    }

    /// It has this.
    pub(super) fn arrive(&mut self, key: K, value: V) {
        self.arriving.insert(key, value);
    }

    /// That was all of it.
    pub(super) fn end(&mut self) {
        self.present = std::mem::take(&mut self.arriving);
        self.complete = true;
    }

    /// One object is there, or has changed.
    pub(super) fn put(&mut self, key: K, value: V) {
        self.present.insert(key, value);
    }

    /// One object is gone; whether it was there.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        self.present.remove(key).is_some()
    }
}
