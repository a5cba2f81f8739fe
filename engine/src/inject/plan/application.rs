//! One policy on its way into a plan: what changes in the application's containers, and in the Pod itself.

use std::borrow::Cow;

use serde_json::Value;

use super::attempt::Attempt;
use crate::inject::Slot;
use crate::inject::own::same_variable;
use crate::pod::{Container, VolumeMount};
use crate::render::{EnvVar, HostAlias, Mount};

impl<'p, 'c> Attempt<'p, 'c> {
    pub(super) fn application(&mut self) -> Result<(), String> {
        let app = &self.rendered().app;
        let (slots, init) = self.app_slots(&app.containers)?;
        for helper in &self.rendered().helpers {
            // A native ambassador starts before the application's init containers, so they may use it.
            let early = if self.plan.is_native(helper) { init } else { &[] };
            for slot in slots.iter().chain(early) {
                for variable in &helper.endpoint_env {
                    self.variable(*slot, variable, true)?;
                }
            }
        }
        for slot in &*slots {
            for variable in &app.env {
                self.variable(*slot, variable, false)?;
            }
        }
        for slot in &*slots {
            for mount in &app.mounts {
                self.app_mount(*slot, mount)?;
            }
        }
        Ok(())
    }

    /// The application's containers that `names` means, and its init containers that only an ambassador reaches.
    pub(super) fn app_slots(&self, names: &[String]) -> Result<(Cow<'p, [Slot]>, &'p [Slot]), String> {
        if names.is_empty() {
            return Ok(((&self.plan.app).into(), &self.plan.app_init));
        }
        let is_named = |slot: &&Slot| {
            let name = slot.of(self.plan.spec).map_or("", |container| &container.name);
            names.iter().any(|wanted| wanted == name)
        };
        let named: Vec<Slot> = self.plan.others.iter().filter(is_named).copied().collect();
        let app = &self.rendered().app;
        let unused = app.env.is_empty() && app.mounts.is_empty();
        if named.is_empty() && !unused {
            return Err(format!(
                "spec.app.containers: no container is named \"{}\"",
                names.join("\" or \"")
            ));
        }
        Ok((named.into(), &[]))
    }

    /// Before the application's own, so that these can refer to it. One that is there stays.
    pub(super) fn variable(&mut self, slot: Slot, variable: &'c EnvVar, endpoint: bool) -> Result<(), String> {
        let Some(container) = slot.of(self.plan.spec) else {
            return Ok(());
        };
        let planned = [&self.plan.claims, &self.claims].map(|claims| claims.env.get(&slot));
        match planned
            .into_iter()
            .flatten()
            .flatten()
            .find(|there| there.name == variable.name)
        {
            Some(there) if there.value == variable.value => return Ok(()),
            Some(_) => {
                return Err(format!(
                    "variable {} of container \"{}\" is set differently by another policy",
                    variable.name, container.name
                ));
            }
            None => {}
        }
        // Of equal names the last one counts.
        match container
            .env
            .items()
            .iter()
            .rfind(|there| *there.name == *variable.name)
        {
            Some(there) if same_variable(there, &variable.value) => {
                self.claims.env.entry(slot).or_default().push(variable)
            }
            Some(_) if endpoint && !self.candidate.trusts_record() => {
                return Err(format!(
                    "container \"{}\" sets variable {} to another address; drop the variable, or do without this policy",
                    container.name, variable.name
                ));
            }
            Some(_) => {
                let message = format!(
                    "container \"{}\" sets variable {} itself; that stays",
                    container.name, variable.name
                );
                self.warn(message);
            }
            None => {
                if container.has_env_from {
                    let message = format!(
                        "variable {} of container \"{}\" would hide one of that name from envFrom",
                        variable.name, container.name
                    );
                    self.warn(message);
                }
                self.claims.env.entry(slot).or_default().push(variable);
                self.delta.env.entry(slot).or_default().push(variable);
            }
        }
        Ok(())
    }

