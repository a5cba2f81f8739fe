//! The annotations and the label that an injected Pod carries.

use std::collections::BTreeSet;

use crate::names;

/// Which policies a Pod carries, as `name@hash`, comma-separated and sorted. A hint, never proof: anyone can write it.
pub(crate) const INJECTED: &str = "outrigger.dev/injected";
/// Which selected policies a Pod does not carry, and why.
pub(crate) const SKIPPED: &str = "outrigger.dev/skipped";
/// What `kubectl logs` and `kubectl exec` take when no container is named.
pub(crate) const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// What [`INJECTED`] says of one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// Nothing.
    None,
    /// It is there in its present version.
    Same,
    /// It is there in another version.
    Other,
}

/// More entries than any Pod has policies: the rest of a record that somebody forged is not looked at.
const MAX_ENTRIES: usize = 1_000;

/// The entries of [`INJECTED`].
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Injected<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Injected<'a> {
    pub(crate) fn parse(value: Option<&'a str>) -> Injected<'a> {
        let terms = value.unwrap_or_default().split(',');
        let records = terms.filter_map(|term| term.trim().split_once('@'));
        // What could not be a record is not kept.
        let kept = records.filter(|(policy, hash)| names::dns_label(policy).is_ok() && names::dns_label(hash).is_ok());
        Injected(kept.take(MAX_ENTRIES).collect())
    }

    pub(crate) fn of(&self, policy: &str, hash: &str) -> Record {
        match self.0.iter().find(|(name, _)| *name == policy) {
            None => Record::None,
            Some((_, recorded)) if *recorded == hash => Record::Same,
            Some(_) => Record::Other,
        }
    }

    /// Each once.
    pub(crate) fn policies(&self) -> BTreeSet<&'a str> {
        self.0.iter().map(|(policy, _)| *policy).collect()
    }

    pub(crate) fn set(&mut self, policy: &'a str, hash: &'a str) {
        self.remove(policy);
        self.0.push((policy, hash));
    }

    pub(crate) fn remove(&mut self, policy: &str) {
        self.0.retain(|(name, _)| *name != policy);
    }

    /// The annotation's value.
    pub(crate) fn to_value(&self) -> String {
        let mut terms: Vec<String> = self
            .0
            .iter()
            .map(|(policy, hash)| [policy, "@", hash].concat())
            .collect();
        terms.sort_unstable();
        terms.dedup();
        terms.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_and_written() {
        let mut injected = Injected::parse(Some("b@2, a@1,broken,c@,@@,B@2,"));
        assert_eq!(injected.of("a", "1"), Record::Same);
        assert_eq!(injected.of("a", "2"), Record::Other);
        assert_eq!(injected.of("broken", "2"), Record::None);
        assert_eq!(injected.of("c", "2"), Record::None);
        injected.set("a", "2");
        assert_eq!(injected.to_value(), "a@2,b@2");
        assert_eq!(Injected::parse(None).to_value(), "");
    }
}
