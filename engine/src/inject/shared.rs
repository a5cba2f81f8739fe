//! Directories that helpers share with the application: which volume, and who must still mount it.
//!
//! The application's own volume is taken where it mounts one at the path or a parent of it; else one empty volume is
//! added and mounted on both sides. Paths are resolved shortest first over all policies, so that the result does not
//! depend on the order in which policies were loaded.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Slot, own};
use crate::pod::{Container, Spec, VolumeMount};
use crate::render::{Mount, SharedVolume, Volume, Written, outside_system_directories};

/// A helper that wants to share a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish<'c> {
    /// Which helper: index of the policy among the candidates, index of the helper in it.
    pub(crate) helper: (usize, usize),
    pub(crate) name: &'c str,
    pub(crate) shared: &'c SharedVolume,
    /// The helper's own mounts.
    pub(crate) mounts: &'c [Mount],
    /// The helper's variables, for a `subPathExpr`.
    pub(crate) env: Option<&'c Value>,
}

/// What the Pod and the plan have so far.
pub(crate) struct Situation<'c> {
    pub(crate) spec: &'c Spec<'c>,
    /// The application's containers.
    pub(crate) app: &'c [Slot],
    /// All containers that are not ours, for those that are named.
    pub(crate) others: &'c [Slot],
    /// Mounts that the plan adds to the application's containers.
    pub(crate) mounts: &'c BTreeMap<Slot, Vec<&'c Mount>>,
    /// Volumes that the plan adds.
    pub(crate) volumes: &'c [&'c Volume],
}

/// What sharing comes to.
#[derive(Debug, Default)]
pub(crate) struct Resolution<'c> {
    pub(crate) volumes: Vec<Cow<'c, Volume>>,
    pub(crate) app_mounts: BTreeMap<Slot, Vec<Cow<'c, Mount>>>,
    pub(crate) helper_mounts: Vec<((usize, usize), Cow<'c, Mount>)>,
    /// By helper.
    pub(crate) warnings: Vec<((usize, usize), String)>,
}

/// A mount that covers a shared path.
#[derive(Debug, Clone)]
struct Covering<'c> {
    container: &'c str,
    volume: Cow<'c, str>,
    mount_path: Cow<'c, str>,
    sub_path: Cow<'c, str>,
    sub_path_expr: Cow<'c, str>,
    propagation: Cow<'c, str>,
    slot: Slot,
    /// Where in the volume the shared path is.
    place: String,
}

impl Covering<'_> {
    /// The volume, and which part of it the path is in.
    fn described(&self) -> String {
        match self.place.as_str() {
            "" => format!("\"{}\"", self.volume),
            place => format!("{place} of \"{}\"", self.volume),
        }
    }
}

/// Resolves all wishes.
///
/// # Errors
/// Why a directory cannot be shared.
pub(crate) fn resolve<'c>(wishes: &[Wish<'c>], situation: &Situation<'_>) -> Result<Resolution<'c>, String> {
    let mut ordered: Vec<&Wish<'c>> = wishes.iter().collect();
    // Stable: wishes for one path stay in planning order.
    ordered.sort_by(|a, b| {
        let key = |wish: &Wish<'_>| wish.shared.path.matches('/').count();
        key(a).cmp(&key(b)).then_with(|| a.shared.path.cmp(&b.shared.path))
    });
    let mut resolution = Resolution::default();
    for wish in &ordered {
        resolution
            .grant(wish, situation)
            .map_err(|message| format!("shared directory {}: {message}", wish.shared.path))?;
    }
    for wish in ordered {
        resolution.warn_of_hidden_mounts(wish, situation);
    }
    Ok(resolution)
}

