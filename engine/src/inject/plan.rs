//! What the selected policies add to one Pod: each policy whole or not at all, none over what is there.

mod application;
mod attempt;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use application::mount_at;
use attempt::Attempt;

use super::Slot;
use super::objects::Objects;
use super::own;
use super::place::{self, Existing, Item, Newcomer};
use super::record::Record;
use super::shared::{self, Resolution, Situation, Wish};
use crate::compile::Body;
use crate::pod::{List, PodView, Spec};
use crate::pod_resources::{self, Runs, Share};
use crate::policy::{Enforcement, Position};
use crate::render::{EnvVar, Helper, HostAlias, Kind, MaybeOwned, Mount, PortClaim, Volume, Written};
use crate::select::Choice;
use crate::settings::Settings;

/// Bytes of all annotations of one object, keys and values (`TotalAnnotationSizeLimitB` of apimachinery).
const ANNOTATIONS: usize = 256 * 1024;
/// Kept free for what Outrigger records itself.
const OWN_ANNOTATIONS: usize = 4 * 1024;

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
    /// The Pod has a container of that name, which an earlier call added for another policy. That call may have left
    /// this policy out for a reason that came first, and it must come first again.
    OfAnotherPolicy,
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
    pub(crate) annotations: Vec<(&'c str, Cow<'c, Written<String>>)>,
    pub(crate) image_pull_secrets: Vec<(&'c str, &'c Value)>,
    pub(crate) host_aliases: Vec<&'c HostAlias>,
    pub(crate) share_process_namespace: bool,
}

impl<'c> Additions<'c> {
    fn append(&mut self, other: Additions<'c>) {
        append(&mut self.ports, other.ports);
        append(&mut self.volumes, other.volumes);
        append_lists(&mut self.env, other.env);
        append_lists(&mut self.mounts, other.mounts);
        append(&mut self.labels, other.labels);
        append(&mut self.annotations, other.annotations);
        append(&mut self.image_pull_secrets, other.image_pull_secrets);
        append(&mut self.host_aliases, other.host_aliases);
        self.share_process_namespace |= other.share_process_namespace;
    }
}

/// Most Pods get one policy: there is nothing to append to.
fn append<T>(items: &mut Vec<T>, mut more: Vec<T>) {
    match items.is_empty() {
        true => *items = more,
        false => items.append(&mut more),
    }
}

fn append_lists<T>(lists: &mut BTreeMap<Slot, Vec<T>>, more: BTreeMap<Slot, Vec<T>>) {
    for (slot, items) in more {
        append(lists.entry(slot).or_default(), items);
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
    shared: Resolution<'c>,
    orders: Orders,
}

/// The additions of all accepted policies.
pub(crate) struct Plan<'c> {
    pub(crate) pod: &'c PodView<'c>,
    pub(crate) spec: &'c Spec<'c>,
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
    pub(crate) shared: Resolution<'c>,
    pub(crate) orders: Orders,
    warnings: Vec<String>,
}

impl<'c> Plan<'c> {
    /// A plan in which nothing is accepted yet.
    pub(crate) fn new(
        pod: &'c PodView<'c>,
        spec: &'c Spec<'c>,
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
            let name = slot.of(spec).map_or("", |container| &container.name);
            !ours.contains(slot) && !settings.mesh_containers.iter().any(|mesh| mesh == name)
        };
        let app = Slot::all(List::Main, spec).filter(of_app).collect();
        let app_init = Slot::all(List::Init, spec).filter(of_app).collect();
        let others = Slot::all(List::Init, spec)
            .chain(Slot::all(List::Main, spec))
            .filter(|slot| !ours.contains(slot))
            .collect();
        Plan {
            pod,
            spec,
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
        (!is_first).then(|| first.of(self.spec).map_or("", |container| &*container.name))
    }

    pub(crate) fn candidate(&self, index: usize) -> &'c Candidate<'c> {
        &self.candidates[index]
    }

