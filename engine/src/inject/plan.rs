//! What the selected policies add to one Pod: each policy whole or not at all, none over what is there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::objects::Objects;
use super::own;
use super::place::{self, Existing, Item, Newcomer};
use super::record::Record;
use super::shared::{self, Resolution, Situation, Wish};
use super::{List, Slot};
use crate::compile::Body;
use crate::pod::{Container, EnvVar as PodEnvVar, PodView, VolumeMount};
use crate::policy::{Enforcement, Position};
use crate::render::{EnvVar, Helper, HostAlias, Kind, MaybeOwned, Mount, PortClaim, Rendered, Volume};
use crate::select::Choice;
use crate::snapshot::Settings;

/// A selected policy with what it renders.
pub(crate) struct Candidate<'s> {
    pub(crate) choice: Choice<'s>,
    pub(crate) body: &'s Body,
    pub(crate) rendered: MaybeOwned<'s>,
    pub(crate) record: Record,
    /// Where each helper is.
    pub(crate) present: Vec<Presence>,
}

/// Where a helper is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// The Pod has no container of that name.
    Absent,
    /// An earlier call put it there.
    Ours(Slot),
    /// The Pod has a container of that name that differs in this field.
    Foreign(String),
}

impl Presence {
    pub(crate) fn slot(&self) -> Option<Slot> {
        match self {
            Presence::Ours(slot) => Some(*slot),
            _ => None,
        }
    }
}

impl Candidate<'_> {
    pub(crate) fn name(&self) -> &str {
        self.choice.policy.name()
    }

    pub(crate) fn required(&self) -> bool {
        self.choice.policy.enforcement() == Enforcement::Required
    }

    /// Others may have changed what an earlier call added: the record says that it was ours.
    fn trusts_record(&self) -> bool {
        self.record == Record::Same && !self.required()
    }

    /// Whether an earlier call has added it: the Pod says so, and has all of its containers.
    pub(crate) fn was_added(&self) -> bool {
        self.record == Record::Same
            && !self.present.is_empty()
            && self.present.iter().all(|presence| presence.slot().is_some())
    }
}

/// What one policy adds.
#[derive(Debug, Default)]
pub(crate) struct Additions<'c> {
    pub(crate) ports: Vec<(&'c PortClaim, &'c str)>,
    pub(crate) volumes: Vec<&'c Volume>,
    pub(crate) env: BTreeMap<Slot, Vec<&'c EnvVar>>,
    pub(crate) mounts: BTreeMap<Slot, Vec<&'c Mount>>,
    pub(crate) labels: Vec<(&'c str, &'c str)>,
    pub(crate) annotations: Vec<(&'c str, std::borrow::Cow<'c, str>)>,
    pub(crate) image_pull_secrets: Vec<(&'c str, &'c Value)>,
    pub(crate) host_aliases: Vec<&'c HostAlias>,
    pub(crate) share_process_namespace: bool,
}

impl<'c> Additions<'c> {
    fn append(&mut self, mut other: Additions<'c>) {
        self.ports.append(&mut other.ports);
        self.volumes.append(&mut other.volumes);
        append_lists(&mut self.env, other.env);
        append_lists(&mut self.mounts, other.mounts);
        self.labels.append(&mut other.labels);
        self.annotations.append(&mut other.annotations);
        self.image_pull_secrets.append(&mut other.image_pull_secrets);
        self.host_aliases.append(&mut other.host_aliases);
        self.share_process_namespace |= other.share_process_namespace;
    }
}

fn append_lists<T>(lists: &mut BTreeMap<Slot, Vec<T>>, more: BTreeMap<Slot, Vec<T>>) {
    for (slot, mut items) in more {
        lists.entry(slot).or_default().append(&mut items);
    }
}

/// A helper that goes into a list, by candidate and helper.
pub(crate) type HelperId = (usize, usize);

/// The newcomers of `initContainers` and of `containers`, and the lists with them in their places.
type Orders = [(Vec<HelperId>, Vec<Item>); 2];

/// A policy that can be accepted, and the plan with it.
pub(crate) struct Step<'c> {
    index: usize,
    claims: Additions<'c>,
    delta: Additions<'c>,
    warnings: Vec<String>,
    shared: Resolution,
    orders: Orders,
}