impl<'c> Resolution<'c> {
    fn grant(&mut self, wish: &Wish<'c>, situation: &Situation<'_>) -> Result<(), String> {
        let targets = targets(wish, situation)?;
        let path = &wish.shared.path;
        let covering: Vec<Covering<'_>> = targets
            .iter()
            .filter_map(|slot| self.covering(*slot, path, situation))
            .collect();
        let covering = self.without_ours_above(covering);
        if let Some(other) = covering
            .iter()
            .find(|other| other.place != covering[0].place || other.volume != covering[0].volume)
        {
            return Err(format!(
                "containers \"{}\" and \"{}\" mount different volumes there ({} and {}); mount one in both, or name the containers that take part",
                covering[0].container,
                other.container,
                covering[0].described(),
                other.described()
            ));
        }
        let nearest = covering.iter().max_by_key(|covering| covering.mount_path.len());
        let shared = wish.shared;
        // Our own volume may be there from an earlier call; policies that share it must still agree.
        let is_theirs =
            |covering: &&Covering<'_>| covering.volume != shared.volume.name || covering.mount_path != *path;
        let theirs = nearest.filter(is_theirs);
        match theirs {
            Some(covering) => self.check_copy(covering, wish, situation)?,
            None => self.new_volume(wish)?,
        }
        let mount = |of_ours: &'c Mount, read_only| match theirs {
            Some(covering) => Cow::Owned(mount_like(covering, read_only)),
            None => Cow::Borrowed(of_ours),
        };
        // Those that do not mount it themselves: often none.
        if covering.len() < targets.len() {
            let mount = mount(&shared.app_mount, false);
            let mounted: BTreeSet<Slot> = covering.iter().map(|covering| covering.slot).collect();
            for slot in targets.iter().filter(|slot| !mounted.contains(slot)) {
                self.app_mounts.entry(*slot).or_default().push(mount.clone());
            }
        }
        self.mount_in_helper(wish, mount(&shared.helper_mount, shared.read_only))
    }

    /// Where the application mounts a volume below one that we add, its own counts, and the others get it too.
    fn without_ours_above<'s>(&self, mut covering: Vec<Covering<'s>>) -> Vec<Covering<'s>> {
        let is_ours = |one: &Covering<'_>| self.volumes.iter().any(|volume| volume.name == one.volume);
        let theirs = covering.iter().filter(|one| !is_ours(one));
        if let Some(depth) = theirs.map(|one| one.mount_path.len()).max() {
            covering.retain(|one| !is_ours(one) || one.mount_path.len() >= depth);
        }
        covering
    }

    /// A volume below a shared directory is part of it for the application, and not for the helper.
    fn warn_of_hidden_mounts(&mut self, wish: &Wish<'_>, situation: &Situation<'_>) {
        let path = &wish.shared.path;
        let seen = |there: &str| {
            let mut granted = self.helper_mounts.iter().filter(|(helper, _)| *helper == wish.helper);
            granted.any(|(_, mount)| mount.path == there) || wish.mounts.iter().any(|own| own.path == there)
        };
        let slots = targets(wish, situation).unwrap_or_default();
        let containers = slots.iter().filter_map(|slot| slot.of(situation.spec));
        let mounts =
            containers.flat_map(|container| container.volume_mounts.items().iter().map(move |m| (container, m)));
        let hidden = mounts.filter(|(_, mount)| {
            let there = trimmed(&mount.mount_path);
            there != path && below(path, there).is_some() && !seen(there)
        });
        let warning = |(container, mount): (&Container<'_>, &VolumeMount<'_>)| {
            format!(
                "shared directory {path}: container \"{}\" mounts volume \"{}\" at {}, which \"{}\" does not see; share that path too",
                container.name, mount.name, mount.mount_path, wish.name
            )
        };
        let warnings: Vec<String> = hidden.map(warning).collect();
        self.warnings
            .extend(warnings.into_iter().map(|warning| (wish.helper, warning)));
    }

    fn mount_in_helper(&mut self, wish: &Wish<'_>, mount: Cow<'c, Mount>) -> Result<(), String> {
        if let Some(own) = wish.mounts.iter().find(|own| hides(own, &mount, wish)) {
            return Err(format!(
                "container \"{}\" mounts volume \"{}\" at {} itself, which hides the directory; mount that elsewhere",
                wish.name, own.volume, own.path
            ));
        }
        if let Some(own) = wish.mounts.iter().find(|own| own.path == mount.path) {
            return match own.volume == mount.volume {
                true => Ok(()),
                false => Err(format!(
                    "container \"{}\" mounts volume \"{}\" at {} itself",
                    wish.name, own.volume, own.path
                )),
            };
        }
        let mut mounted = self
            .helper_mounts
            .iter_mut()
            .filter(|(helper, _)| *helper == wish.helper);
        match mounted.find(|(_, other)| other.path == mount.path) {
            // Two directories of one helper below one mount: writing one of them needs the mount to be writable.
            Some((_, other)) if other.volume == mount.volume => {
                if !wish.shared.read_only {
                    *other = mount;
                }
                Ok(())
            }
            Some((_, other)) => Err(format!(
                "container \"{}\" mounts volume \"{}\" there already",
                wish.name, other.volume
            )),
            None => {
                self.helper_mounts.push((wish.helper, mount));
                Ok(())
            }
        }
    }

    /// An empty volume of our own.
    fn new_volume(&mut self, wish: &Wish<'c>) -> Result<(), String> {
        let wanted = &wish.shared.volume;
        match self.volumes.iter_mut().find(|volume| volume.name == wanted.name) {
            Some(volume) => agree_on_limits(volume, wish.shared.empty_dir.as_ref()),
            None => {
                self.volumes.push(Cow::Borrowed(wanted));
                Ok(())
            }
        }
    }

    /// The mount of one container that a path is in: the deepest.
    fn covering<'s>(&self, slot: Slot, path: &str, situation: &Situation<'s>) -> Option<Covering<'s>> {
        let container = slot.of(situation.spec)?;
        let covers = |mount_path: &str| below(mount_path, path).is_some();
        let own = container.volume_mounts.items().iter();
        let own = own.filter(|mount| covers(trimmed(&mount.mount_path)));
        let own = own.map(|mount| Covering {
            container: &container.name,
            volume: Cow::Borrowed(&mount.name),
            mount_path: Cow::Borrowed(trimmed(&mount.mount_path)),
            sub_path: Cow::Borrowed(&mount.sub_path),
            sub_path_expr: Cow::Borrowed(&mount.sub_path_expr),
            propagation: Cow::Borrowed(&mount.mount_propagation),
            slot,
            place: String::new(),
        });
        let planned = situation.mounts.get(&slot).into_iter().flatten().copied();
        let shared = self.app_mounts.get(&slot).into_iter().flatten();
        let planned = planned.chain(shared.map(|mount| &**mount));
        let planned = planned.filter(|mount| covers(&mount.path));
        let planned = planned.map(|mount| {
            let text = |key: &str| {
                mount
                    .value
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
                    .into()
            };
            Covering {
                container: &container.name,
                volume: mount.volume.clone().into(),
                mount_path: mount.path.clone().into(),
                sub_path: text("subPath"),
                sub_path_expr: text("subPathExpr"),
                propagation: text("mountPropagation"),
                slot,
                place: String::new(),
            }
        });
        let mut deepest = own.chain(planned).max_by_key(|covering| covering.mount_path.len())?;
        let rest = below(&deepest.mount_path, path)?;
        let start = if deepest.sub_path_expr.is_empty() {
            &deepest.sub_path
        } else {
            &deepest.sub_path_expr
        };
        let place = [trimmed(start), "/", rest].concat();
        deepest.place = place.trim_matches('/').to_owned();
        Some(deepest)
    }

    /// Whether the helper can mount what the application mounts.
    fn check_copy(
        &mut self,
        covering: &Covering<'_>,
        wish: &Wish<'_>,
        situation: &Situation<'_>,
    ) -> Result<(), String> {
        let Covering {
            volume,
            mount_path,
            container,
            ..
        } = covering;
        if !outside_system_directories(mount_path) {
            return Err(format!(
                "container \"{container}\" mounts volume \"{volume}\" at {mount_path}, which would hide system directories of \"{}\"; mount it deeper",
                wish.name
            ));
        }
        if !matches!(&*covering.propagation, "" | "None") {
            return Err(format!(
                "container \"{container}\" mounts volume \"{volume}\" with mountPropagation {}, which cannot be copied to another container",
                covering.propagation
            ));
        }
        if !wish.shared.read_only
            && let Some(source) = read_only_source(volume, situation)
        {
            return Err(format!(
                "\"{}\" would write to volume \"{volume}\", but its source ({source}) is read-only",
                wish.name
            ));
        }
        check_variables(covering, wish, situation)?;
        if *mount_path == wish.shared.path
            && let Some(own) = self.volumes.iter_mut().find(|own| own.name == *volume)
        {
            agree_on_limits(own, wish.shared.empty_dir.as_ref())?;
        }
        Ok(())
    }
}

