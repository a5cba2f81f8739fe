//! One policy on its way into a plan: its containers, ports, volumes, files and metrics.

use std::borrow::Cow;

use super::{Additions, Candidate, Plan, Presence};
use crate::inject::Slot;
use crate::render::{Helper, Mount, PortClaim, Rendered, Volume, Written};

/// One policy on its way into a plan.
pub(super) struct Attempt<'p, 'c> {
    pub(super) plan: &'p Plan<'c>,
    pub(super) candidate: &'c Candidate<'c>,
    pub(super) claims: Additions<'c>,
    pub(super) delta: Additions<'c>,
    pub(super) warnings: Vec<String>,
}

impl<'c> Attempt<'_, 'c> {
    pub(super) fn rendered(&self) -> &'c Rendered {
        &self.candidate.rendered
    }

    pub(super) fn warn(&mut self, message: String) {
        self.warnings
            .push(format!("policy \"{}\": {message}", self.candidate.name()));
    }

    pub(super) fn helpers(&mut self) -> Result<(), String> {
        for (index, helper) in self.rendered().helpers.iter().enumerate() {
            self.container_name(helper)?;
            match &self.candidate.present[index] {
                Presence::Ours(_) => {}
                Presence::Foreign(field) => return Err(foreign(helper, field)),
                Presence::Absent | Presence::OfAnotherPolicy => self.ports(helper)?,
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

    /// A helper whose name a later policy's container has, in the Pod.
    pub(super) fn container_of_another_policy(&self) -> Option<&'c str> {
        let mut helpers = self.rendered().helpers.iter().zip(&self.candidate.present);
        let taken = helpers.find(|(_, presence)| **presence == Presence::OfAnotherPolicy);
        taken.map(|(helper, _)| helper.name.as_str())
    }

    /// No other policy has a container of that name, planned or in the Pod already.
    pub(super) fn container_name(&self, helper: &Helper) -> Result<(), String> {
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

    pub(super) fn ports(&mut self, helper: &'c Helper) -> Result<(), String> {
        if self.plan.spec.host_network && !self.candidate.body.allow_host_network && !helper.ports.is_empty() {
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
                let Some(container) = slot.of(self.plan.spec) else {
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

    pub(super) fn volume(&mut self, volume: &'c Volume) -> Result<(), String> {
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
    pub(super) fn all_volumes_exist(&self) -> Result<(), String> {
        for (helper, presence) in self.rendered().helpers.iter().zip(&self.candidate.present) {
            if matches!(presence, Presence::Absent | Presence::OfAnotherPolicy) {
                self.volumes_exist(helper.mounts.iter().map(|mount| (helper.name.as_str(), mount)))?;
            }
        }
        self.delta.mounts.iter().try_for_each(|(slot, mounts)| {
            let name = self.container_at(*slot);
            self.volumes_exist(mounts.iter().map(|mount| (name, *mount)))
        })
    }

    pub(super) fn container_at(&self, slot: Slot) -> &'c str {
        slot.of(self.plan.spec).map_or("", |container| &container.name)
    }

    pub(super) fn volumes_exist<'m>(
        &self,
        mut mounts: impl Iterator<Item = (&'m str, &'m Mount)>,
    ) -> Result<(), String> {
        let known = |name: &str| {
            let mut there = self.plan.spec.volumes.items().iter();
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

    pub(super) fn annotation(&mut self, key: &'c str, value: &'c Written<String>) -> Result<(), String> {
        let planned = self.plan.additions.annotations.iter().chain(&self.delta.annotations);
        let planned = planned
            .into_iter()
            .find(|(other, _)| *other == key)
            .map(|(_, value)| value.as_str());
        match self.plan.pod.annotation(key).or(planned) {
            Some(there) if there == value.as_str() => {}
            Some(_) if self.candidate.trusts_record() => {}
            Some(_) => {
                return Err(format!(
                    "annotation {key} has another value already; take that out, or do without this policy"
                ));
            }
            None => self.delta.annotations.push((key, Cow::Borrowed(value))),
        }
        Ok(())
    }

    /// All of `prometheus.io/`, or nothing.
    pub(super) fn metrics(&mut self, helper: &'c Helper) -> Result<(), String> {
        let Some(metrics) = &helper.metrics else { return Ok(()) };
        let wanted = metrics.advertisement();
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
            .extend(wanted.map(|(key, value)| (key, Cow::Owned(Written::new(value)))));
        Ok(())
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