    pub(crate) fn helper(&self, (candidate, helper): HelperId) -> &'c Helper {
        &self.candidates[candidate].rendered.helpers[helper]
    }

    pub(crate) fn is_native(&self, helper: &Helper) -> bool {
        helper.slot(self.settings).1
    }

    fn list_of(&self, helper: &Helper) -> List {
        helper.slot(self.settings).0
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
        let taken = attempt.container_of_another_policy();
        let Attempt {
            claims,
            delta,
            warnings,
            ..
        } = attempt;
        // First what depends on names only: that fails alike in both calls.
        let orders = self.place(index)?;
        let shared = self.resolve_shared(index, &delta)?;
        if let Some(name) = taken {
            return Err(format!(
                "the Pod has a container \"{name}\", which is that of another policy; one Pod cannot have both"
            ));
        }
        self.annotations_fit(candidate, &delta)?;
        self.resources_fit(&orders)?;
        Ok(Step {
            index,
            claims,
            delta,
            warnings,
            shared,
            orders,
        })
    }

    /// The API server allows so much in all annotations of an object together. Even a policy that adds none is recorded in
    /// one.
    fn annotations_fit(&self, candidate: &Candidate<'_>, delta: &Additions<'c>) -> Result<(), String> {
        let adds_none = candidate.record == Record::Same && delta.annotations.is_empty();
        if adds_none || self.annotation_bytes(delta) + OWN_ANNOTATIONS <= ANNOTATIONS {
            return Ok(());
        }
        Err(format!(
            "with what it adds the Pod's annotations would exceed {ANNOTATIONS} bytes; keep the Pod's annotations or the policy's files short"
        ))
    }

    /// Whether an annotation of this length, its key included, has room beside what is planned.
    pub(crate) fn has_room_for_annotation(&self, bytes: usize) -> bool {
        self.annotation_bytes(&Additions::default()) + bytes <= ANNOTATIONS
    }

    fn annotation_bytes(&self, delta: &Additions<'c>) -> usize {
        let there = self.pod.annotations().map(|(key, value)| key.len() + value.len());
        let added = self.additions.annotations.iter().chain(&delta.annotations);
        there.chain(added.map(|(key, value)| key.len() + value.len())).sum()
    }

    /// A Pod that says itself what it needs must say enough.
    fn resources_fit(&self, orders: &Orders) -> Result<(), String> {
        let own = self
            .spec
            .resources
            .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let Some(own) = own.filter(|_| orders.iter().any(|(newcomers, _)| !newcomers.is_empty())) else {
            return Ok(());
        };
        let shares = self.shares(orders);
        match pod_resources::exceeded(&own, &shares) {
            None => Ok(()),
            Some(field) => Err(format!(
                "with its containers the Pod would exceed its own spec.resources.{field}; raise that, or take it out"
            )),
        }
    }

    /// What each container wants, in the Pod's order with the newcomers.
    fn shares<'s>(&'s self, orders: &'s Orders) -> Vec<Share<'s>> {
        let mut shares = Vec::new();
        for (list, (newcomers, order)) in [List::Init, List::Main].into_iter().zip(orders) {
            let there = self.objects.pod().and_then(|pod| pod["spec"][list.field()].as_array());
            let there = there.map_or(&[][..], Vec::as_slice);
            let as_it_is: Vec<Item> = (0..there.len()).map(Item::Existing).collect();
            let order = if newcomers.is_empty() { &as_it_is } else { order };
            shares.extend(order.iter().map(|item| match *item {
                Item::Existing(index) => {
                    let container = there.get(index).unwrap_or(&Value::Null);
                    share(list, &container["resources"], container["restartPolicy"] == "Always")
                }
                Item::New(index) => {
                    let helper = self.helper(newcomers[index]);
                    let resources = helper.container.get("resources").unwrap_or(&Value::Null);
                    share(list, resources, self.is_native(helper))
                }
            }));
        }
        shares
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

    fn resolve_shared(&self, index: usize, delta: &Additions<'c>) -> Result<Resolution<'c>, String> {
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
            spec: self.spec,
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
    fn keep_new_volumes(&self, resolution: &mut Resolution<'c>, trusts_record: bool) -> Result<(), String> {
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
            match mount_at(slot.of(self.spec), &mount.path) {
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
        let containers = Slot::all(list, self.spec).filter_map(|slot| slot.of(self.spec));
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

fn share(list: List, resources: &Value, restarts: bool) -> Share<'_> {
    let runs = match list {
        List::Main => Runs::Main,
        List::Init if restarts => Runs::FromThere,
        List::Init => Runs::Before,
    };
    Share { runs, resources }
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
