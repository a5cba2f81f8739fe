//! A shard: its replicas as discovery sees them, and which of them is asked next.
//!
//! It does not know where replicas come from, nor what they are asked.
use super::replica::{Ejection, Replica};
use super::window::Window;
use arc_swap::ArcSwap;
use rand::RngExt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

/// A shard. It has its name from the configuration, and stays when it has no replicas.
#[derive(Debug)]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// How long its answers take.
    pub latencies: Window,
    replicas: ArcSwap<Vec<Arc<Replica>>>,
    ejection: Ejection,
}

impl Shard {
    /// One without replicas.
    pub fn new(name: String, ejection: Ejection) -> Shard {
        Shard {
            name,
            latencies: Window::default(),
            replicas: ArcSwap::default(),
            ejection,
        }
    }

    /// When its replicas are ejected.
    pub fn ejection(&self) -> Ejection {
        self.ejection
    }

    /// These are its replicas now, each with the `Host` it is called by. What is known of one that stays is kept; true when
    /// there is a change.
    pub fn set_replicas(&self, found: &[(SocketAddr, String)]) -> bool {
        let old = self.replicas.load();
        let known = |address: &SocketAddr| old.iter().find(|replica| replica.address == *address);
        let mut new: Vec<Arc<Replica>> = Vec::with_capacity(found.len());
        for (address, host) in found {
            if new.iter().all(|replica| replica.address != *address) {
                let old = known(address).filter(|replica| replica.host == host.as_str()).cloned();
                new.extend(old.or_else(|| Replica::new(*address, host).map(Arc::new)));
            }
        }
        let changed = new.len() != old.len() || new.iter().any(|replica| known(&replica.address).is_none());
        self.replicas.store(Arc::new(new));
        changed
    }

    /// All replicas, and how many of them are ejected.
    pub fn count(&self) -> (usize, usize) {
        let replicas = self.replicas.load();
        let ejected = replicas.iter().filter(|replica| replica.is_ejected()).count();
        (replicas.len(), ejected)
    }

    /// Whether there is another replica beside the one that is asked.
    pub fn has_several(&self) -> bool {
        self.replicas.load().len() > 1
    }

    /// The replica to ask, none of `tried`: the less loaded of two that are picked at random, so that not all take the same one.
    /// Where all are ejected an ejected one is better than none.
    pub fn choose(&self, tried: &[SocketAddr]) -> Option<Arc<Replica>> {
        let replicas = self.replicas.load();
        if let [only] = replicas.as_slice() {
            return (!tried.contains(&only.address)).then(|| Arc::clone(only));
        }
        let now = Instant::now();
        let left: Vec<&Arc<Replica>> = replicas
            .iter()
            .filter(|replica| !tried.contains(&replica.address))
            .collect();
        // One that may be back is tried by one request, or it would wait for all others to be slower.
        let due = |replica: &&&Arc<Replica>| replica.is_due(now) && replica.claim(self.ejection, now);
        if let Some(replica) = left.iter().find(due) {
            return Some(Arc::clone(replica));
        }
        let used: Vec<&Arc<Replica>> = left.iter().copied().filter(|replica| !replica.is_ejected()).collect();
        let from = if used.is_empty() { &left } else { &used };
        pick(from, now).map(Arc::clone)
    }
}

fn pick<'a>(replicas: &[&'a Arc<Replica>], now: Instant) -> Option<&'a Arc<Replica>> {
    if replicas.len() < 2 {
        return replicas.first().copied();
    }
    let mut random = rand::rng();
    let one = random.random_range(0..replicas.len());
    let other = (one + random.random_range(1..replicas.len())) % replicas.len();
    let fewer = replicas[one].load(now) <= replicas[other].load(now);
    Some(replicas[if fewer { one } else { other }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn shard(ports: &[u16]) -> Shard {
        let ejection = Ejection {
            after: 1,
            time: Duration::from_secs(1000),
        };
        let shard = Shard::new("a".into(), ejection);
        shard.set_replicas(&found(ports));
        shard
    }

    fn found(ports: &[u16]) -> Vec<(SocketAddr, String)> {
        let replica = |port: &u16| (SocketAddr::from(([127, 0, 0, 1], *port)), "leaf".to_owned());
        ports.iter().map(replica).collect()
    }

    #[test]
    fn what_is_known_of_a_replica_stays_when_others_come_and_go() {
        let shard = shard(&[1, 2]);
        let address = found(&[2])[0].0;
        let one = shard.choose(&[found(&[1])[0].0]).unwrap();
        assert_eq!(one.address, address);
        assert!(!shard.set_replicas(&found(&[2, 1, 2])));
        assert!(shard.set_replicas(&found(&[2, 3])));
        assert!(Arc::ptr_eq(&one, &shard.choose(&[found(&[3])[0].0]).unwrap()));
        assert!(shard.set_replicas(&[]));
        assert!(shard.choose(&[]).is_none() && shard.count() == (0, 0));
    }

    #[test]
    fn the_less_loaded_of_two_is_asked_and_an_ejected_one_only_when_there_is_no_other() {
        let shard = shard(&[1, 2, 3]);
        let others = |port: u16| found(&[1, 2, 3].into_iter().filter(|other| *other != port).collect::<Vec<_>>());
        let replica = |port| {
            shard
                .choose(&others(port).iter().map(|(address, _)| *address).collect::<Vec<_>>())
                .unwrap()
        };
        let now = Instant::now();
        replica(1).succeeded(Duration::from_millis(1), now);
        replica(2).succeeded(Duration::from_millis(900), now);
        replica(3).failed(Duration::ZERO, shard.ejection(), now);
        let asked = |port| {
            (0..300)
                .filter(|_| shard.choose(&[]).unwrap().address.port() == port)
                .count()
        };
        assert!(asked(1) > 250 && asked(3) == 0);
        replica(1).failed(Duration::ZERO, shard.ejection(), now);
        assert_eq!(asked(2), 300);
        replica(2).failed(Duration::ZERO, shard.ejection(), now);
        assert!(shard.choose(&[]).is_some());
        assert_eq!(shard.count(), (3, 3));
    }
}
