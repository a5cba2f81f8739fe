//! The bindings, which put the guard into effect. They are made once; from then on they are the admin's, who deletes or
//! changes one to break the glass: what an admin does in need is not undone.
//!
//! A binding is made before its object. So an object without its binding always means that somebody has deleted it.
use super::{REQUESTED, REQUIRED, check, duty::policy_object};
use crate::controller::{
    apply::{FIELD_MANAGER, Object},
    call::within,
    duty::Post,
};
use anyhow::{Context, Result};
use kube::{
    Api,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams},
    core::ApiResource,
};
use serde_json::json;
use std::time::Duration;
use tokio::time::sleep;

/// Of both objects.
pub(super) const NAMES: [&str; 2] = [REQUESTED, REQUIRED];
/// How often to see whether the bindings are there.
const GLANCE: Duration = Duration::from_secs(10);

/// The binding of the object of this name.
pub(super) fn binding_object(name: &'static str) -> Object {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding");
    Object {
        resource: ApiResource::from_gvk_with_plural(&kind, "validatingadmissionpolicybindings"),
        name,
    }
}

fn api(post: &Post, object: &Object) -> Api<DynamicObject> {
    Api::all_with(post.client.clone(), &object.resource)
}

/// Makes the binding, unless it is there or somebody has deleted it.
///
/// # Errors
/// When the API server does not do what it is asked.
pub(super) async fn put_in(post: &Post, name: &'static str) -> Result<()> {
    let object = binding_object(name);
    let bindings = api(post, &object);
    let there = within(bindings.get_opt(name)).await?.is_some();
    let broken = within(api(post, &policy_object(name)).get_opt(name)).await?.is_some();
    if there || broken || !post.term.is_ours() {
        return Ok(());
    }
    let mut binding = check::binding(name);
    if let Some(owner) = &post.owner {
        binding["metadata"]["ownerReferences"] = json!([owner.reference().await?]);
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    within(bindings.patch(name, &params, &Patch::Apply(&binding)))
        .await
        .with_context(|| format!("failed to make the binding {name:?}"))?;
    tracing::info!(binding = name, "put the guard into effect");
    Ok(())
}

/// Whether the binding of this name is there, and refuses.
async fn denies(post: &Post, name: &'static str) -> Result<bool> {
    let binding = within(api(post, &binding_object(name)).get_opt(name)).await?;
    let actions = binding
        .as_ref()
        .and_then(|binding| binding.data["spec"]["validationActions"].as_array());
    Ok(actions.is_some_and(|actions| actions.contains(&json!("Deny"))))
}

/// Whether the object of this name is there.
async fn is_there(post: &Post, name: &'static str) -> bool {
    matches!(within(api(post, &policy_object(name)).get_opt(name)).await, Ok(Some(_)))
}

/// Says when a binding is gone, or no longer refuses anything, and when it is back.
pub(super) async fn look_after(post: Post) {
    let mut whole = [true; 2];
    loop {
        for (name, was) in NAMES.into_iter().zip(&mut whole) {
            let Ok(is) = denies(&post, name).await else {
                continue;
            };
            post.metrics.is_guarding(name, is && is_there(&post, name).await);
            match (*was, is) {
                (true, false) => tracing::warn!(
                    binding = name,
                    "the guard is not in effect: its binding is gone, or does not refuse; it stays so until somebody makes the binding anew"
                ),
                (false, true) => tracing::info!(binding = name, "the guard is in effect again"),
                _ => {}
            }
            *was = is;
        }
        sleep(GLANCE).await;
    }
}
