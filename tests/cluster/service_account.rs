//! The ServiceAccount plugin: it runs before the webhook and, since that added containers, once more after it, which makes
//! the API server call the webhook a second time.
use crate::pods::asking;
use crate::policies::{LOG_SAVER, MEMCACHED, VAULT};
use crate::scene::Scene;

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[tokio::test]
async fn row_3_the_webhook_is_called_twice_and_injects_once() {
    let Some(scene) = Scene::new("token", &[LOG_SAVER]).await else {
        return;
    };
    let before = scene.calls().await;
    let pod = scene.admit(&asking("log-saver")).await;
    assert!((scene.calls().await - before - 2.0).abs() < 0.1, "two calls");
    assert_eq!(pod.injected(), ["log-saver"]);
    assert_eq!(
        [pod.names("initContainers"), pod.names("containers")].concat(),
        ["log-saver", "app"]
    );
    for container in ["app", "log-saver"] {
        assert!(pod.mount(container, TOKEN).is_some(), "{container} has the token");
    }
}

#[tokio::test]
async fn a_helper_without_a_token_has_something_else_in_its_place() {
    let Some(scene) = Scene::new("none", &[MEMCACHED]).await else {
        return;
    };
    let pod = scene.admit(&asking("memcached")).await;
    let (ours, theirs) = (pod.volume_at("memcached-proxy", TOKEN), pod.volume_at("app", TOKEN));
    assert_ne!(ours, theirs);
    assert!(pod.volume(theirs)["projected"].is_object());
    assert!(pod.volume(ours)["emptyDir"].is_object(), "{}", pod.volume(ours));
}

#[tokio::test]
async fn a_helper_with_a_token_of_its_own_has_that_alone() {
    let Some(scene) = Scene::new("projected", &[VAULT]).await else {
        return;
    };
    let pod = scene.admit(&asking("vault")).await;
    let mounts = pod.container("vault-agent")["volumeMounts"].as_array().unwrap();
    let sources: Vec<_> = mounts
        .iter()
        .map(|mount| pod.volume(mount["name"].as_str().unwrap()))
        .collect();
    let tokens: Vec<_> = sources
        .iter()
        .flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten())
        .map(|source| &source["serviceAccountToken"])
        .filter(|token| token.is_object())
        .collect();
    assert_eq!(tokens.len(), 1, "{sources:?}");
    assert_eq!(
        (&tokens[0]["audience"], &tokens[0]["expirationSeconds"]),
        (&"vault.test".into(), &3600.into())
    );
    assert_eq!(tokens[0]["path"], "token");
    assert_ne!(pod.volume_at("app", TOKEN), pod.volume_at("vault-agent", TOKEN));
}
