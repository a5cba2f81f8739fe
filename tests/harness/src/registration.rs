//! Registers a webhook for the Pods of one namespace, and takes the registration back.
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::namespace::Namespace;
use k8s_openapi::ByteString;
use serde_json::{Value, json};
use std::path::PathBuf;

const PODS: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// The label by which a test's further namespaces are found: its value is the name of the first.
pub const SCENE: &str = "tests.outrigger.dev/scene";

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
    path: String,
    kubeconfig: PathBuf,
}

impl Registration<'_> {
    pub(crate) async fn register(&self, namespace: &Namespace) -> Registered {
        let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
        self.post(namespace, PODS, &self.for_pods(selector)).await
    }

    /// For the Pods of all namespaces whose label [`SCENE`] is this namespace's name.
    pub(crate) async fn register_for_scene(&self, namespace: &Namespace) -> Registered {
        let selector = json!({"matchLabels": {SCENE: namespace.name}});
        self.post(namespace, PODS, &self.for_pods(selector)).await
    }

    /// For policies whose name begins with that of this namespace: other tests have theirs.
    pub(crate) async fn register_for_policies(&self, namespace: &Namespace) -> Registered {
        let own = format!("request.name.startsWith('{}')", namespace.name);
        let rules = json!([{"apiGroups": ["outrigger.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE", "DELETE"],
            "resources": ["clusterinjectionpolicies", "injectionpolicies"]}]);
        let mut webhook = self.webhook(rules);
        webhook["matchConditions"] = json!([{"name": "own", "expression": own}]);
        let body = self.configuration("ValidatingWebhookConfiguration", webhook);
        self.post(namespace, VALIDATING, &body).await
    }

    /// For what Pods are made of, in this namespace.
    pub(crate) async fn register_for_workloads(&self, namespace: &Namespace) -> Registered {
        let rule = |group, resources: &[&str]| json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": resources});
        let mut webhook = self.webhook(json!([
            rule("apps", &["deployments", "statefulsets", "daemonsets", "replicasets"]),
            rule("batch", &["jobs", "cronjobs"]),
            rule("", &["replicationcontrollers"]),
        ]));
        webhook["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace.name}});
        let body = self.configuration("ValidatingWebhookConfiguration", webhook);
        self.post(namespace, VALIDATING, &body).await
    }

    async fn post(&self, namespace: &Namespace, path: &str, body: &Value) -> Registered {
        namespace.call("POST", path, Some(body)).await.object();
        let cluster: &Cluster = namespace.cluster();
        Registered {
            path: format!("{path}/{}", self.name),
            kubeconfig: cluster.kubeconfig().to_owned(),
        }
    }

    /// As Outrigger registers itself, save that a failing call fails the Pod: a test must see it.
    fn for_pods(&self, namespaces: Value) -> Value {
        let rules =
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}]);
        let mut webhook = self.webhook(rules);
        webhook["namespaceSelector"] = namespaces;
        webhook["reinvocationPolicy"] = json!("IfNeeded");
        self.configuration("MutatingWebhookConfiguration", webhook)
    }

    fn webhook(&self, rules: Value) -> Value {
        json!({
            "name": self.webhook,
            "admissionReviewVersions": ["v1"],
            "clientConfig": {"url": self.url, "caBundle": ByteString(self.authority.as_bytes().to_vec())},
            "rules": rules,
            "failurePolicy": "Fail",
            "matchPolicy": "Equivalent",
            "sideEffects": "None",
            "timeoutSeconds": 5,
        })
    }

    fn configuration(&self, kind: &str, webhook: Value) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": self.name},
            "webhooks": [webhook],
        })
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // Left behind, it would do no harm: nobody else creates Pods in the test's namespace.
        crate::block_on(async {
            if let Ok(client) = crate::cluster::connect(&self.kubeconfig).await {
                let _ = Answer::to(&client, "DELETE", &self.path, None).await;
            }
        });
    }
}
