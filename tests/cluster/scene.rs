//! The stage of a test: a namespace, and the webhook with the test's policies in front of it.
use crate::pods::Admitted;
use outrigger_harness::{Answer, Cluster, Namespace, Webhook};
use serde_json::{Value, json};
use std::path::Path;

/// A namespace whose Pods go through the webhook.
pub struct Scene {
    pub webhook: Webhook,
    pub namespace: Namespace,
}

impl Scene {
    /// A namespace with nothing to say. `None`: no API server here, and that has been said.
    pub async fn new(name: &str, policies: &[&str]) -> Option<Scene> {
        Scene::with(name, json!({}), policies).await
    }

    /// A namespace with these labels and annotations.
    pub async fn with(name: &str, facts: Value, policies: &[&str]) -> Option<Scene> {
        let namespace = Cluster::shared()?.namespace(name, facts).await;
        let webhook = Webhook::start(Path::new(env!("CARGO_BIN_EXE_outrigger")), &namespace, policies).await;
        Some(Scene { webhook, namespace })
    }

    /// Creates the Pod, which must be admitted.
    pub async fn admit(&self, pod: &Value) -> Admitted {
        Admitted(self.namespace.create(pod).await.object())
    }

    /// Creates the Pod, which must be refused by the webhook; the message, without what the API server puts before it.
    pub async fn refusal(&self, pod: &Value) -> String {
        let answer = self.namespace.create(pod).await;
        let message = answer.message();
        let own = message.split_once("\"pods.outrigger.dev\" denied the request: ");
        let own = own.unwrap_or_else(|| panic!("not refused by the webhook: {} {message}", answer.status));
        assert!([403, 422].contains(&answer.status), "{} {message}", answer.status);
        own.1.to_owned()
    }

    /// Sends the Pod to the webhook itself, as the API server would; the response of the review.
    pub async fn review(&self, pod: &Value) -> Value {
        self.review_request(json!({"object": pod})).await
    }

    /// As [`Self::review`], with these fields of the request.
    pub async fn review_request(&self, fields: Value) -> Value {
        let mut request = json!({
            "uid": "0b9c4d9a-7e26-4a3c-9c59-1c2f6f0c1d11",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": self.namespace.name,
            "operation": "CREATE",
            "userInfo": {"username": "somebody"},
            "object": null, "oldObject": null, "dryRun": false, "options": {},
        });
        for (name, value) in fields.as_object().expect("fields of a request") {
            request[name] = value.clone();
        }
        request["object"]["apiVersion"] = json!("v1");
        request["object"]["kind"] = json!("Pod");
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let answer: Answer = self.webhook.review(&review).await;
        answer.object()["response"].take()
    }

    /// How many reviews the webhook has answered.
    pub async fn calls(&self) -> f64 {
        self.webhook.metric("outrigger_admissions_total").await
    }
}
