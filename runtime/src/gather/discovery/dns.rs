//! Replicas by DNS: every address of a name is a replica.
use super::{Found, Place};
use crate::gather::args::ShardArgs;
use anyhow::{Context, Result};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// One for each family: a failure of one must not look like its having no addresses.
struct Resolvers {
    four: TokioResolver,
    six: TokioResolver,
}

/// Looks the names up again and again, each for its places.
pub fn start(args: &ShardArgs, names: BTreeMap<String, Vec<(u16, Place)>>) -> Result<()> {
    let resolvers = Arc::new(Resolvers {
        four: resolver(args, LookupIpStrategy::Ipv4Only)?,
        six: resolver(args, LookupIpStrategy::Ipv6Only)?,
    });
    for (name, places) in names {
        tokio::spawn(follow(Arc::clone(&resolvers), name, places, args.dns_interval));
    }
    Ok(())
}

fn resolver(args: &ShardArgs, family: LookupIpStrategy) -> Result<TokioResolver> {
    let mut builder = match args.dns_server {
        Some(server) => TokioResolver::builder_with_config(only(server), TokioRuntimeProvider::default()),
        None => TokioResolver::builder_tokio()
            .context("failed to read /etc/resolv.conf; name a server with --dns-server")?,
    };
    let options = builder.options_mut();
    // Each lookup shall see what is so now.
    options.cache_size = 0;
    options.ip_strategy = family;
    builder.build().context("failed to make a resolver")
}

fn only(server: SocketAddr) -> ResolverConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    let server = NameServerConfig::new(server.ip(), true, connections.into());
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}

async fn follow(resolvers: Arc<Resolvers>, name: String, places: Vec<(u16, Place)>, interval: Duration) {
    let mut failing = false;
    loop {
        match look_up(&resolvers, &name).await {
            Ok(addresses) => {
                failing = false;
                for (port, place) in &places {
                    let replica = |address: &IpAddr| (SocketAddr::new(*address, *port), format!("{name}:{port}"));
                    place.say(addresses.iter().map(replica).collect::<Vec<Found>>());
                }
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%name, %error, "a name cannot be looked up; what it said last stays");
                }
                failing = true;
            }
        }
        tokio::time::sleep(interval).await;
    }
}

/// All addresses; none when there are none. Of one family only, as both lead to the same replicas.
async fn look_up(resolvers: &Resolvers, name: &str) -> Result<BTreeSet<IpAddr>> {
    let four = addresses(&resolvers.four, name).await?;
    match four.is_empty() {
        true => addresses(&resolvers.six, name).await,
        false => Ok(four),
    }
}

async fn addresses(resolver: &TokioResolver, name: &str) -> Result<BTreeSet<IpAddr>> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) if error.is_no_records_found() => Ok(BTreeSet::new()),
        Err(error) => Err(error.into()),
    }
}
