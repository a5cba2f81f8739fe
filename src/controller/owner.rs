//! Who owns what the controller makes for the whole cluster: when the owner is deleted, the cluster's garbage collector
//! removes the rest.
use super::call::within;
use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::{Api, Client};
use serde_json::{Value, json};

/// A ClusterRole, which the chart makes and an uninstall removes.
#[derive(Debug, Clone)]
pub struct Owner {
    api: Api<ClusterRole>,
    name: String,
}

impl Owner {
    /// The ClusterRole of this name.
    pub fn new(client: Client, name: &str) -> Owner {
        Owner {
            api: Api::all(client),
            name: name.to_owned(),
        }
    }

    /// The entry for `metadata.ownerReferences`. It is asked for before each write: who is deleted and made anew is
    /// another owner.
    ///
    /// # Errors
    /// When there is no such ClusterRole, or it cannot be read.
    pub async fn reference(&self) -> Result<Value> {
        let found = within(self.api.get_metadata_opt(&self.name)).await;
        let found = found.with_context(|| format!("failed to read ClusterRole {:?}", self.name))?;
        let uid = found.and_then(|owner| owner.metadata.uid).with_context(|| {
            format!(
                "there is no ClusterRole {:?} to own what is made; install it, or name another one with --owner",
                self.name
            )
        })?;
        Ok(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "name": self.name, "uid": uid,
        }))
    }
}
