//! The flags of `outrigger-runtime gather`, each with a variable of its own, and what is refused with the way out.
use super::declared::{self, Declared, Shards, Template};
use super::hedge::{HedgeAfter, Methods};
use super::merge::{Format, Merge};
use super::numbers::{Bytes, Require, Share, Statuses};
use crate::serving::{ServingArgs, seconds};
use anyhow::{Context, Result, bail};
use hyper::header::HeaderName;
use std::{net::SocketAddr, num::NonZeroU32, time::Duration};

/// Send each request to every shard, and merge the answers
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where clients are served; port 0 takes a free one
    #[arg(
        long,
        env = "OUTRIGGER_LISTEN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4042"
    )]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served; port 0 takes a free one
    #[arg(
        long,
        env = "OUTRIGGER_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:4043"
    )]
    pub admin: SocketAddr,
    #[command(flatten)]
    pub serving: ServingArgs,
    #[command(flatten)]
    pub shards: ShardArgs,
    #[command(flatten)]
    pub merging: MergeArgs,
    #[command(flatten)]
    pub hedging: HedgeArgs,
    #[command(flatten)]
    pub leaves: LeafArgs,
    #[command(flatten)]
    pub clients: ClientArgs,
}

/// Which shards there are, and where their replicas are.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Shards")]
pub struct ShardArgs {
    /// The shards: a count, as 16; or a list of StatefulSets' ordinals, as statefulset:leaf:16, of names, as a,b,c, and of names with
    /// their replicas, as a=10.0.0.1:80|10.0.0.2:80,b=dns:leaf-b:80
    #[arg(long, env = "OUTRIGGER_SHARDS", value_name = "SHARDS")]
    pub shards: Shards,
    /// Where the replicas of a shard are, for all that do not say so themselves: HOST:PORT, several with |; dns:HOST:PORT; or
    /// `endpoints:SERVICE[.NAMESPACE][/POD]:PORT`; {shard} stands for the shard's name
    #[arg(long, env = "OUTRIGGER_REPLICAS", value_name = "TEMPLATE")]
    pub replicas: Option<Template>,
    /// The name server to ask, instead of those of /etc/resolv.conf
    #[arg(long, env = "OUTRIGGER_DNS_SERVER", value_name = "ADDRESS")]
    pub dns_server: Option<SocketAddr>,
    /// How often names are looked up
    #[arg(long, env = "OUTRIGGER_DNS_INTERVAL", value_name = "SECONDS", default_value = "5s", value_parser = seconds)]
    pub dns_interval: Duration,
}

/// What becomes of the answers.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Merging")]
pub struct MergeArgs {
    /// concat, json-array, first, or the http:// URL of the container that merges
    #[arg(
        long,
        env = "OUTRIGGER_MERGE",
        value_name = "HOW",
        default_value = "http://127.0.0.1:8080/"
    )]
    pub merge: Merge,
    /// How the container that merges is given the answers
    #[arg(long, env = "OUTRIGGER_MERGE_FORMAT", value_enum, default_value = "json")]
    pub merge_format: Format,
    /// How long the container that merges may take
    #[arg(long, env = "OUTRIGGER_MERGE_TIMEOUT", value_name = "SECONDS", default_value = "1s", value_parser = seconds)]
    pub merge_timeout: Duration,
    /// How long the shards may take
    #[arg(long, env = "OUTRIGGER_DEADLINE", value_name = "SECONDS", default_value = "1s", value_parser = seconds)]
    pub deadline: Duration,
    /// How many shards must have answered: all, a number, or a share, as 80%
    #[arg(long, env = "OUTRIGGER_REQUIRE", value_name = "SHARDS", default_value = "all")]
    pub require: Require,
    /// The statuses of leaves that are answers; a shard with another one is missing
    #[arg(long, env = "OUTRIGGER_ACCEPT", value_name = "STATUSES", default_value = "200-299")]
    pub accept: Statuses,
}

/// Second requests to other replicas.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Hedging")]
pub struct HedgeArgs {
    /// When another replica is asked too: p95 (what the shard stays below in 95 of 100 requests), a time, as 50ms, or never
    #[arg(long, env = "OUTRIGGER_HEDGE_AFTER", value_name = "WHEN", default_value = "p95")]
    pub hedge_after: HedgeAfter,
    /// How many requests more there may be for that, and for trying again what failed
    #[arg(long, env = "OUTRIGGER_HEDGE_SHARE", value_name = "SHARE", default_value = "10%")]
    pub hedge_share: Share,
    /// The methods that leaves may be asked twice with; empty: none
    #[arg(
        long,
        env = "OUTRIGGER_HEDGE_METHODS",
        value_name = "METHODS",
        default_value = "GET,HEAD"
    )]
    pub hedge_methods: Methods,
}

