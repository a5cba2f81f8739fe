//! What this process may not do, and what would change that: asked of the API server, which tells everybody about itself.
use super::lease::Verb;
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use std::time::Duration;
use tokio::time::timeout;

/// What an election needs.
const NEEDED: [Verb; 4] = [Verb::Create, Verb::Get, Verb::Update, Verb::Watch];
/// The questions are for a message; they must not hold up an election.
const ASKED_FOR: Duration = Duration::from_secs(2);

/// What is missing for this Lease, in one sentence. `refused` is what the server has just refused.
pub async fn missing(client: &Client, namespace: &str, lease: &str, refused: Verb) -> String {
    let asked = async {
        let mut missing = Vec::new();
        for verb in NEEDED {
            if verb == refused || !may(client, namespace, lease, verb).await? {
                missing.push(verb.to_string());
            }
        }
        Ok::<_, kube::Error>((whoami(client).await?, missing))
    };
    let (who, verbs) = match timeout(ASKED_FOR, asked).await {
        Ok(Ok(answers)) => answers,
        _ => ("this Pod's service account".to_owned(), vec![refused.to_string()]),
    };
    let verbs = verbs.join(", ");
    format!(
        "{who} may not {verbs} leases.coordination.k8s.io {lease:?} in namespace {namespace:?}; it needs a Role with these verbs, and a \
         RoleBinding, as in rbac.yaml of the policy leader-elector"
    )
}

async fn may(client: &Client, namespace: &str, lease: &str, verb: Verb) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        group: Some("coordination.k8s.io".into()),
        resource: Some("leases".into()),
        namespace: Some(namespace.into()),
        // A name is not known when something is created.
        name: (verb != Verb::Create).then(|| lease.into()),
        verb: Some(verb.to_string()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        metadata: ObjectMeta::default(),
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        status: None,
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = reviews.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// The name that the server knows this process by.
async fn whoami(client: &Client) -> kube::Result<String> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let answer = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await?;
    let user = answer.status.and_then(|status| status.user_info?.username);
    Ok(user.unwrap_or_default())
}
