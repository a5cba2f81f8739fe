//! A namespace of one test, and what the test does in it.
use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::kubectl::{Output, Run};
use kube::Client;
use serde_json::{Value, json};
use std::time::Duration;

/// A namespace with its `default` ServiceAccount, which elsewhere the controller manager makes.
pub struct Namespace {
    /// Its name, unique in the cluster.
    pub name: String,
    cluster: &'static Cluster,
    client: Client,
}

impl Namespace {
    pub(crate) async fn named(cluster: &'static Cluster, name: String) -> Namespace {
        Namespace {
            name,
            cluster,
            client: cluster.client().await,
        }
    }

    pub(crate) async fn make(cluster: &'static Cluster, name: String, metadata: Value) -> Namespace {
        let namespace = Namespace::named(cluster, name).await;
        namespace
            .call("POST", "/api/v1/namespaces", Some(&json!({"metadata": metadata})))
            .await
            .object();
        let account = json!({"metadata": {"name": "default"}});
        namespace
            .call("POST", &namespace.path("serviceaccounts"), Some(&account))
            .await
            .object();
        namespace
    }

    /// The cluster that it is in.
    pub fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// A client with all rights.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The path of a core/v1 collection in it, such as `pods`.
    pub fn path(&self, collection: &str) -> String {
        format!("/api/v1/namespaces/{}/{collection}", self.name)
    }

    /// Sends a raw request to the API server.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Answer::to(&self.client, method, path, body)
            .await
            .expect("the API server does not answer")
    }

    /// Sends a raw request with another client.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn send(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Answer {
        Answer::to(client, method, path, body)
            .await
            .expect("there is no answer")
    }

    /// Creates a Pod from raw JSON.
    pub async fn create(&self, pod: &Value) -> Answer {
        self.call("POST", &self.path("pods"), Some(pod)).await
    }

    /// Asks what would become of a Pod. The webhooks are called with `dryRun: true`.
    pub async fn dry_run(&self, pod: &Value) -> Answer {
        self.call("POST", &self.path("pods?dryRun=All"), Some(pod)).await
    }

    /// As [`Self::dry_run`], refusing fields that the API server does not know, and duplicate ones.
    pub async fn strict_dry_run(&self, pod: &Value) -> Answer {
        self.call("POST", &self.path("pods?dryRun=All&fieldValidation=Strict"), Some(pod))
            .await
    }

    /// The namespace as the API server has it.
    pub async fn manifest(&self) -> Value {
        let mut manifest = self
            .call("GET", &format!("/api/v1/namespaces/{}", self.name), None)
            .await
            .object();
        manifest["apiVersion"] = json!("v1");
        manifest["kind"] = json!("Namespace");
        manifest
    }

    /// Server-side apply.
    pub async fn apply(&self, path: &str, object: &Value) -> Answer {
        self.patch("application/apply-patch+yaml", path, object).await
    }

    /// A JSON Merge Patch (RFC 7386).
    pub async fn merge(&self, path: &str, patch: &Value) -> Answer {
        self.patch("application/merge-patch+json", path, patch).await
    }

    /// A JSON Patch (RFC 6902).
    pub async fn json_patch(&self, path: &str, patch: &Value) -> Answer {
        self.patch("application/json-patch+json", path, patch).await
    }

    async fn patch(&self, media: &str, path: &str, body: &Value) -> Answer {
        Answer::with_media(&self.client, media, "PATCH", path, Some(body))
            .await
            .expect("the API server does not answer")
    }

    /// Runs kubectl in this namespace, with `manifest` on its standard input for `-f -`.
    pub async fn kubectl(&self, arguments: &[&str], manifest: Option<&Value>) -> Output {
        self.kubectl_with(arguments, manifest.map(Value::to_string)).await
    }

    /// As [`Self::kubectl`], with any text as input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: Option<String>) -> Output {
        let run = Run {
            program: self.cluster.kubectl_path(),
            kubeconfig: self.cluster.kubeconfig(),
        };
        run.go(&[&["--namespace", &self.name], arguments].concat(), input).await
    }

    /// The audit annotations of each Pod created here, oldest first. The log lags a little; so this waits for `count`
    /// entries.
    pub async fn audit_annotations(&self, count: usize) -> Vec<Value> {
        let mut found = Vec::new();
        for _ in 0..100 {
            found = crate::audit::annotations(self.cluster.audit_log(), &self.name);
            if found.len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        found
    }
}