/// How leaves are talked to.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Leaves")]
pub struct LeafArgs {
    /// The client's headers that leaves and the merging container get; * for all that are not about the connection
    #[arg(
        long,
        env = "OUTRIGGER_FORWARD_HEADERS",
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "accept,accept-language,authorization,content-type,content-encoding,user-agent,x-request-id"
    )]
    pub forward_headers: Vec<String>,
    /// The header that tells how many milliseconds are left
    #[arg(
        long,
        env = "OUTRIGGER_DEADLINE_HEADER",
        value_name = "NAME",
        default_value = "outrigger-deadline-ms"
    )]
    pub deadline_header: HeaderName,
    /// How long a connection to a leaf may take to be made
    #[arg(long, env = "OUTRIGGER_CONNECT_TIMEOUT", value_name = "SECONDS", default_value = "500ms", value_parser = seconds)]
    pub connect_timeout: Duration,
    /// How long an unused connection to a leaf is kept; less than leaves keep theirs
    #[arg(long, env = "OUTRIGGER_KEEP_IDLE", value_name = "SECONDS", default_value = "4s", value_parser = seconds)]
    pub keep_idle: Duration,
    /// How many failures in a row eject a replica; 0 for never
    #[arg(long, env = "OUTRIGGER_EJECT_AFTER", value_name = "FAILURES", default_value = "5")]
    pub eject_after: u32,
    /// For how long; each time longer, up to ten times
    #[arg(long, env = "OUTRIGGER_EJECT_FOR", value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    pub eject_for: Duration,
}

/// What clients may do.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Bounds")]
pub struct ClientArgs {
    /// Requests at once; more are told to come again (503)
    #[arg(long, env = "OUTRIGGER_CONCURRENCY", value_name = "REQUESTS", default_value = "256")]
    pub concurrency: NonZeroU32,
    /// Connections of clients at once; more wait
    #[arg(
        long,
        env = "OUTRIGGER_CONNECTIONS",
        value_name = "CONNECTIONS",
        default_value = "1024"
    )]
    pub connections: NonZeroU32,
    /// Largest body of a client's request (413)
    #[arg(long, env = "OUTRIGGER_REQUEST_BODY", value_name = "BYTES", default_value = "1MiB")]
    pub request_body: Bytes,
    /// Largest body of a leaf's answer; a shard with a larger one is missing
    #[arg(long, env = "OUTRIGGER_SHARD_BODY", value_name = "BYTES", default_value = "1MiB")]
    pub shard_body: Bytes,
    /// Largest body that the merging container may answer with (502)
    #[arg(long, env = "OUTRIGGER_ANSWER_BODY", value_name = "BYTES", default_value = "16MiB")]
    pub answer_body: Bytes,
    /// All bodies together; what does not fit is told to come again (503)
    #[arg(long, env = "OUTRIGGER_MEMORY", value_name = "BYTES", default_value = "64MiB")]
    pub memory: Bytes,
    /// How long a client may take for the head of a request, for its body, and for nothing at all of an answer
    #[arg(long, env = "OUTRIGGER_CLIENT_TIMEOUT", value_name = "SECONDS", default_value = "10s", value_parser = seconds)]
    pub client_timeout: Duration,
    /// How long a client's connection may do nothing between requests
    #[arg(long, env = "OUTRIGGER_CLIENT_IDLE", value_name = "SECONDS", default_value = "75s", value_parser = seconds)]
    pub client_idle: Duration,
}

impl Args {
    /// The shards, once all flags are found to go together.
    ///
    /// # Errors
    /// With the flag and the way out.
    pub fn declared(&self) -> Result<Vec<Declared>> {
        let declared = declared::declare(&self.shards.shards, self.shards.replicas.as_ref())?;
        let first = matches!(self.merging.merge, Merge::First);
        if first && self.merging.require != Require::All && self.merging.require != Require::Count(1) {
            bail!(
                "--require {}: with --merge first one answer is enough; leave it out",
                self.merging.require
            );
        }
        if let Require::Count(count) = self.merging.require
            && count as usize > declared.len()
        {
            bail!(
                "--require {count}: there are {} shards; write at most that, or all",
                declared.len()
            );
        }
        for (flag, time) in [
            ("--deadline", self.merging.deadline),
            ("--merge-timeout", self.merging.merge_timeout),
            ("--connect-timeout", self.leaves.connect_timeout),
            ("--client-timeout", self.clients.client_timeout),
            ("--client-idle", self.clients.client_idle),
            ("--dns-interval", self.shards.dns_interval),
        ] {
            if time.is_zero() || time > Duration::from_secs(3600) {
                bail!("{flag}: write a time above 0 and at most 3600s");
            }
        }
        self.headers()?;
        Ok(declared)
    }

    /// The client's headers that are passed on; none: all.
    ///
    /// # Errors
    /// When one is no header.
    pub fn headers(&self) -> Result<Option<Vec<HeaderName>>> {
        let names = || self.leaves.forward_headers.iter().map(|name| name.trim());
        if names().any(|name| name == "*") {
            return Ok(None);
        }
        let parse = |name: &str| {
            name.parse().with_context(|| {
                format!("--forward-headers: {name:?} is not the name of a header; write names with commas, or *")
            })
        };
        names()
            .filter(|name| !name.is_empty())
            .map(parse)
            .collect::<Result<_>>()
            .map(Some)
    }
}
