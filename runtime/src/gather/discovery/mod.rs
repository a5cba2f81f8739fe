//! Where the replicas of shards are at present. A source that does not answer leaves what it said last; one that says that there
//! is nobody leaves its shards without replicas, and declared.
//!
//! It does not know what replicas are asked.
mod dns;
mod endpoints;

use super::args::ShardArgs;
use super::declared::{Declared, Endpoints, Source};
use super::shard::Shard;
use anyhow::Result;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A replica: its address, and the `Host` it is called by.
type Found = (SocketAddr, String);

/// Joins what the sources of a shard say.
#[derive(Debug)]
pub struct Joined {
    shard: Arc<Shard>,
    /// A source's last word; none: it has not answered yet.
    said: Mutex<Vec<Option<Vec<Found>>>>,
}

/// One source of one shard.
#[derive(Debug, Clone)]
struct Place {
    joined: Arc<Joined>,
    index: usize,
}

impl Place {
    /// This is what the source says now.
    fn say(&self, found: Vec<Found>) {
        let mut said = self.joined.said.lock().unwrap_or_else(PoisonError::into_inner);
        said[self.index] = Some(found);
        let mut all: Vec<Found> = said.iter().flatten().flatten().cloned().collect();
        all.sort();
        if self.joined.shard.set_replicas(&all) {
            let (shard, addresses) = (
                &self.joined.shard.name,
                all.iter().map(|(address, _)| address.to_string()),
            );
            tracing::info!(%shard, replicas = addresses.collect::<Vec<_>>().join(" "), "replicas");
        }
    }
}

/// All shards, and whether every source has answered once.
#[derive(Debug, Clone)]
pub struct Discovery {
    joined: Vec<Arc<Joined>>,
}

impl Discovery {
    /// Begins to look for the replicas of all shards.
    ///
    /// # Errors
    /// When that cannot begin: there is no name server or API server to ask.
    pub async fn start(args: &ShardArgs, declared: &[Declared], shards: &[Arc<Shard>]) -> Result<Discovery> {
        let (mut names, mut endpoints, mut all) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (declared, shard) in declared.iter().zip(shards) {
            let joined = Arc::new(Joined {
                shard: Arc::clone(shard),
                said: Mutex::new(vec![None; declared.sources.len()]),
            });
            all.push(Arc::clone(&joined));
            for (index, source) in declared.sources.iter().enumerate() {
                let place = Place {
                    joined: Arc::clone(&joined),
                    index,
                };
                match source {
                    Source::Address(address) => place.say(vec![(*address, address.to_string())]),
                    Source::Name { host, port } => {
                        let places: &mut Vec<(u16, Place)> = names.entry(host.clone()).or_default();
                        places.push((*port, place));
                    }
                    Source::Endpoints(wanted) => endpoints.push((wanted.clone(), place)),
                }
            }
        }
        if !names.is_empty() {
            dns::start(args, names)?;
        }
        if !endpoints.is_empty() {
            endpoints::start(endpoints).await?;
        }
        Ok(Discovery { joined: all })
    }

    /// Ready once every source has answered.
    ///
    /// # Errors
    /// With the shards whose sources have not.
    pub fn ready(&self) -> Result<(), String> {
        let unheard = |joined: &&Arc<Joined>| {
            let said = joined.said.lock().unwrap_or_else(PoisonError::into_inner);
            said.iter().any(Option::is_none)
        };
        let names: Vec<&str> = self
            .joined
            .iter()
            .filter(unheard)
            .map(|joined| joined.shard.name.as_str())
            .collect();
        match names.is_empty() {
            true => Ok(()),
            false => Err(format!(
                "where the replicas are is not known yet of: {}",
                names.join(", ")
            )),
        }
    }
}

type Wanted = Vec<(Endpoints, Place)>;