/// Whether a mount of the helper's own lies between the shared mount and the directory that is meant.
fn hides(own: &Mount, mount: &Mount, wish: &Wish<'_>) -> bool {
    own.path.len() > mount.path.len() && below(&own.path, &wish.shared.path).is_some()
}

/// A volume's path without a trailing slash.
fn trimmed(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    if path.is_empty() { "/" } else { path }
}

/// `path` relative to `parent`; empty when they are the same.
fn below<'a>(parent: &str, path: &'a str) -> Option<&'a str> {
    match parent {
        "/" => path.strip_prefix('/'),
        _ => match path.strip_prefix(parent)? {
            "" => Some(""),
            rest => rest.strip_prefix('/'),
        },
    }
}

fn targets<'s>(wish: &Wish<'_>, situation: &Situation<'s>) -> Result<Cow<'s, [Slot]>, String> {
    let named = &wish.shared.containers;
    if named.is_empty() {
        return Ok(situation.app.into());
    }
    let name = |slot: &Slot| slot.of(situation.spec).map_or("", |container| &container.name);
    let found: Vec<Slot> = situation
        .others
        .iter()
        .copied()
        .filter(|slot| named.iter().any(|wanted| wanted == name(slot)))
        .collect();
    if found.is_empty() {
        let wanted = named.join("\" or \"");
        let there: Vec<&str> = situation.others.iter().map(name).collect();
        return Err(format!(
            "no container is named \"{wanted}\"; the Pod has \"{}\"",
            there.join("\", \"")
        ));
    }
    Ok(found.into())
}

