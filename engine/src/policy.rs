//! The policy as its author writes it: the types behind `ClusterInjectionPolicy` and `InjectionPolicy`,
//! `outrigger.dev/v1alpha1`.
//!
//! Parts that may hold `${…}` are kept as JSON values; what they must look like once rendered is in
//! `render`. Everything is checked in `compile`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::params::{ParameterSpec, Setter};
use crate::selector::LabelSelector;

/// `apiVersion` of both kinds.
pub const API_VERSION: &str = "outrigger.dev/v1alpha1";
/// The cluster-scoped kind.
pub const CLUSTER_KIND: &str = "ClusterInjectionPolicy";
/// The namespaced kind, effective in its own namespace only.
pub const NAMESPACED_KIND: &str = "InjectionPolicy";

/// `spec` of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicySpec {
    /// What the policy is good for, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where the policy may be used at all; absent: everywhere. Cluster policies only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_namespaces: Option<LabelSelector>,
    /// The Pods that get it unasked; absent: only on request.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    pub matches: Option<MatchSpec>,
    /// How binding the policy is.
    #[serde(skip_serializing_if = "is_default")]
    pub enforcement: Enforcement,
    /// Stop injecting, keep the policy.
    #[serde(skip_serializing_if = "is_default")]
    pub paused: bool,
    /// Values that a Pod or a namespace may set by annotation.
    #[serde(skip_serializing_if = "is_default")]
    pub parameters: Vec<ParameterSpec>,
    /// Claim ports even in Pods that use the node's network.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_host_network: bool,
    /// Helpers beside the application.
    #[serde(skip_serializing_if = "is_default")]
    pub sidecars: Vec<HelperSpec>,
    /// Helpers that the application talks to on localhost.
    #[serde(skip_serializing_if = "is_default")]
    pub ambassadors: Vec<HelperSpec>,
    /// Helpers that give the application an interface that the cluster expects.
    #[serde(skip_serializing_if = "is_default")]
    pub adapters: Vec<HelperSpec>,
    /// Plain init containers.
    #[serde(skip_serializing_if = "is_default")]
    pub init_containers: Vec<HelperSpec>,
    /// What changes in the application's own containers.
    #[serde(skip_serializing_if = "is_default")]
    pub app: AppSpec,
    /// What is added to the Pod itself.
    #[serde(skip_serializing_if = "is_default")]
    pub pod: PodAdditionsSpec,
}

impl PolicySpec {
    /// The part that decides what is added to a Pod: without what it is called, where it applies and how binding it is,
    /// and without defaults that are written out.
    pub fn body(&self) -> PolicySpec {
        let mut body = PolicySpec {
            description: None,
            allowed_namespaces: None,
            matches: None,
            enforcement: Enforcement::default(),
            paused: false,
            ..self.clone()
        };
        for parameter in &mut body.parameters {
            parameter.description = None;
            let everybody = [Setter::Pod, Setter::Namespace];
            parameter
                .settable_by
                .take_if(|setters| everybody.iter().all(|setter| setters.contains(setter)));
        }
        let lists = [
            &mut body.sidecars,
            &mut body.ambassadors,
            &mut body.adapters,
            &mut body.init_containers,
        ];
        for helper in lists.into_iter().flatten() {
            helper.service_account_token.take_if(|choice| *choice == "Inherit");
        }
        body
    }
}

/// How binding a policy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// Decide, count and warn; add nothing.
    Audit,
    /// Never refuse a Pod that did not name the policy.
    #[default]
    BestEffort,
    /// No Pod that matches passes without it.
    Required,
}

/// Which Pods get a policy unasked. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MatchSpec {
    /// On the namespace's labels. Cluster policies only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// On the Pod's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// CEL, as in the `matchConditions` of Kubernetes' webhook configurations.
    #[serde(skip_serializing_if = "is_default")]
    pub conditions: Vec<Condition>,
}

/// A named CEL expression over `object`, `namespaceObject` and `request`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Named in messages.
    pub name: String,
    /// Must yield a boolean.
    pub expression: String,
}

/// A container to inject, and what makes it work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HelperSpec {
    /// A core/v1 Container; fields that Outrigger does not know pass through.
    pub container: Map<String, Value>,
    /// Which list the container goes into.
    #[serde(skip_serializing_if = "is_default")]
    pub lifecycle: Lifecycle,
    /// Where in that list; absent: ambassadors first, everything else last.
    #[serde(skip_serializing_if = "is_default")]
    pub placement: PlacementSpec,
    /// One CEL expression as `${…}`; false leaves this entry out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_when: Option<String>,
    /// `Inherit`, `None`, or `{audience, expirationSeconds, path}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_token: Option<Value>,
    /// Directories shared with the application: `{path, readOnly, containers, emptyDir}`.
    #[serde(skip_serializing_if = "is_default")]
    pub shared_volumes: Vec<Value>,
    /// Configuration that travels in the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesSpec>,
    /// Ambassadors only: `{name, port, protocol, env}`.
    #[serde(skip_serializing_if = "is_default")]
    pub endpoints: Vec<Value>,
    /// Adapters only: `{port, path, scheme}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Value>,
}

/// Which list of the Pod a helper goes into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifecycle {
    /// `Native` where the cluster has native sidecars (Kubernetes 1.29), else `Container`.
    #[default]
    Auto,
    /// `initContainers`, with `restartPolicy: Always` (KEP-753).
    Native,
    /// `containers`.
    Container,
}

/// Where in its list a container goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlacementSpec {
    /// `First` or `Last`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Names of containers of the same list that must come later; absent ones are ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub before: Vec<String>,
    /// Names of containers of the same list that must come earlier; absent ones are ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub after: Vec<String>,
}

/// An end of a list of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// Before the containers that the Pod has.
    First,
    /// After them.
    Last,
}

/// Files rendered into annotations and mounted through a downward-API volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct FilesSpec {
    /// The directory, absolute.
    pub mount_path: Value,
    /// Permission bits of each file; absent: Kubernetes' default, 0644.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Value>,
    /// File name to content: text, or an object that is written as YAML or JSON by the name's suffix.
    pub items: Map<String, Value>,
}

/// What changes in the application's own containers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AppSpec {
    /// Names; empty: all of them.
    #[serde(skip_serializing_if = "is_default")]
    pub containers: Vec<Value>,
    /// core/v1 EnvVar.
    #[serde(skip_serializing_if = "is_default")]
    pub env: Vec<Value>,
    /// core/v1 VolumeMount.
    #[serde(skip_serializing_if = "is_default")]
    pub volume_mounts: Vec<Value>,
}

/// What is added to the Pod itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodAdditionsSpec {
    /// `metadata.labels`.
    #[serde(skip_serializing_if = "is_default")]
    pub labels: Map<String, Value>,
    /// `metadata.annotations`.
    #[serde(skip_serializing_if = "is_default")]
    pub annotations: Map<String, Value>,
    /// core/v1 Volume.
    #[serde(skip_serializing_if = "is_default")]
    pub volumes: Vec<Value>,
    /// core/v1 LocalObjectReference.
    #[serde(skip_serializing_if = "is_default")]
    pub image_pull_secrets: Vec<Value>,
    /// core/v1 HostAlias.
    #[serde(skip_serializing_if = "is_default")]
    pub host_aliases: Vec<Value>,
    /// `true` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_process_namespace: Option<Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
