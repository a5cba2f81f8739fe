//! What a policy comes to in one Pod: made in advance, remembered of one like it, or rendered now.

use std::fmt::Write;
use std::sync::Arc;

use super::answer::Failure;
use crate::compile::{Body, CompiledPolicy};
use crate::expr::{Scope, Uses};
use crate::params;
use crate::pod::PodView;
use crate::render::{MaybeOwned, Rendering};
use crate::snapshot::{Namespace, Snapshot};

/// Of a rendering that failed, what may be told: the message may quote a value.
const NOT_RENDERED: &str = "it cannot be rendered for this Pod";

/// Bytes of what a rendering is kept by: whoever creates Pods can write it.
const LONGEST_KEY: usize = 16 * 1024;

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
        if let Some(rendered) = body.in_advance().filter(|_| self.settings(policy).next().is_none()) {
            return Ok(MaybeOwned::InAdvance(rendered));
        }
        let key = match body.uses().reads_the_pod() {
            true => None,
            false => self.key(policy),
        };
        if let Some(known) = key.as_deref().and_then(|key| self.snapshot.recall(key)) {
            known.warnings.iter().for_each(|warning| warn(warning.clone()));
            return Ok(MaybeOwned::Shared(known.rendered));
        }
        let of_namespace = |key: &str| self.namespace.annotations.get(key).map(String::as_str);
        let values = params::resolve(policy.name(), &body.parameters, of_namespace, |key| {
            self.pod.annotation(key)
        });
        let values = values.map_err(Failure::bad_value)?;
        values.warnings().iter().for_each(|warning| warn(warning.clone()));
        let scope = scope(body.uses()).map_err(|message| Failure::new(message).told_as(NOT_RENDERED))?;
        let rendered = body.render(policy.name(), &scope.params(values.map()));
        let rendered = rendered
            .map_err(|error| Failure::new(format!("{}: {}", error.path, error.message)).told_as(NOT_RENDERED))?;
        let rendering = Rendering {
            rendered: Arc::new(rendered),
            warnings: values.warnings().into(),
        };
        if let Some(key) = key {
            self.snapshot.keep(key, &rendering);
        }
        Ok(MaybeOwned::Shared(rendering.rendered))
    }

    /// The annotations that could set parameters of the policy: the Pod's, and the namespace's.
    fn settings(&self, policy: &CompiledPolicy) -> impl Iterator<Item = (char, &str, &str)> {
        let is_for = |key: &str| {
            key.strip_prefix(policy.name())
                .and_then(|rest| rest.strip_prefix(".outrigger.dev/"))
                .is_some()
        };
        let of_pod = self.pod.annotations().map(|(key, value)| ('P', key, value));
        let of_namespace = self.namespace.annotations.iter();
        let of_namespace = of_namespace.map(|(key, value)| ('N', key.as_str(), value.as_str()));
        of_pod.chain(of_namespace).filter(move |(_, key, _)| is_for(key))
    }

    /// All that a rendering depends on that reads nothing of the Pod; `None` where that is too long to be kept.
    fn key(&self, policy: &CompiledPolicy) -> Option<String> {
        let mut whole = policy.id().to_string();
        for (owner, key, value) in self.settings(policy) {
            if whole.len() + key.len() + value.len() > LONGEST_KEY {
                return None;
            }
            // With its length, as anything may be in it.
            let _ = write!(whole, " {owner}{}:{key}{}:{value}", key.len(), value.len());
        }
        Some(whole)
    }
}
