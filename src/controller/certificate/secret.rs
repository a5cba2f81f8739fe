//! The Secret in the API server: read, made, replaced. Each write names the version that it replaces.
use super::content::{Content, Data};
use crate::controller::{
    apply::FIELD_MANAGER,
    call::{status, within},
};
use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

/// Put on the Secret, whatever its value, it asks for a new authority.
pub const ROTATE: &str = "outrigger.dev/rotate";

/// The one Secret.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) api: Api<Secret>,
    pub(super) name: String,
}

/// The Secret as it was read.
#[derive(Debug, Clone)]
pub(super) struct Found {
    secret: Secret,
    pub(super) content: Content,
    /// What of it cannot be used.
    pub(super) wrong: Vec<String>,
}

impl Found {
    fn new(secret: Secret) -> Found {
        let empty = Data::new();
        let (content, wrong) = Content::read(secret.data.as_ref().unwrap_or(&empty));
        Found { secret, content, wrong }
    }

    /// Whether nothing is in it, as in one that comes with an installation.
    pub(super) fn is_empty(&self) -> bool {
        self.secret
            .data
            .as_ref()
            .is_none_or(std::collections::BTreeMap::is_empty)
    }

    /// Whether somebody asks for a new authority.
    pub(super) fn asks_for_rotation(&self) -> bool {
        let annotations = self.secret.metadata.annotations.as_ref();
        annotations.is_some_and(|annotations| annotations.contains_key(ROTATE))
    }
}

impl Store {
    /// The Secret, if there is one.
    pub(super) async fn read(&self) -> Result<Option<Found>> {
        Ok(within(self.api.get_opt(&self.name)).await?.map(Found::new))
    }

    /// Makes the Secret, unless somebody has been faster.
    pub(super) async fn create(&self, content: &Content) -> Result<bool> {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".into()),
            data: Some(content.data()),
            ..Secret::default()
        };
        written(within(self.api.create(&params(), &secret)).await)
    }

    /// Replaces what was found, unless somebody has been faster. With that, what was asked for is done.
    pub(super) async fn replace(&self, found: &Found, content: &Content, answers: bool) -> Result<bool> {
        let mut secret = found.secret.clone();
        secret.data = Some(content.data());
        if let (true, Some(annotations)) = (answers, &mut secret.metadata.annotations) {
            annotations.remove(ROTATE);
        }
        written(within(self.api.replace(&self.name, &params(), &secret)).await)
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.into()),
        ..PostParams::default()
    }
}

/// Whether it was written; not: somebody else was faster, which is seen when it is read again.
fn written(result: Result<Secret>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(false),
        Err(error) => Err(error),
    }
}
