//! Registers a webhook for the Pods of one namespace, and takes the registration back.
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::namespace::Namespace;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use std::path::PathBuf;

const PATH: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/// What to register.
pub(crate) struct Registration<'a> {
    /// Of the configuration; the API server calls them in the order of these names.
    pub(crate) name: &'a str,
    /// Of the webhook: it appears in the messages that users see.
    pub(crate) webhook: &'a str,
    pub(crate) url: String,
    /// PEM.
    pub(crate) authority: &'a str,
}

/// A registered webhook; dropping it takes it back.
pub(crate) struct Registered {
    name: String,
    kubeconfig: PathBuf,
}

impl Registration<'_> {
    pub(crate) async fn register(&self, namespace: &Namespace) -> Registered {
        let body = self.configuration(&namespace.name);
        namespace.call("POST", PATH, Some(&body)).await.object();
        let cluster: &Cluster = namespace.cluster();
        Registered {
            name: self.name.to_owned(),
            kubeconfig: cluster.kubeconfig().to_owned(),
        }
    }

    /// As Outrigger registers itself, save that a failing call fails the Pod: a test must see it.
    fn configuration(&self, namespace: &str) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": [{
                "name": self.webhook,
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": self.url, "caBundle": ByteString(self.authority.as_bytes().to_vec())},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "failurePolicy": "Fail",
                "matchPolicy": "Equivalent",
                "reinvocationPolicy": "IfNeeded",
                "sideEffects": "None",
                "timeoutSeconds": 5,
            }],
        })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Left behind, it would do no harm: nobody else creates Pods in the test's namespace.
        crate::block_on(async {
            if let Ok(client) = crate::cluster::connect(&self.kubeconfig).await {
                let _ = Answer::to(&client, "DELETE", &format!("{PATH}/{}", self.name), None).await;
            }
        });
    }
}
