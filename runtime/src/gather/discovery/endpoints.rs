//! Replicas by EndpointSlices, watched: the ready endpoints of a Service are replicas, those of one Pod where only they are wanted.
use super::{Found, Place, Wanted};
use crate::gather::declared::{Endpoints, Port};
use anyhow::{Context, Result};
use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;

/// The label that says which Service a slice belongs to.
const SERVICE: &str = "kubernetes.io/service-name";

/// Watches the slices of the wanted Services, one watch for each namespace.
pub async fn start(wanted: Vec<(Endpoints, Place)>) -> Result<()> {
    let config = Config::infer()
        .await
        .context("failed to find the API server; endpoints: needs a service-account token, or KUBECONFIG")?;
    let own = config.default_namespace.clone();
    let client = Client::try_from(config).context("failed to make a client of the API server")?;
    let mut namespaces: BTreeMap<String, Wanted> = BTreeMap::new();
    for (endpoints, place) in wanted {
        let namespace = endpoints.namespace.clone().unwrap_or_else(|| own.clone());
        namespaces.entry(namespace).or_default().push((endpoints, place));
    }
    for (namespace, wanted) in namespaces {
        tokio::spawn(follow(client.clone(), namespace, wanted));
    }
    Ok(())
}

async fn follow(client: Client, namespace: String, wanted: Wanted) {
    let services: BTreeSet<&str> = wanted.iter().map(|(endpoints, _)| endpoints.service.as_str()).collect();
    let services = services.into_iter().collect::<Vec<_>>().join(",");
    let config = watcher::Config::default().labels(&format!("{SERVICE} in ({services})"));
    let api: Api<EndpointSlice> = Api::namespaced(client, &namespace);
    let mut events = pin!(watcher(api, config).default_backoff());
    let (mut slices, mut listed) = (BTreeMap::new(), BTreeMap::new());
    while let Some(event) = events.next().await {
        match event {
            // What was known before a new list stays until that is whole.
            Ok(Event::Init) => {
                listed = BTreeMap::new();
                continue;
            }
            Ok(Event::InitApply(slice)) => {
                listed.insert(name(&slice), slice);
                continue;
            }
            Ok(Event::InitDone) => slices = std::mem::take(&mut listed),
            Ok(Event::Apply(slice)) => {
                slices.insert(name(&slice), slice);
            }
            Ok(Event::Delete(slice)) => {
                slices.remove(&name(&slice));
            }
            Err(error) => {
                complain(&namespace, &services, &error);
                continue;
            }
        }
        tell(&slices, &wanted);
    }
}

fn name(slice: &EndpointSlice) -> String {
    slice.metadata.name.clone().unwrap_or_default()
}

fn complain(namespace: &str, services: &str, error: &watcher::Error) {
    let forbidden = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 403,
        watcher::Error::WatchError(status) => status.code == 403,
        _ => false,
    };
    if forbidden {
        tracing::warn!(
            %namespace, %services,
            "the service account may not watch EndpointSlices; give it a Role in the namespace with apiGroups [discovery.k8s.io], \
             resources [endpointslices], verbs [list, watch]"
        );
    } else {
        tracing::warn!(%namespace, %services, %error, "the watch of EndpointSlices has failed; what it said last stays");
    }
}

fn tell(slices: &BTreeMap<String, EndpointSlice>, wanted: &Wanted) {
    for (endpoints, place) in wanted {
        place.say(replicas(slices.values(), endpoints));
    }
}

/// The ready endpoints, of one address family: a Pod with two addresses is one replica.
fn replicas<'a>(slices: impl Iterator<Item = &'a EndpointSlice> + Clone, wanted: &Endpoints) -> Vec<Found> {
    let of_family = |family: &str| -> Vec<Found> {
        let slices = slices
            .clone()
            .filter(|slice| slice.address_type == family && is_of(slice, &wanted.service));
        slices.flat_map(|slice| of_slice(slice, wanted)).collect()
    };
    let four = of_family("IPv4");
    if four.is_empty() { of_family("IPv6") } else { four }
}

fn is_of(slice: &EndpointSlice, service: &str) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels
        .and_then(|labels| labels.get(SERVICE))
        .is_some_and(|name| name == service)
}

fn of_slice(slice: &EndpointSlice, wanted: &Endpoints) -> Vec<Found> {
    let port = match &wanted.port {
        Port::Number(number) => Some(*number),
        Port::Name(name) => {
            let mut ports = slice.ports.iter().flatten();
            let port = ports.find(|port| port.name.as_deref() == Some(name));
            port.and_then(|port| u16::try_from(port.port?).ok())
        }
    };
    let Some(port) = port else { return Vec::new() };
    let ready = slice
        .endpoints
        .iter()
        .flatten()
        .filter(|endpoint| is_wanted(endpoint, wanted));
    let address = |endpoint: &Endpoint| -> Option<Found> {
        // All addresses of an endpoint are one Pod's.
        let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
        let address = SocketAddr::new(address, port);
        Some((address, address.to_string()))
    };
    ready.filter_map(address).collect()
}

fn is_wanted(endpoint: &Endpoint, wanted: &Endpoints) -> bool {
    let ready = endpoint
        .conditions
        .as_ref()
        .and_then(|conditions| conditions.ready)
        .unwrap_or(true);
    let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.as_deref());
    let named = |name: &String| pod == Some(name) || endpoint.hostname.as_ref() == Some(name);
    ready && wanted.pod.as_ref().is_none_or(named)
}