fn mount_like(covering: &Covering<'_>, read_only: bool) -> Mount {
    let mut value = json!({"name": covering.volume, "mountPath": covering.mount_path});
    if let Some(members) = value.as_object_mut() {
        for (key, text) in [
            ("subPath", &covering.sub_path),
            ("subPathExpr", &covering.sub_path_expr),
        ] {
            if !text.is_empty() {
                members.insert(key.into(), (**text).into());
            }
        }
        if read_only {
            members.insert("readOnly".into(), true.into());
        }
    }
    Mount {
        volume: covering.volume.to_string(),
        path: covering.mount_path.to_string(),
        value: Written::new(value),
    }
}

fn agree_on_limits(volume: &mut Cow<'_, Volume>, limits: Option<&Map<String, Value>>) -> Result<(), String> {
    let Some(limits) = limits else { return Ok(()) };
    let wanted = Value::Object(limits.clone());
    match volume.value.get("emptyDir") {
        Some(there) if *there == wanted => Ok(()),
        Some(there) if there.as_object().is_some_and(Map::is_empty) => {
            let value = json!({"name": volume.name, "emptyDir": wanted});
            volume.to_mut().value = Written::new(value);
            Ok(())
        }
        there => {
            let there = there.map_or(Value::Null, |there| there.clone());
            Err(format!(
                "another policy shares it with the emptyDir {there}, not {wanted}; let them agree"
            ))
        }
    }
}

fn read_only_source(volume: &str, situation: &Situation<'_>) -> Option<String> {
    let there = situation
        .spec
        .volumes
        .items()
        .iter()
        .find(|other| &*other.name == volume);
    if let Some(there) = there {
        return there.read_only_source.as_ref().map(ToString::to_string);
    }
    let planned = situation.volumes.iter().find(|other| other.name == volume)?;
    let text = planned.value.to_string();
    serde_json::from_str::<crate::pod::Volume<'_>>(&text)
        .ok()?
        .read_only_source
        .map(|source| source.to_string())
}

/// A `subPathExpr` means the same in the helper only if its variables do.
fn check_variables(covering: &Covering<'_>, wish: &Wish<'_>, situation: &Situation<'_>) -> Result<(), String> {
    let container = covering.slot.of(situation.spec);
    for variable in covering
        .sub_path_expr
        .split("$(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
    {
        let same = container.is_some_and(|container| has_same_variable(variable, container, wish.env));
        if !same {
            return Err(format!(
                "container \"{}\" mounts it with subPathExpr \"{}\", whose variable {variable} \"{}\" does not have with the same value; set it alike in both",
                covering.container, covering.sub_path_expr, wish.name
            ));
        }
    }
    Ok(())
}

fn has_same_variable(name: &str, container: &Container<'_>, helper: Option<&Value>) -> bool {
    let theirs = container.env.items().iter().find(|variable| &*variable.name == name);
    let ours = helper
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .find(|variable| own::is_named(variable, name));
    theirs
        .zip(ours)
        .is_some_and(|(theirs, ours)| own::same_variable(theirs, ours))
}
