//! From a plan to a patch.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::Slot;
use super::patch::Part::{self, Field, Index, Key};
use super::patch::{End, Patch};
use super::place::Item;
use super::plan::{HelperId, Plan};
use super::record::{DEFAULT_CONTAINER, INJECTED, SKIPPED};
use crate::pod::{self, List, Pairs};
use crate::render::Written;

/// Keys and values of labels or annotations.
type Entries<'c> = Vec<(&'c str, Literal<'c>)>;

/// A string, as itself or as what is written already.
#[derive(Serialize)]
#[serde(untagged)]
enum Literal<'c> {
    Plain(&'c str),
    Written(&'c Written<String>),
}

/// The patch; `None` when nothing is to be changed. `injected` and `skipped` are the values of our annotations, where
/// they are to be written.
pub(super) fn emit(plan: &Plan<'_>, injected: Option<&str>, skipped: Option<&str>) -> Option<Vec<u8>> {
    let mut patch = Patch::default();
    metadata(&mut patch, plan, injected, skipped);
    if plan.spec.is_there {
        spec(&mut patch, plan);
    } else {
        let mut below = Patch::default();
        spec(&mut below, plan);
        if !below.is_empty() {
            patch.add(&[Field("spec")], &serde_json::Map::new());
        }
        patch.append(below);
    }
    patch.finish()
}

fn spec(patch: &mut Patch, plan: &Plan<'_>) {
    let spec = plan.spec;
    let added = &plan.additions;
    let volumes: Vec<&Written<Value>> = added
        .volumes
        .iter()
        .map(|volume| &volume.value)
        .chain(plan.shared.volumes.iter().map(|v| &v.value))
        .collect();
    patch.extend(&[Field("spec"), Field("volumes")], &spec.volumes, End::Back, &volumes);
    // Before the lists change: these go by the containers' present indices.
    for list in [List::Init, List::Main] {
        Slot::all(list, plan.spec).for_each(|slot| container(patch, plan, slot));
    }
    newcomers(patch, plan, List::Init);
    newcomers(patch, plan, List::Main);
    let secrets: Vec<&Value> = added.image_pull_secrets.iter().map(|(_, value)| *value).collect();
    patch.extend(
        &[Field("spec"), Field("imagePullSecrets")],
        &spec.image_pull_secrets,
        End::Back,
        &secrets,
    );
    let aliases: Vec<Value> = added
        .host_aliases
        .iter()
        .map(|alias| serde_json::json!({"ip": alias.ip, "hostnames": alias.hostnames}))
        .collect();
    patch.extend(
        &[Field("spec"), Field("hostAliases")],
        &spec.host_aliases,
        End::Back,
        &aliases,
    );
    if added.share_process_namespace {
        patch.add(&[Field("spec"), Field("shareProcessNamespace")], &true);
    }
}

fn metadata(patch: &mut Patch, plan: &Plan<'_>, injected: Option<&str>, skipped: Option<&str>) {
    let added = &plan.additions;
    let mut labels: Entries<'_> = added
        .labels
        .iter()
        .map(|(key, value)| (*key, Literal::Plain(value)))
        .collect();
    let mut annotations: Entries<'_> = Vec::with_capacity(added.annotations.len() + 3);
    annotations.extend(
        added
            .annotations
            .iter()
            .map(|(key, value)| (*key, Literal::Written(value))),
    );
    if let Some(injected) = injected {
        let carries_some = !injected.is_empty();
        if carries_some && plan.pod.label(INJECTED) != Some("true") {
            labels.push((INJECTED, Literal::Plain("true")));
        }
        if plan.pod.annotation(INJECTED) != Some(injected) {
            annotations.push((INJECTED, Literal::Plain(injected)));
        }
        if carries_some && plan.pod.annotation(DEFAULT_CONTAINER).is_none() {
            let displaced = plan.displaced_first_container();
            annotations.extend(displaced.map(|name| (DEFAULT_CONTAINER, Literal::Plain(name))));
        }
    }
    annotations.extend(skipped.map(|skipped| (SKIPPED, Literal::Plain(skipped))));
    match plan.pod.metadata() {
        Some(there) => {
            members(
                patch,
                &[Field("metadata"), Field("annotations")],
                &there.annotations,
                &annotations,
            );
            members(patch, &[Field("metadata"), Field("labels")], &there.labels, &labels);
        }
        None if labels.is_empty() && annotations.is_empty() => {}
        None => {
            let metadata = NewMetadata {
                annotations: annotations.into_iter().collect(),
                labels: labels.into_iter().collect(),
            };
            patch.add(&[Field("metadata")], &metadata);
        }
    }
}

/// For a Pod that has none.
#[derive(Serialize)]
struct NewMetadata<'c> {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'c str, Literal<'c>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'c str, Literal<'c>>,
}

