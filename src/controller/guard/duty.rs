//! What the lease holder does for the guard: makes it of each snapshot, has the API server try it, and keeps it right.
use super::{
    Check, Facts, Guard, LeftOut, REQUESTED, REQUIRED,
    glass::{self, binding_object},
};
use crate::{
    controller::{
        apply::{FIELD_MANAGER, Keeper, Object, Wish},
        call::{self, within},
        duty::{Duty, Performing, Post},
    },
    observe::health::{self, Health},
};
use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{
    Api, Client,
    api::{DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    core::ApiResource,
};
use outrigger_engine::Snapshot;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinSet, time::sleep};

const GROUP_VERSION: &str = "admissionregistration.k8s.io/v1";
/// How often to see whether this replica is ready.
const GLANCE: Duration = Duration::from_millis(200);
/// How soon it is noticed that the API server has got what the guard is made of.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// However much changes, the guard is made once in this time.
const BETWEEN: Duration = Duration::from_millis(500);

/// Keeps the guard right, or away.
#[derive(Debug)]
pub struct GuardDuty {
    /// Whether there should be one.
    pub wanted: bool,
    /// Outrigger's own namespace.
    pub namespace: String,
    /// Whether we are ready: a guard of what is not loaded yet would be none.
    pub health: Arc<Health>,
}

impl Duty for GuardDuty {
    fn name(&self) -> &'static str {
        "guard"
    }

    fn perform(&self, post: Post) -> Performing {
        let (wanted, namespace, health) = (self.wanted, self.namespace.clone(), Arc::clone(&self.health));
        Box::pin(async move {
            wait_until_known(&post, wanted).await?;
            if !wanted {
                withdraw(post).await;
                return Ok(());
            }
            while health.readiness(health::now()).is_err() {
                sleep(GLANCE).await;
            }
            maintain(post, namespace).await
        })
    }
}

/// The ValidatingAdmissionPolicy of this name.
pub(super) fn policy_object(name: &'static str) -> Object {
    let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy");
    Object {
        resource: ApiResource::from_gvk_with_plural(&kind, "validatingadmissionpolicies"),
        name,
    }
}

/// Waits until the API server has what the guard is made of, as it may have after an upgrade; says once that it lacks it.
async fn wait_until_known(post: &Post, wanted: bool) -> Result<()> {
    let mut lacking = false;
    while !is_known(&post.client).await? {
        if wanted && !lacking {
            tracing::warn!(
                "the guard is left out: this API server has no ValidatingAdmissionPolicy of {GROUP_VERSION} (Kubernetes 1.30); while outrigger is away, Pods pass without helpers that they ask for or must have"
            );
            glass::NAMES
                .iter()
                .for_each(|name| post.metrics.is_guarding(name, false));
        }
        lacking = true;
        sleep(ASK_AGAIN).await;
    }
    if wanted && lacking {
        tracing::info!("the API server has ValidatingAdmissionPolicy now: the guard is made");
    }
    Ok(())
}

/// Whether the API server has what the guard is made of.
async fn is_known(client: &Client) -> Result<bool> {
    let resources = within(client.list_api_group_resources(GROUP_VERSION)).await;
    let resources = resources
        .with_context(|| format!("failed to ask what {GROUP_VERSION} has"))?
        .resources;
    Ok(resources
        .iter()
        .any(|resource| resource.name == "validatingadmissionpolicies"))
}

/// Keeps both objects and their bindings away.
async fn withdraw(post: Post) {
    let keeper = Keeper::new(post);
    let mut keeping = JoinSet::new();
    let mut wishes = Vec::new();
    for object in [REQUESTED, REQUIRED]
        .into_iter()
        .flat_map(|name| [binding_object(name), policy_object(name)])
    {
        let (sender, wish) = watch::channel(Wish::Absent);
        wishes.push(sender);
        let keeper = keeper.clone();
        keeping.spawn(async move { keeper.keep(object, wish).await });
    }
    while keeping.join_next().await.is_some() {}
}

