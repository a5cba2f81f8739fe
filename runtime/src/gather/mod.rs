//! `outrigger-runtime gather`: the root of scatter/gather. Clients send a request here; every shard gets it; their answers are
//! merged, by a container on localhost or in a simple way, and what is missing is told.
//!
//! [`mod@root`] is the path of one request. A shard is declared by flags and never forgotten; where its replicas are at present is
//! [`discovery`]'s concern.
mod answer;
mod args;
mod ask;
mod declared;
mod discovery;
mod headers;
mod hedge;
mod leaf;
mod listener;
mod memory;
mod merge;
mod metrics;
mod missing;
mod numbers;
mod patience;
mod replica;
mod root;
mod scatter;
mod shard;
mod window;

use crate::serving::{self, health, logs, stop};
use anyhow::{Context, Result};
pub use args::Args;
use ask::Asking;
use discovery::Discovery;
use hedge::Extra;
use leaf::{Http, Leaves};
use listener::Bounds;
use memory::Memory;
use merge::{Merge, container::Container};
use metrics::Metrics;
use prometheus_client::registry::Registry;
use replica::Ejection;
use root::{Merger, Root};
use scatter::Enough;
use shard::Shard;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Runs until told to stop.
///
/// # Errors
/// When flags do not go together, when it cannot begin, or its sockets fail.
pub async fn run(args: Args) -> Result<()> {
    let declared = args.declared()?;
    logs::start(args.serving.log_format, &args.serving.log_level)?;
    let stop = stop::on_signal()?;
    let (socket, listen) = serving::bind(args.listen).await?;
    let (admin_socket, admin) = serving::bind(args.admin).await?;

    let ejection = Ejection {
        after: args.leaves.eject_after,
        time: args.leaves.eject_for,
    };
    let shards: Vec<Arc<Shard>> = declared
        .iter()
        .map(|shard| Arc::new(Shard::new(shard.name.clone(), ejection)))
        .collect();
    let memory = Memory::new(args.clients.memory.0);
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry, &shards, &memory);
    let discovery = Discovery::start(&args.shards, &declared, &shards).await?;
    let root = Arc::new(root(&args, shards, memory, metrics)?);

    tracing::info!(%listen, %admin, shards = declared.len(), "serving");
    let ready = {
        let stop = stop.clone();
        move || {
            if stop.is_cancelled() {
                Err("stopping".to_owned())
            } else {
                discovery.ready()
            }
        }
    };
    let health = health::router(Arc::new(ready), Arc::new(registry));
    let grace = args.serving.shutdown_grace;
    let told = tokio::spawn(serving::serve(admin_socket, health, stop.clone(), grace));
    let bounds = Bounds {
        connections: args.clients.connections.get() as usize,
        timeout: args.clients.client_timeout,
        idle: args.clients.client_idle,
    };
    let answer = move |request| {
        let root = Arc::clone(&root);
        async move { root.serve(request).await }
    };
    listener::serve(socket, bounds, answer, stop, grace).await;
    told.await.context("failed to stop")?
}

fn root(args: &Args, shards: Vec<Arc<Shard>>, memory: Arc<Memory>, metrics: Arc<Metrics>) -> Result<Root> {
    let http = leaf::http(args.leaves.connect_timeout, args.leaves.keep_idle);
    let merger = merger(args, &http, &memory);
    let first = matches!(merger, Merger::First);
    let enough = Enough {
        required: if first {
            1
        } else {
            args.merging.require.of(shards.len())
        },
        first,
    };
    let leaves = Leaves {
        http,
        accept: args.merging.accept.clone(),
        most: args.clients.shard_body.0,
        memory: Arc::clone(&memory),
        deadline_header: args.leaves.deadline_header.clone(),
        fair: args.merging.deadline / 2,
    };
    Ok(Root {
        shards,
        asking: Asking {
            leaves,
            hedge_after: args.hedging.hedge_after,
            extra: Extra::new(args.hedging.hedge_share),
            metrics: Arc::clone(&metrics),
        },
        enough,
        deadline: args.merging.deadline,
        merger,
        forward: args.headers()?,
        repeatable: args.hedging.hedge_methods.0.clone(),
        places: Semaphore::new(args.clients.concurrency.get() as usize),
        memory,
        most: args.clients.request_body.0,
        client_timeout: args.clients.client_timeout,
        metrics,
    })
}

fn merger(args: &Args, http: &Http, memory: &Arc<Memory>) -> Merger {
    match &args.merging.merge {
        Merge::Concat => Merger::Concat,
        Merge::JsonArray => Merger::JsonArray,
        Merge::First => Merger::First,
        Merge::Container(uri) => Merger::Container(Box::new(Container {
            uri: uri.clone(),
            format: args.merging.merge_format,
            timeout: args.merging.merge_timeout,
            most: args.clients.answer_body.0,
            http: http.clone(),
            memory: Arc::clone(memory),
            deadline_header: args.leaves.deadline_header.clone(),
        })),
    }
}
