//! The certificate that all replicas share: an authority of our own and a leaf, in one Secret.
//!
//! The Secret is read through the API, not from a mount, which would lag behind by a minute. Every replica serves its leaf
//! (`follower`); the leader renews what is in it (`keeper`) by steps that another leader can go on with
//! (`plan`).
mod content;
mod follower;
mod keeper;
mod plan;
mod secret;
mod shared;
mod x509;

pub use plan::Lives;
pub use secret::ROTATE;
pub use shared::Shared;

use super::duty::Post;
use crate::tls::served::Served;
use kube::{Api, Client};
use secret::Store;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the certificate is.
#[derive(Debug, Clone)]
pub struct InSecret {
    /// The Secret's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What there is to know about it.
    pub shared: Arc<Shared>,
}

impl InSecret {
    fn store(&self, client: Client) -> Store {
        Store {
            api: Api::namespaced(client, &self.namespace),
            name: self.name.clone(),
        }
    }

    /// Serves the Secret's leaf, making the Secret where there is none; for every replica, for as long as it runs.
    pub async fn follow(self, client: Client, served: Served) {
        follower::follow(self.store(client), self.shared, served).await;
    }

    /// Keeps the Secret good and states what callers have to trust; for the leader.
    pub async fn keep(self, post: Post, trust: watch::Sender<Option<String>>) {
        keeper::keep(self.store(post.client.clone()), self.shared, post, trust).await;
    }
}