async fn maintain(post: Post, namespace: String) -> Result<()> {
    let facts = Facts {
        injector: own_name(&post.client).await,
        namespace: Some(namespace),
        unusable: BTreeSet::new(),
    };
    for name in [REQUESTED, REQUIRED] {
        glass::put_in(&post, name).await?;
    }
    let keeper = Keeper::new(post.clone());
    let mut keeping = JoinSet::new();
    let wishes = [REQUESTED, REQUIRED].map(|name| {
        let (sender, wishes) = watch::channel(Wish::Unknown);
        let keeper = keeper.clone();
        keeping.spawn(async move { keeper.keep(policy_object(name), wishes).await });
        sender
    });
    keeping.spawn(glass::look_after(post.clone()));
    let mut snapshots = post.snapshots();
    let mut latest: Option<[Value; 2]> = None;
    let mut told = Vec::new();
    loop {
        let snapshot = snapshots.next().await;
        let guard = Guard::of(&snapshot, &facts);
        let policies = [guard.requested.policy.clone(), guard.required.policy.clone()];
        if latest.as_ref() != Some(&policies) {
            let guard = tried(&post.client, &snapshot, &facts, guard).await?;
            tell(&guard, &mut told);
            for (wish, check) in wishes.iter().zip([guard.requested, guard.required]) {
                let new = Wish::present(check.policy);
                wish.send_if_modified(|wish| {
                    *wish != new && {
                        *wish = new;
                        true
                    }
                });
            }
            latest = Some(policies);
        }
        sleep(BETWEEN).await;
    }
}

/// The user name that we have at the API server; without it nobody may change what the guard goes by.
async fn own_name(client: &Client) -> Option<String> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    match within(api.create(&PostParams::default(), &SelfSubjectReview::default())).await {
        Ok(review) => review.status?.user_info?.username,
        Err(error) => {
            tracing::warn!("failed to ask the API server who we are: {}", call::text(&error));
            None
        }
    }
}

/// The guard without the policies whose conditions the API server does not take: one of them must not cost the others
/// their guard.
async fn tried(client: &Client, snapshot: &Snapshot, facts: &Facts, guard: Guard) -> Result<Guard> {
    let (mut facts, mut guard) = (facts.clone(), guard);
    loop {
        let Err(error) = try_out(client, &guard.required).await else {
            return Ok(guard);
        };
        let unusable = unusable(&error, &guard.required);
        if unusable.is_empty() {
            return Err(error.context("failed to try the guard out"));
        }
        facts.unusable.extend(unusable);
        guard = Guard::of(snapshot, &facts);
    }
}

/// Has the API server check the object, without storing it.
async fn try_out(client: &Client, check: &Check) -> Result<()> {
    let object = policy_object(REQUIRED);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &object.resource);
    let params = PatchParams::apply(FIELD_MANAGER).force().dry_run();
    within(api.patch(object.name, &params, &Patch::Apply(&check.policy))).await?;
    Ok(())
}

/// The policies whose fields the API server complains of.
fn unusable(error: &anyhow::Error, check: &Check) -> BTreeSet<String> {
    let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else {
        return BTreeSet::new();
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes
        .filter_map(|cause| check.owner(&cause.field))
        .map(str::to_owned)
        .collect()
}

/// Says of which policies the guard says nothing, when that has changed.
fn tell(guard: &Guard, told: &mut Vec<LeftOut>) {
    let checks = [&guard.requested, &guard.required];
    let left_out: Vec<LeftOut> = checks.iter().flat_map(|check| check.left_out.iter().cloned()).collect();
    if *told == left_out {
        return;
    }
    for LeftOut { policy, why } in &left_out {
        tracing::warn!(policy, "the guard says nothing of a policy: {why}");
    }
    *told = left_out;
}