/// The additions of all accepted policies.
pub(crate) struct Plan<'c> {
    pub(crate) pod: &'c PodView<'c>,
    settings: &'c Settings,
    objects: &'c Objects<'c>,
    candidates: &'c [Candidate<'c>],
    app: Vec<Slot>,
    app_init: Vec<Slot>,
    others: Vec<Slot>,
    pub(crate) accepted: Vec<usize>,
    /// What the accepted policies want to be there, also where an earlier call has added it: a later policy that
    /// contradicts it must fail in both calls, for the same reason.
    claims: Additions<'c>,
    pub(crate) additions: Additions<'c>,
    pub(crate) shared: Resolution,
    pub(crate) orders: Orders,
    warnings: Vec<String>,
}

impl<'c> Plan<'c> {
    /// A plan in which nothing is accepted yet.
    pub(crate) fn new(
        pod: &'c PodView<'c>,
        settings: &'c Settings,
        objects: &'c Objects<'c>,
        candidates: &'c [Candidate<'c>],
        other_versions: &[Slot],
    ) -> Plan<'c> {
        let ours: Vec<Slot> = candidates
            .iter()
            .flat_map(|candidate| candidate.present.iter().filter_map(Presence::slot))
            .chain(other_versions.iter().copied())
            .collect();
        let of_app = |slot: &Slot| {
            let name = slot.of(pod).map_or("", |container| &container.name);
            !ours.contains(slot) && !settings.mesh_containers.iter().any(|mesh| mesh == name)
        };
        let app = Slot::all(List::Main, pod).filter(of_app).collect();
        let app_init = Slot::all(List::Init, pod).filter(of_app).collect();
        let others = Slot::all(List::Init, pod)
            .chain(Slot::all(List::Main, pod))
            .filter(|slot| !ours.contains(slot))
            .collect();
        Plan {
            pod,
            settings,
            objects,
            candidates,
            app,
            app_init,
            others,
            accepted: Vec::new(),
            claims: Additions::default(),
            additions: Additions::default(),
            shared: Resolution::default(),
            orders: Default::default(),
            warnings: Vec::new(),
        }
    }

    /// The application's first container, when another one would come before it.
    pub(crate) fn displaced_first_container(&self) -> Option<&'c str> {
        let first = *self.app.first()?;
        let (_, order) = &self.orders[1];
        let is_first = match order.first() {
            Some(item) => *item == Item::Existing(first.index),
            None => first.index == 0,
        };
        (!is_first).then(|| first.of(self.pod).map_or("", |container| &*container.name))
    }

    pub(crate) fn candidate(&self, index: usize) -> &'c Candidate<'c> {
        &self.candidates[index]
    }

    pub(crate) fn helper(&self, (candidate, helper): HelperId) -> &'c Helper {
        &self.candidates[candidate].rendered.helpers[helper]
    }

    pub(crate) fn is_native(&self, helper: &Helper) -> bool {
        helper.is_native(self.settings)
    }

    fn list_of(&self, helper: &Helper) -> List {
        if helper.kind == Kind::Init || self.is_native(helper) {
            List::Init
        } else {
            List::Main
        }
    }

    /// What accepting a policy would come to.
    ///
    /// # Errors
    /// Why it cannot be accepted.
    pub(crate) fn attempt(&self, index: usize) -> Result<Step<'c>, String> {
        let candidate = &self.candidates[index];
        let mut attempt = Attempt {
            plan: self,
            candidate,
            claims: Additions::default(),
            delta: Additions::default(),
            warnings: Vec::new(),
        };
        attempt.helpers()?;
        attempt.application()?;
        attempt.pod()?;
        attempt.all_volumes_exist()?;
        let Attempt {
            claims,
            delta,
            warnings,
            ..
        } = attempt;
        // First what depends on names only: that fails alike in both calls.
        let orders = self.place(index)?;
        let shared = self.resolve_shared(index, &delta)?;
        Ok(Step {
            index,
            claims,
            delta,
            warnings,
            shared,
            orders,
        })
    }

    /// Accepts a policy.
    pub(crate) fn commit(&mut self, step: Step<'c>) {
        self.claims.append(step.claims);
        self.additions.append(step.delta);
        self.warnings.extend(step.warnings);
        self.shared = step.shared;
        self.orders = step.orders;
        self.accepted.push(step.index);
    }

    /// What there is to warn about, now that all policies are planned.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        let mut warnings = std::mem::take(&mut self.warnings);
        let of_shared = self.shared.warnings.iter();
        warnings.extend(
            of_shared.map(|((candidate, _), warning)| {
                format!("policy \"{}\": {warning}", self.candidates[*candidate].name())
            }),
        );
        warnings
    }

    fn resolve_shared(&self, index: usize, delta: &Additions<'c>) -> Result<Resolution, String> {
        let mut wishes = Vec::new();
        for candidate in self.accepted.iter().copied().chain([index]) {
            for (number, helper) in self.candidates[candidate].rendered.helpers.iter().enumerate() {
                wishes.extend(helper.shared_volumes.iter().map(|shared| Wish {
                    helper: (candidate, number),
                    name: &helper.name,
                    shared,
                    mounts: &helper.mounts,
                    env: helper.container.get("env"),
                }));
            }
        }
        if wishes.is_empty() {
            return Ok(Resolution::default());
        }
        let mut mounts = self.additions.mounts.clone();
        append_lists(&mut mounts, delta.mounts.clone());
        let volumes: Vec<_> = self.additions.volumes.iter().chain(&delta.volumes).copied().collect();
        let situation = Situation {
            pod: self.pod,
            app: &self.app,
            others: &self.others,
            mounts: &mounts,
            volumes: &volumes,
        };
        let mut resolution = shared::resolve(&wishes, &situation)?;
        self.keep_new_volumes(&mut resolution, self.candidates[index].trusts_record())?;
        self.keep_new_helper_mounts(&mut resolution)?;
        Ok(resolution)
    }

    /// Drops volumes of our own that the Pod has already.
    fn keep_new_volumes(&self, resolution: &mut Resolution, trusts_record: bool) -> Result<(), String> {
        let volumes = std::mem::take(&mut resolution.volumes);
        for volume in volumes {
            if !self.has_volume(&volume, trusts_record)? {
                resolution.volumes.push(volume);
            }
        }
        Ok(())
    }

    /// Turns mounts of helpers that the Pod has already into mounts of those containers, unless they are there.
    fn keep_new_helper_mounts(&self, resolution: &mut Resolution) -> Result<(), String> {
        let mounts = std::mem::take(&mut resolution.helper_mounts);
        for (id, mount) in mounts {
            let Some(slot) = self.candidates[id.0].present[id.1].slot() else {
                resolution.helper_mounts.push((id, mount));
                continue;
            };
            match mount_at(slot.of(self.pod), &mount.path) {
                Some(there) if *there.name == *mount.volume => {}
                Some(there) => {
                    return Err(format!(
                        "container \"{}\" has volume \"{}\" at {}",
                        self.helper(id).name,
                        there.name,
                        mount.path
                    ));
                }
                None => resolution.app_mounts.entry(slot).or_default().push(mount),
            }
        }
        Ok(())
    }

    /// Whether the Pod has a volume that is ours.
    fn has_volume(&self, volume: &Volume, trusts_record: bool) -> Result<bool, String> {
        if !self
            .pod
            .spec
            .volumes
            .items()
            .iter()
            .any(|other| *other.name == *volume.name)
        {
            return Ok(false);
        }
        let there = self.objects.named("volumes", &volume.name);
        match there.map(|there| own::difference(there, &volume.value, &[])) {
            Some(None) => Ok(true),
            _ if trusts_record => Ok(true),
            Some(Some(path)) => Err(format!(
                "the Pod has another volume \"{}\" (it differs in {path}); give yours another name",
                volume.name
            )),
            None => Err(format!("the Pod's volume \"{}\" cannot be read", volume.name)),
        }
    }

    /// The containers that are there. Our own still have their wishes about those that are to come.
    fn existing(&self, list: List, index: usize) -> Vec<Existing<'c>> {
        let containers = Slot::all(list, self.pod).filter_map(|slot| slot.of(self.pod));
        let mut existing: Vec<Existing<'c>> = containers.map(|c| Existing::unwilling(&c.name)).collect();
        for candidate in self.accepted.iter().copied().chain([index]) {
            let candidate = &self.candidates[candidate];
            for (helper, presence) in candidate.rendered.helpers.iter().zip(&candidate.present) {
                if let Some(slot) = presence.slot().filter(|slot| slot.list == list) {
                    existing[slot.index].before = &helper.placement.before;
                    existing[slot.index].after = &helper.placement.after;
                }
            }
        }
        existing
    }

    fn place(&self, index: usize) -> Result<Orders, String> {
        let mut orders = Orders::default();
        for (list, order) in [List::Init, List::Main].into_iter().zip(&mut orders) {
            for candidate in self.accepted.iter().copied().chain([index]) {
                let present = &self.candidates[candidate].present;
                let absent = (0..present.len()).filter(|helper| present[*helper].slot().is_none());
                order.0.extend(
                    absent
                        .map(|helper| (candidate, helper))
                        .filter(|id| self.list_of(self.helper(*id)) == list),
                );
            }
            if order.0.is_empty() {
                continue;
            }
            let existing = self.existing(list, index);
            let newcomers: Vec<Newcomer<'_>> = order.0.iter().map(|id| newcomer(self.helper(*id))).collect();
            order.1 = place::place(&existing, &newcomers)?;
        }
        Ok(orders)
    }
}

