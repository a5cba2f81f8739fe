//! The Pod as it was before Outrigger, as far as that can be proven: what `Required` policies see as `object`.
//!
//! A record is a hint that anyone can write. What it claims is rendered anew, and taken out where the Pod has exactly that:
//! the Pod is then no other than one to which Outrigger has added it. All else stays to be seen, also what somebody
//! else has changed of our work.

use serde_json::Value;

use super::own::{is_exactly, is_named};
use super::record::{INJECTED, Injected, Record, SKIPPED};
use super::rendering::Renderer;
use super::strip::{each_container, retain, retain_in, retain_keys, take_out};
use crate::expr::{Scope, Uses};
use crate::policy::Enforcement;
use crate::render::{Helper, MaybeOwned, Rendered};

/// As many claims are looked at as a Pod can name policies: of a longer record most is made up.
const MOST_CLAIMS: usize = 64;
/// The mount that the ServiceAccount admission plugin makes.
const TOKEN: (&str, &str) = ("kube-api-access-", "/var/run/secrets/kubernetes.io/serviceaccount");

/// Takes out what is proven to be ours. `scope` is what the policies' expressions read.
pub(super) fn strip<'s>(
    pod: &mut Value,
    injected: &Injected<'_>,
    renderer: &Renderer<'_>,
    scope: &dyn Fn(&Uses) -> Result<Scope<'s>, String>,
) {
    retain_keys(pod, "annotations", |key, _| key != INJECTED && key != SKIPPED);
    retain_keys(pod, "labels", |key, _| key != INJECTED);
    let claims = injected.policies().into_iter().take(MOST_CLAIMS);
    // Each is looked for in the Pod as it came.
    let proven: Vec<MaybeOwned<'_>> = claims
        .filter_map(|policy| prove(policy, pod, injected, renderer, scope))
        .collect();
    proven
        .iter()
        .for_each(|rendered| take_out_whole(pod, rendered, renderer));
}

/// What the policy comes to, if the Pod has all of its containers.
fn prove<'a, 's>(
    policy: &str,
    pod: &Value,
    injected: &Injected<'_>,
    renderer: &Renderer<'a>,
    scope: &dyn Fn(&Uses) -> Result<Scope<'s>, String>,
) -> Option<MaybeOwned<'a>> {
    let namespace = renderer.namespace;
    let policy = renderer.snapshot.visible(policy, &namespace.name)?;
    let (head, body) = (policy.head(), policy.body()?);
    let allowed = head.allowed_namespaces.as_ref();
    let can_be_there = !head.paused
        && head.enforcement != Enforcement::Audit
        && allowed.is_none_or(|allowed| allowed.matches(|key| namespace.label(key)))
        && injected.of(policy.name(), &body.hash) == Record::Same;
    if !can_be_there {
        return None;
    }
    let rendered = renderer.render(policy, body, scope, &mut |_| {}).ok()?;
    let is_there = |helper: &Helper| is_there(helper, pod, renderer);
    rendered.helpers.iter().all(is_there).then_some(rendered)
}

fn is_there(helper: &Helper, pod: &Value, renderer: &Renderer<'_>) -> bool {
    let settings = renderer.snapshot.settings();
    let items = pod.get("spec").and_then(|spec| spec.get(list_of(helper, renderer)));
    let mut items = items.and_then(Value::as_array).into_iter().flatten();
    let Some(found) = items.find(|item| is_named(item, &helper.name)) else {
        return false;
    };
    let mut found = found.clone();
    retain_in(&mut found, "volumeMounts", |mount| {
        !is_token(mount) && !is_shared(mount, helper)
    });
    let whole = helper.whole(helper.slot(settings).1);
    is_exactly(&found, &whole, &settings.foreign_changes)
}

fn list_of(helper: &Helper, renderer: &Renderer<'_>) -> &'static str {
    helper.slot(renderer.snapshot.settings()).0.field()
}

fn text<'v>(mount: &'v Value, key: &str) -> &'v str {
    mount.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn is_token(mount: &Value) -> bool {
    text(mount, "name").starts_with(TOKEN.0) && text(mount, "mountPath") == TOKEN.1
}

/// Whether it can be the mount of a shared directory, or of a parent that the application mounts.
fn is_shared(mount: &Value, helper: &Helper) -> bool {
    let path = text(mount, "mountPath").trim_end_matches('/');
    let is_below = |shared: &str| {
        shared
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !path.is_empty() && helper.shared_volumes.iter().any(|shared| is_below(&shared.path))
}

fn take_out_whole(pod: &mut Value, rendered: &Rendered, renderer: &Renderer<'_>) {
    for helper in &rendered.helpers {
        retain(pod, list_of(helper, renderer), |container| {
            !is_named(container, &helper.name)
        });
    }
    take_out(pod, rendered);
    let files = rendered.helpers.iter().flat_map(|helper| &helper.annotations);
    let files: Vec<(&str, &str)> = files.map(|(key, text)| (key.as_str(), text.as_str())).collect();
    retain_keys(pod, "annotations", |key, value| {
        !files
            .iter()
            .any(|(file, text)| *file == key && value.as_str() == Some(text))
    });
    let shared = || rendered.helpers.iter().flat_map(|helper| &helper.shared_volumes);
    each_container(pod, |container| {
        retain_in(container, "volumeMounts", |mount| {
            !shared().any(|shared| is_exactly(mount, &shared.app_mount.value, &[]))
        });
    });
    let of_helpers = rendered.helpers.iter().flat_map(|helper| &helper.volumes);
    let volumes = of_helpers
        .chain(&rendered.pod.volumes)
        .chain(shared().map(|shared| &shared.volume));
    let volumes: Vec<&Value> = volumes.map(|volume| &*volume.value).collect();
    retain(pod, "volumes", |volume| {
        !volumes.iter().any(|ours| is_exactly(volume, ours, &[]))
    });
}
