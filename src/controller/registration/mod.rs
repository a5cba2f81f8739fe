//! The webhook configurations: through them the API server calls us. The leader keeps them right.
//!
//! They are made once this replica is ready, so that nobody is sent to a Service behind which there is none. What they
//! trust comes from the certificate's Secret, or from a file beside a certificate that somebody else makes.
mod file;
mod manifests;

use super::{
    apply::{Keeper, Object, Wish},
    call::within,
    certificate::InSecret,
    duty::{Duty, Performing, Post},
    service::Service,
};
use crate::observe::health::{self, Health};
use anyhow::Result;
use k8s_openapi::ByteString;
use kube::{
    Api, Client,
    api::{DynamicObject, GroupVersionKind},
    core::ApiResource,
};
use manifests::Configuration;
use serde_json::Value;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::sleep};

/// How often to see whether this replica is ready.
const GLANCE: Duration = Duration::from_millis(200);

/// Where what callers have to trust comes from.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Our own authority.
    Secret(InSecret),
    /// A file with PEM.
    File {
        /// Where it is.
        path: PathBuf,
        /// How long former authorities stay trusted, as other replicas may still serve certificates of theirs.
        overlap: Duration,
    },
}

/// Keeps the three configurations right, and the certificate that they trust.
#[derive(Debug)]
pub struct Registration {
    /// Where the API server finds us.
    pub service: Service,
    /// Namespaces that are left alone.
    pub protected: Vec<String>,
    /// What to trust.
    pub trust: Trust,
    /// Whether we are ready.
    pub health: Arc<Health>,
}

impl Duty for Registration {
    fn name(&self) -> &'static str {
        "registration"
    }

    fn perform(&self, post: Post) -> Performing {
        let (service, protected) = (self.service.clone(), self.protected.clone());
        let (trust, health) = (self.trust.clone(), Arc::clone(&self.health));
        Box::pin(async move {
            let (sender, trusted) = watch::channel(None);
            let mut parts = JoinSet::new();
            match trust {
                Trust::Secret(secret) => parts.spawn(secret.keep(post.clone(), sender)),
                Trust::File { path, overlap } => {
                    let former = trusted_now(&post.client).await;
                    parts.spawn(file::follow(path, former, overlap, sender))
                }
            };
            parts.spawn(register(post, service, protected, health, trusted));
            // None of them ends, unless by an error of ours.
            match parts.join_next().await {
                Some(Err(error)) => Err(error.into()),
                _ => Ok(()),
            }
        })
    }
}

/// What the configuration for Pods trusts at present, as PEM; nothing where that cannot be told.
async fn trusted_now(client: &Client) -> String {
    let found = find(client, Configuration::Pods).await.ok().flatten();
    let bundle = found.map(|found| found.data["webhooks"][0]["clientConfig"]["caBundle"].clone());
    let bundle = bundle.and_then(|bundle| serde_json::from_value::<ByteString>(bundle).ok());
    String::from_utf8(bundle.map(|bundle| bundle.0).unwrap_or_default()).unwrap_or_default()
}

async fn register(
    post: Post,
    service: Service,
    protected: Vec<String>,
    health: Arc<Health>,
    mut trusted: watch::Receiver<Option<String>>,
) {
    while health.readiness(health::now()).is_err() {
        sleep(GLANCE).await;
    }
    let keeper = Keeper::new(post);
    let mut keeping = JoinSet::new();
    let wishes = Configuration::ALL.map(|configuration| {
        let (sender, wishes) = watch::channel(Wish::Unknown);
        let (keeper, object) = (keeper.clone(), object(configuration));
        keeping.spawn(async move { keeper.keep(object, wishes).await });
        (configuration, sender)
    });
    loop {
        let bundle = trusted.borrow_and_update().clone();
        if let Some(bundle) = bundle {
            for (configuration, wish) in &wishes {
                wish.send_replace(Wish::present(configuration.manifest(&service, &bundle, &protected)));
            }
        }
        if trusted.changed().await.is_err() {
            return;
        }
    }
}

/// Whether all three configurations trust exactly this.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn published(client: &Client, bundle: &str) -> Result<bool> {
    let expected = serde_json::to_value(ByteString(bundle.as_bytes().to_vec()))?;
    for configuration in Configuration::ALL {
        let Some(found) = find(client, configuration).await? else {
            return Ok(false);
        };
        let webhooks = found.data["webhooks"].as_array().cloned().unwrap_or_default();
        let trusts = |webhook: &Value| webhook["clientConfig"]["caBundle"] == expected;
        if webhooks.is_empty() || !webhooks.iter().any(trusts) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether one of the configurations is there.
///
/// # Errors
/// When they cannot be read.
pub(super) async fn is_any_there(client: &Client) -> Result<bool> {
    for configuration in Configuration::ALL {
        if find(client, configuration).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn find(client: &Client, configuration: Configuration) -> Result<Option<DynamicObject>> {
    let object = object(configuration);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &object.resource);
    within(api.get_opt(object.name)).await
}

fn object(configuration: Configuration) -> Object {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", configuration.kind());
    Object {
        resource: ApiResource::from_gvk(&kind),
        name: configuration.name(),
    }
}