fn newcomer(helper: &Helper) -> Newcomer<'_> {
    let usual = if helper.kind == Kind::Ambassador {
        Position::First
    } else {
        Position::Last
    };
    Newcomer {
        name: &helper.name,
        position: helper.placement.position.unwrap_or(usual),
        before: &helper.placement.before,
        after: &helper.placement.after,
    }
}

/// What a container mounts at exactly `path`.
fn mount_at<'p>(container: Option<&'p Container<'p>>, path: &str) -> Option<&'p VolumeMount<'p>> {
    let mut mounts = container?.volume_mounts.items().iter();
    mounts.find(|mount| mount.mount_path.trim_end_matches('/') == path.trim_end_matches('/'))
}

/// Whether both show the same part of the same volume.
fn same_mount(there: &VolumeMount<'_>, wanted: &Mount) -> bool {
    let text = |key: &str| wanted.value.get(key).and_then(Value::as_str).unwrap_or_default();
    *there.name == *wanted.volume && *there.sub_path == *text("subPath") && *there.sub_path_expr == *text("subPathExpr")
}

/// One policy on its way into a plan.
struct Attempt<'p, 'c> {
    plan: &'p Plan<'c>,
    candidate: &'c Candidate<'c>,
    claims: Additions<'c>,
    delta: Additions<'c>,
    warnings: Vec<String>,
}

