//! Which policies to look at, and when.
use outrigger_engine::PolicyId;
use std::collections::{BTreeSet, HashMap};
use tokio::time::Instant;

/// Policies by the time at which they are due; each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    times: HashMap<PolicyId, Instant>,
    order: BTreeSet<(Instant, PolicyId)>,
}

impl Queue {
    /// It is due then, or sooner if it is already.
    pub(super) fn put(&mut self, id: PolicyId, at: Instant) {
        match self.times.get(&id) {
            Some(sooner) if *sooner <= at => return,
            Some(later) => {
                self.order.remove(&(*later, id.clone()));
            }
            None => {}
        }
        self.times.insert(id.clone(), at);
        self.order.insert((at, id));
    }

    /// The first that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<PolicyId> {
        self.next().filter(|next| *next <= now)?;
        let (_, id) = self.order.pop_first()?;
        self.times.remove(&id);
        Some(id)
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn each_is_due_once_and_as_soon_as_anybody_said() {
        let id = |name: &str| PolicyId {
            namespace: None,
            name: name.into(),
        };
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut queue = Queue::default();
        queue.put(id("a"), later);
        queue.put(id("b"), later);
        queue.put(id("b"), now);
        queue.put(id("b"), later);
        assert_eq!(queue.pop(now), Some(id("b")));
        assert_eq!((queue.pop(now), queue.next()), (None, Some(later)));
        assert_eq!(queue.pop(later), Some(id("a")));
        assert_eq!((queue.pop(later), queue.next()), (None, None));
    }
}
