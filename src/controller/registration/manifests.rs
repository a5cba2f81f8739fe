//! The webhook configurations as manifests: which calls come to us, and on what terms.
use crate::controller::service::Service;
use k8s_openapi::ByteString;
use outrigger_engine::policy::{CLUSTER_PLURAL, GROUP, NAMESPACED_PLURAL};
use serde_json::{Value, json};

pub(super) const API_VERSION: &str = "admissionregistration.k8s.io/v1";

/// One of our configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Configuration {
    /// Pods go to /mutate. Configurations are called in the order of their names: this comes before those of the
    /// meshes, so that they see the helpers.
    Pods,
    /// Policies go to /validate.
    Policies,
    /// What makes Pods goes to /advise, for warnings.
    Workloads,
}

impl Configuration {
    pub(super) const ALL: [Configuration; 3] = [Configuration::Pods, Configuration::Policies, Configuration::Workloads];

    pub(super) fn name(self) -> &'static str {
        match self {
            Configuration::Pods => "00-outrigger-pods",
            Configuration::Policies => "outrigger-policies",
            Configuration::Workloads => "outrigger-workloads",
        }
    }

    pub(super) fn kind(self) -> &'static str {
        match self {
            Configuration::Pods => "MutatingWebhookConfiguration",
            Configuration::Policies | Configuration::Workloads => "ValidatingWebhookConfiguration",
        }
    }

    fn webhook(self) -> (&'static str, &'static str) {
        match self {
            Configuration::Pods => ("pods.outrigger.dev", "/mutate"),
            Configuration::Policies => ("policies.outrigger.dev", "/validate"),
            Configuration::Workloads => ("workloads.outrigger.dev", "/advise"),
        }
    }

    fn rules(self) -> Value {
        let rule = |group: &str, version: &str, operations: &[&str], resources: &[&str]| {
            json!({"apiGroups": [group], "apiVersions": [version], "operations": operations, "resources": resources,
                "scope": "*"})
        };
        match self {
            Configuration::Pods => json!([rule("", "v1", &["CREATE"], &["pods"])]),
            Configuration::Policies => json!([rule(
                GROUP,
                "*",
                &["CREATE", "UPDATE", "DELETE"],
                &[CLUSTER_PLURAL, NAMESPACED_PLURAL]
            )]),
            Configuration::Workloads => json!([
                rule(
                    "apps",
                    "v1",
                    &["CREATE", "UPDATE"],
                    &["deployments", "statefulsets", "daemonsets", "replicasets"]
                ),
                rule("batch", "v1", &["CREATE", "UPDATE"], &["jobs", "cronjobs"]),
                rule("", "v1", &["CREATE", "UPDATE"], &["replicationcontrollers"]),
            ]),
        }
    }

    /// The manifest. `bundle` is what callers trust, as PEM; Pods of the `protected` namespaces do not come to us.
    pub(super) fn manifest(self, service: &Service, bundle: &str, protected: &[String]) -> Value {
        let (name, path) = self.webhook();
        let mut webhook = json!({
            "name": name,
            "clientConfig": {
                "service": {"namespace": service.namespace, "name": service.name, "port": service.port, "path": path},
                "caBundle": ByteString(bundle.as_bytes().to_vec()),
            },
            "rules": self.rules(),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "matchPolicy": "Equivalent",
            "failurePolicy": "Ignore",
            "timeoutSeconds": 5,
        });
        if self == Configuration::Pods {
            webhook["reinvocationPolicy"] = json!("IfNeeded");
        }
        if self == Configuration::Workloads {
            // Nobody reads what is said to a controller.
            webhook["matchConditions"] = json!([{
                "name": "not-made-by-a-controller",
                "expression": "!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))",
            }]);
        }
        if self != Configuration::Policies {
            webhook["namespaceSelector"] = json!({"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": protected},
            ]});
        }
        json!({
            "apiVersion": API_VERSION,
            "kind": self.kind(),
            "metadata": {"name": self.name(), "labels": {"app.kubernetes.io/name": "outrigger"}},
            "webhooks": [webhook],
        })
    }
}