impl<'c> Attempt<'_, 'c> {
    fn rendered(&self) -> &'c Rendered {
        &self.candidate.rendered
    }

    fn warn(&mut self, message: String) {
        self.warnings
            .push(format!("policy \"{}\": {message}", self.candidate.name()));
    }

    fn helpers(&mut self) -> Result<(), String> {
        for (index, helper) in self.rendered().helpers.iter().enumerate() {
            self.container_name(helper)?;
            match &self.candidate.present[index] {
                Presence::Ours(_) => {}
                Presence::Foreign(field) => return Err(foreign(helper, field)),
                Presence::Absent => self.ports(helper)?,
            }
            let ports = helper.ports.iter().map(|claim| (claim, helper.name.as_str()));
            self.claims.ports.extend(ports);
            for volume in &helper.volumes {
                self.volume(volume)?;
            }
            for (key, value) in &helper.annotations {
                self.annotation(key, value)?;
            }
            self.metrics(helper)?;
        }
        Ok(())
    }

    /// No other policy has a container of that name, planned or in the Pod already.
    fn container_name(&self, helper: &Helper) -> Result<(), String> {
        let mut accepted = self.plan.accepted.iter().map(|index| self.plan.candidate(*index));
        let other = accepted.find(|other| other.rendered.helpers.iter().any(|theirs| theirs.name == helper.name));
        other.map_or(Ok(()), |other| {
            Err(format!(
                "container \"{}\" is that of policy \"{}\"; one Pod cannot have both",
                helper.name,
                other.name()
            ))
        })
    }

    fn ports(&mut self, helper: &'c Helper) -> Result<(), String> {
        if self.plan.pod.spec.host_network && !self.candidate.body.allow_host_network && !helper.ports.is_empty() {
            return Err(format!(
                "it claims port {} in a Pod that uses the node's network (hostNetwork); the policy must say allowHostNetwork for that",
                helper.ports[0].number
            ));
        }
        for claim in &helper.ports {
            let clash = |number: i64, protocol: &str, name: &str| {
                let same_number = number == i64::from(claim.number) && protocol == claim.protocol;
                same_number || (!name.is_empty() && claim.name.as_deref() == Some(name))
            };
            let tcp = |protocol: &'c str| if protocol.is_empty() { "TCP" } else { protocol };
            for slot in &self.plan.others {
                let Some(container) = slot.of(self.plan.pod) else {
                    continue;
                };
                let mut ports = container.ports.iter();
                if let Some(port) = ports.find(|port| clash(port.container_port, tcp(&port.protocol), &port.name)) {
                    return Err(taken(
                        claim,
                        port.container_port == i64::from(claim.number),
                        &container.name,
                    ));
                }
            }
            let planned = self.plan.claims.ports.iter().find(|(other, _)| {
                clash(
                    other.number.into(),
                    &other.protocol,
                    other.name.as_deref().unwrap_or_default(),
                )
            });
            if let Some((other, owner)) = planned {
                return Err(taken(claim, other.number == claim.number, owner));
            }
        }
        Ok(())
    }

    fn volume(&mut self, volume: &'c Volume) -> Result<(), String> {
        let mut planned = self.plan.claims.volumes.iter().chain(&self.claims.volumes);
        match planned.find(|other| other.name == volume.name) {
            Some(other) if other.value == volume.value => return Ok(()),
            Some(_) => return Err(format!("another policy adds a different volume \"{}\"", volume.name)),
            None => self.claims.volumes.push(volume),
        }
        if !self.plan.has_volume(volume, self.candidate.trusts_record())? {
            self.delta.volumes.push(volume);
        }
        Ok(())
    }

    /// Only now: a mount may mean a volume that a later part of the policy brings.
    fn all_volumes_exist(&self) -> Result<(), String> {
        for (helper, presence) in self.rendered().helpers.iter().zip(&self.candidate.present) {
            if *presence == Presence::Absent {
                self.volumes_exist(helper.mounts.iter().map(|mount| (helper.name.as_str(), mount)))?;
            }
        }
        self.delta.mounts.iter().try_for_each(|(slot, mounts)| {
            let name = self.container_at(*slot);
            self.volumes_exist(mounts.iter().map(|mount| (name, *mount)))
        })
    }

    fn container_at(&self, slot: Slot) -> &'c str {
        slot.of(self.plan.pod).map_or("", |container| &container.name)
    }

    fn volumes_exist<'m>(&self, mut mounts: impl Iterator<Item = (&'m str, &'m Mount)>) -> Result<(), String> {
        let known = |name: &str| {
            let mut there = self.plan.pod.spec.volumes.items().iter();
            let mut planned = self.plan.claims.volumes.iter().chain(&self.claims.volumes);
            there.any(|volume| &*volume.name == name) || planned.any(|volume| volume.name == name)
        };
        match mounts.find(|(_, mount)| !known(&mount.volume)) {
            Some((container, mount)) => Err(format!(
                "container \"{container}\" mounts volume \"{}\", which neither the Pod nor the policy has; add it under spec.pod.volumes",
                mount.volume
            )),
            None => Ok(()),
        }
    }

    fn annotation(&mut self, key: &'c str, value: &'c str) -> Result<(), String> {
        let planned = self.plan.additions.annotations.iter().chain(&self.delta.annotations);
        let planned = planned
            .into_iter()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| &**value);
        match self.plan.pod.annotation(key).or(planned) {
            Some(there) if there == value => {}
            Some(_) if self.candidate.trusts_record() => {}
            Some(_) => {
                return Err(format!(
                    "annotation {key} has another value already; take that out, or do without this policy"
                ));
            }
            None => self.delta.annotations.push((key, value.into())),
        }
        Ok(())
    }

    /// All of `prometheus.io/`, or nothing.
    fn metrics(&mut self, helper: &'c Helper) -> Result<(), String> {
        let Some(metrics) = &helper.metrics else { return Ok(()) };
        let wanted = [
            ("prometheus.io/scrape", "true".to_owned()),
            ("prometheus.io/port", metrics.port.to_string()),
            ("prometheus.io/path", metrics.path.clone()),
            ("prometheus.io/scheme", metrics.scheme.clone()),
        ];
        if wanted
            .iter()
            .all(|(key, value)| self.plan.pod.annotation(key) == Some(value))
        {
            return Ok(());
        }
        let planned = self
            .plan
            .additions
            .annotations
            .iter()
            .chain(&self.delta.annotations)
            .map(|(key, _)| *key);
        let taken = self
            .plan
            .pod
            .annotations()
            .map(|(key, _)| key)
            .chain(planned)
            .find(|key| key.starts_with("prometheus.io/"));
        if let Some(key) = taken {
            let (port, path) = (metrics.port, &metrics.path);
            let message = format!("the Pod says {key} already; metrics at port {port}, path {path} are not advertised");
            self.warn(message);
            return Ok(());
        }
        self.delta
            .annotations
            .extend(wanted.map(|(key, value)| (key, value.into())));
        Ok(())
    }

    fn application(&mut self) -> Result<(), String> {
        let app = &self.rendered().app;
        let (slots, init) = self.app_slots(&app.containers)?;
        for helper in &self.rendered().helpers {
            // A native ambassador starts before the application's init containers, so they may use it.
            let early = if self.plan.is_native(helper) { &init[..] } else { &[] };
            for slot in slots.iter().chain(early) {
                for variable in &helper.endpoint_env {
                    self.variable(*slot, variable, true)?;
                }
            }
        }
        for slot in &slots {
            for variable in &app.env {
                self.variable(*slot, variable, false)?;
            }
        }
        for slot in &slots {
            for mount in &app.mounts {
                self.app_mount(*slot, mount)?;
            }
        }
        Ok(())
    }

    /// The application's containers that `names` means, and its init containers that only an ambassador reaches.
    fn app_slots(&self, names: &[String]) -> Result<(Vec<Slot>, Vec<Slot>), String> {
        if names.is_empty() {
            return Ok((self.plan.app.clone(), self.plan.app_init.clone()));
        }
        let is_named = |slot: &&Slot| {
            let name = slot.of(self.plan.pod).map_or("", |container| &container.name);
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
        Ok((named, Vec::new()))
    }

    /// Before the application's own, so that these can refer to it. One that is there stays.
    fn variable(&mut self, slot: Slot, variable: &'c EnvVar, endpoint: bool) -> Result<(), String> {
        let Some(container) = slot.of(self.plan.pod) else {
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
            Some(there) if same_variable(there, variable) => self.claims.env.entry(slot).or_default().push(variable),
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

    fn app_mount(&mut self, slot: Slot, mount: &'c Mount) -> Result<(), String> {
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
        match mount_at(slot.of(self.plan.pod), &mount.path) {
            Some(there) if same_mount(there, mount) || self.candidate.trusts_record() => {}
            Some(there) => return clash(&there.name),
            None => self.delta.mounts.entry(slot).or_default().push(mount),
        }
        self.claims.mounts.entry(slot).or_default().push(mount);
        Ok(())
    }

    fn pod(&mut self) -> Result<(), String> {
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
                Some(there) => {
                    return Err(format!(
                        "label {key} has the value \"{there}\" already, not \"{value}\""
                    ));
                }
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
                    .pod
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

    fn host_alias(&mut self, alias: &'c HostAlias) -> Result<(), String> {
        let there = self.plan.pod.spec.host_aliases.items().iter();
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

    fn share_process_namespace(&mut self) -> Result<(), String> {
        match self.plan.pod.spec.share_process_namespace {
            Some(true) => Ok(()),
            Some(false) => {
                Err("the Pod says shareProcessNamespace: false; drop that, or do without this policy".into())
            }
            None if self.plan.pod.spec.host_pid => {
                Err("the Pod uses the node's processes (hostPID), so its containers cannot share their own".into())
            }
            None => {
                self.delta.share_process_namespace = true;
                Ok(())
            }
        }
    }
}

fn foreign(helper: &Helper, field: &str) -> String {
    format!(
        "the Pod has a container \"{}\" that differs from the policy's in {field}; give yours another name",
        helper.name
    )
}

fn taken(claim: &PortClaim, by_number: bool, owner: &str) -> String {
    match (by_number, &claim.name) {
        (false, Some(name)) => format!("the port name {name} is taken by container {owner}"),
        _ => format!("port {} is taken by container {owner}", claim.number),
    }
}

fn same_variable(there: &PodEnvVar<'_>, wanted: &EnvVar) -> bool {
    match (there.value_from, wanted.value.get("valueFrom")) {
        (None, None) => wanted.value.get("value").and_then(Value::as_str).unwrap_or_default() == &*there.value,
        (Some(there), Some(wanted)) => {
            serde_json::from_str::<Value>(there.get()).is_ok_and(|there| own::difference(&there, wanted, &[]).is_none())
        }
        _ => false,
    }
}