    pub(super) fn app_mount(&mut self, slot: Slot, mount: &'c Mount) -> Result<(), String> {
        let name = self.container_at(slot);
        let clash = |volume: &str| {
            let what = match volume == mount.volume {
                true => "with another subPath".to_owned(),
                false => format!("where the policy mounts \"{}\"", mount.volume),
            };
            let path = &mount.path;
            Err(format!(
                "container \"{name}\" mounts volume \"{volume}\" at {path}, {what}; one of them must go elsewhere"
            ))
        };
        let planned = [&self.plan.claims, &self.claims].map(|claims| claims.mounts.get(&slot));
        match planned
            .into_iter()
            .flatten()
            .flatten()
            .find(|there| there.path == mount.path)
        {
            Some(there) if there.value == mount.value => return Ok(()),
            Some(there) => return clash(&there.volume),
            None => {}
        }
        match mount_at(slot.of(self.plan.spec), &mount.path) {
            Some(there) if same_mount(there, mount) || self.candidate.trusts_record() => {}
            Some(there) => return clash(&there.name),
            None => self.delta.mounts.entry(slot).or_default().push(mount),
        }
        self.claims.mounts.entry(slot).or_default().push(mount);
        Ok(())
    }

    pub(super) fn pod(&mut self) -> Result<(), String> {
        let additions = &self.rendered().pod;
        for (key, value) in &additions.labels {
            let planned = self
                .plan
                .additions
                .labels
                .iter()
                .find(|(other, _)| other == key)
                .map(|(_, value)| *value);
            match self.plan.pod.label(key).or(planned) {
                Some(there) if there == value => {}
                // What it is, an Event must not tell.
                Some(_) => return Err(format!("label {key} has another value already, not \"{value}\"")),
                None => self.delta.labels.push((key, value)),
            }
        }
        for (key, value) in &additions.annotations {
            self.annotation(key, value)?;
        }
        for volume in &additions.volumes {
            self.volume(volume)?;
        }
        for (name, value) in &additions.image_pull_secrets {
            let planned = self
                .plan
                .additions
                .image_pull_secrets
                .iter()
                .any(|(other, _)| other == name);
            if !planned
                && !self
                    .plan
                    .spec
                    .image_pull_secrets
                    .items()
                    .iter()
                    .any(|secret| *secret.name == **name)
            {
                self.delta.image_pull_secrets.push((name, value));
            }
        }
        for alias in &additions.host_aliases {
            self.host_alias(alias)?;
        }
        if additions.share_process_namespace {
            self.share_process_namespace()?;
        }
        Ok(())
    }

    pub(super) fn host_alias(&mut self, alias: &'c HostAlias) -> Result<(), String> {
        let there = self.plan.spec.host_aliases.items().iter();
        let there = there.filter(|there| *there.ip == *alias.ip);
        let there = there.map(|there| there.hostnames.iter().map(|name| &**name).collect::<Vec<_>>());
        let planned = self.plan.additions.host_aliases.iter().chain(&self.delta.host_aliases);
        let planned = planned.filter(|planned| planned.ip == alias.ip);
        let planned = planned.map(|planned| planned.hostnames.iter().map(String::as_str).collect());
        // The Pod may have several entries for one address.
        let has_all = |names: Vec<&str>| alias.hostnames.iter().all(|name| names.contains(&name.as_str()));
        match there.chain(planned).map(has_all).reduce(|a, b| a || b) {
            Some(true) => Ok(()),
            Some(false) => Err(format!(
                "the Pod has a hostAlias for {} without all of the policy's names; add them to it",
                alias.ip
            )),
            None => {
                self.delta.host_aliases.push(alias);
                Ok(())
            }
        }
    }

    pub(super) fn share_process_namespace(&mut self) -> Result<(), String> {
        match self.plan.spec.share_process_namespace {
            Some(true) => Ok(()),
            Some(false) => {
                Err("the Pod says shareProcessNamespace: false; drop that, or do without this policy".into())
            }
            None if self.plan.spec.host_pid => {
                Err("the Pod uses the node's processes (hostPID), so its containers cannot share their own".into())
            }
            None => {
                self.delta.share_process_namespace = true;
                Ok(())
            }
        }
    }
}

/// What a container mounts at exactly `path`.
pub(super) fn mount_at<'p>(container: Option<&'p Container<'p>>, path: &str) -> Option<&'p VolumeMount<'p>> {
    let mut mounts = container?.volume_mounts.items().iter();
    mounts.find(|mount| mount.mount_path.trim_end_matches('/') == path.trim_end_matches('/'))
}

/// Whether both show the same part of the same volume.
fn same_mount(there: &VolumeMount<'_>, wanted: &Mount) -> bool {
    let text = |key: &str| wanted.value.get(key).and_then(Value::as_str).unwrap_or_default();
    *there.name == *wanted.volume && *there.sub_path == *text("subPath") && *there.sub_path_expr == *text("subPathExpr")
}