fn members(patch: &mut Patch, path: &[Part<'_>], there: &pod::Field<Pairs<'_>>, entries: &Entries<'_>) {
    if entries.is_empty() {
        return;
    }
    if there.is_object() {
        entries
            .iter()
            .for_each(|(key, value)| patch.add_below(path, Some(Key(key)), value));
    } else {
        patch.add(
            path,
            &entries
                .iter()
                .map(|(key, value)| (*key, value))
                .collect::<BTreeMap<_, _>>(),
        );
    }
}

/// Variables and mounts for a container that the Pod has.
fn container(patch: &mut Patch, plan: &Plan<'_>, slot: Slot) {
    let Some(container) = slot.of(plan.spec) else { return };
    let env = plan.additions.env.get(&slot).into_iter().flatten();
    let env: Vec<&Written<Value>> = env.map(|variable| &variable.value).collect();
    let mounts = plan.additions.mounts.get(&slot).into_iter().flatten();
    let shared = plan.shared.app_mounts.get(&slot).into_iter().flatten();
    let shared = shared.map(|mount| &**mount);
    let mounts: Vec<&Written<Value>> = mounts.copied().chain(shared).map(|mount| &mount.value).collect();
    if env.is_empty() && mounts.is_empty() {
        return;
    }
    let (list, index) = (slot.list.field(), slot.index);
    patch.extend(
        &[Field("spec"), Field(list), Index(index), Field("env")],
        &container.env,
        End::Front,
        &env,
    );
    patch.extend(
        &[Field("spec"), Field(list), Index(index), Field("volumeMounts")],
        &container.volume_mounts,
        End::Back,
        &mounts,
    );
}

/// New containers in their places.
fn newcomers(patch: &mut Patch, plan: &Plan<'_>, list: List) {
    let (ids, order) = &plan.orders[list as usize];
    if ids.is_empty() {
        return;
    }
    let field = list.field();
    if Slot::containers(list, plan.spec).is_empty() {
        patch.begin(&[Field("spec"), Field(field)], None);
        for (index, item) in order.iter().enumerate() {
            patch.raw(if index == 0 { "[" } else { "," });
            if let Item::New(number) = item {
                newcomer(patch, plan, ids[*number]);
            }
        }
        patch.raw("]");
        patch.end();
        return;
    }
    // In ascending order, so that everything before a place is there when it is filled.
    for (index, item) in order.iter().enumerate() {
        if let Item::New(number) = item {
            patch.begin(&[Field("spec"), Field(field)], Some(Index(index)));
            newcomer(patch, plan, ids[*number]);
            patch.end();
        }
    }
}

fn newcomer(patch: &mut Patch, plan: &Plan<'_>, id: HelperId) {
    let helper = plan.helper(id);
    patch.raw(&helper.json);
    let shared = plan
        .shared
        .helper_mounts
        .iter()
        .filter(|(other, _)| *other == id)
        .map(|(_, mount)| &mount.value);
    let mounts: Vec<&Written<Value>> = helper.mounts.iter().map(|mount| &mount.value).chain(shared).collect();
    if !mounts.is_empty() {
        patch.raw(",\"volumeMounts\":");
        patch.json(&mounts);
    }
    if plan.is_native(helper) {
        patch.raw(",\"restartPolicy\":\"Always\"");
    }
    patch.raw("}");
}
