//! What a policy comes to in one Pod: made in advance, remembered of one like it, or rendered now.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::answer::Failure;
use crate::compile::{Body, CompiledPolicy};
use crate::expr::{Scope, Uses};
use crate::params;
use crate::pod::PodView;
use crate::render::{MaybeOwned, Rendering};
use crate::snapshot::{Namespace, Snapshot};

/// Of a rendering that failed, what may be told: the message may quote a value.
const NOT_RENDERED: &str = "it cannot be rendered for this Pod";

/// Renders policies for one Pod.
pub(super) struct Renderer<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) pod: &'a PodView<'a>,
    pub(super) namespace: &'a Namespace,
}

impl<'a> Renderer<'a> {
    /// What the policy comes to. Its expressions read what `scope` gives them, and parameters.
    pub(super) fn render<'p, 's>(
        &self,
        policy: &'p CompiledPolicy,
        body: &'p Body,
        scope: &dyn Fn(&Uses) -> Result<Scope<'s>, String>,
        warn: &mut dyn FnMut(String),
    ) -> Result<MaybeOwned<'p>, Failure> {
        if let Some(rendered) = body.in_advance().filter(|_| !self.sets_parameters(policy.name())) {
            return Ok(MaybeOwned::InAdvance(rendered));
        }
        let of_namespace = |key: &str| self.namespace.annotations.get(key).map(String::as_str);
        let values = params::resolve(policy.name(), &body.parameters, of_namespace, |key| {
            self.pod.annotation(key)
        });
        let values = values.map_err(Failure::bad_value)?;
        values.warnings().iter().for_each(|warning| warn(warning.clone()));
        let key = (!body.uses().reads_the_pod()).then(|| rendering_key(policy, values.map()));
        if let Some(known) = key.as_deref().and_then(|key| self.snapshot.recall(key)) {
            return Ok(MaybeOwned::Shared(known.0));
        }
        let scope = scope(body.uses()).map_err(|message| Failure::new(message).told_as(NOT_RENDERED))?;
        let rendered = body.render(policy.name(), &scope.params(values.map()));
        let rendered = rendered
            .map_err(|error| Failure::new(format!("{}: {}", error.path, error.message)).told_as(NOT_RENDERED))?;
        let rendering = Rendering(Arc::new(rendered));
        if let Some(key) = key {
            self.snapshot.keep(key, &rendering);
        }
        Ok(MaybeOwned::Shared(rendering.0))
    }

    /// Whether any annotation could set a parameter of the policy.
    fn sets_parameters(&self, policy: &str) -> bool {
        let is_for = |key: &str| {
            key.strip_prefix(policy)
                .and_then(|rest| rest.strip_prefix(".outrigger.dev/"))
                .is_some()
        };
        self.pod.annotations().any(|(key, _)| is_for(key)) || self.namespace.annotations.keys().any(|key| is_for(key))
    }
}

/// What a rendering depends on that reads nothing of the Pod.
fn rendering_key(policy: &CompiledPolicy, values: &BTreeMap<String, Value>) -> String {
    let values = serde_json::to_string(values).unwrap_or_default();
    format!("{} {values}", policy.id())
}
