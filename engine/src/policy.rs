//! The policy as its author writes it: the types behind `ClusterInjectionPolicy` and `InjectionPolicy`,
//! `outrigger.dev/v1alpha1`.
//!
//! Parts that may hold `${…}` are kept as JSON values; what they must look like once rendered is in
//! `render`. Everything is checked in `compile`. The schema of the CRDs is made from these types and their comments, which
//! `kubectl explain` shows.

pub(crate) mod schema;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::params::{ParameterSpec, Setter};
use crate::selector::LabelSelector;

/// The API group of both kinds.
pub const GROUP: &str = "outrigger.dev";
/// Its version.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of both kinds.
pub const API_VERSION: &str = "outrigger.dev/v1alpha1";
/// The cluster-scoped kind.
pub const CLUSTER_KIND: &str = "ClusterInjectionPolicy";
/// Its name in URLs.
pub const CLUSTER_PLURAL: &str = "clusterinjectionpolicies";
/// The namespaced kind, effective in its own namespace only.
pub const NAMESPACED_KIND: &str = "InjectionPolicy";
/// Its name in URLs.
pub const NAMESPACED_PLURAL: &str = "injectionpolicies";

/// `spec` of a policy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PolicySpec {
    /// What the policy is good for, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
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
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub parameters: Vec<ParameterSpec>,
    /// Claim ports even in Pods that use the node's network.
    #[serde(skip_serializing_if = "is_default")]
    pub allow_host_network: bool,
    /// Helpers beside the application.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 32))]
    pub sidecars: Vec<HelperSpec>,
    /// Helpers that the application talks to on localhost.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 32))]
    pub ambassadors: Vec<HelperSpec>,
    /// Helpers that give the application an interface that the cluster expects.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 32))]
    pub adapters: Vec<HelperSpec>,
    /// Plain init containers.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 32))]
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub conditions: Vec<Condition>,
}

/// A named CEL expression over `object`, `namespaceObject` and `request`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// Named in messages.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Must yield a boolean.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
}

/// A container to inject, and what makes it work.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["container"]))]
pub struct HelperSpec {
    /// A core/v1 Container; fields that Outrigger does not know pass through.
    #[schemars(schema_with = "schema::container")]
    pub container: Map<String, Value>,
    /// Which list the container goes into.
    #[serde(skip_serializing_if = "is_default")]
    pub lifecycle: Lifecycle,
    /// Where in that list; absent: ambassadors first, everything else last.
    #[serde(skip_serializing_if = "is_default")]
    pub placement: PlacementSpec,
    /// One CEL expression as `${…}`; false leaves this entry out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub include_when: Option<String>,
    /// `Inherit`, `None`, or `{audience, expirationSeconds, path}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::untyped")]
    pub service_account_token: Option<Value>,
    /// Directories shared with the application: `{path, readOnly, containers, emptyDir}`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub shared_volumes: Vec<Value>,
    /// Configuration that travels in the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesSpec>,
    /// Ambassadors only: `{name, port, protocol, env}`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::endpoints")]
    pub endpoints: Vec<Value>,
    /// Adapters only: `{port, path, scheme}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::untyped")]
    pub metrics: Option<Value>,
}

/// Which list of the Pod a helper goes into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PlacementSpec {
    /// `First` or `Last`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Names of containers of the same list that must come later; absent ones are ignored.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 256))]
    pub before: Vec<String>,
    /// Names of containers of the same list that must come earlier; absent ones are ignored.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(length(max = 256))]
    pub after: Vec<String>,
}

/// An end of a list of containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Position {
    /// Before the containers that the Pod has.
    First,
    /// After them.
    Last,
}

/// Files rendered into annotations and mounted through a downward-API volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schemars(extend("required" = ["mountPath", "items"]))]
pub struct FilesSpec {
    /// The directory, absolute.
    #[schemars(schema_with = "schema::text")]
    pub mount_path: Value,
    /// Permission bits of each file; absent: Kubernetes' default, 0644.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::number_or_text")]
    pub mode: Option<Value>,
    /// File name to content: text, or an object that is written as YAML or JSON by the name's suffix.
    #[schemars(schema_with = "schema::files")]
    pub items: Map<String, Value>,
}

/// What changes in the application's own containers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AppSpec {
    /// Names; empty: all of them.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::texts")]
    pub containers: Vec<Value>,
    /// core/v1 EnvVar.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub env: Vec<Value>,
    /// core/v1 VolumeMount.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub volume_mounts: Vec<Value>,
}

/// What is added to the Pod itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct PodAdditionsSpec {
    /// `metadata.labels`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::text_map")]
    pub labels: Map<String, Value>,
    /// `metadata.annotations`.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::text_map")]
    pub annotations: Map<String, Value>,
    /// core/v1 Volume.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub volumes: Vec<Value>,
    /// core/v1 LocalObjectReference.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub image_pull_secrets: Vec<Value>,
    /// core/v1 HostAlias.
    #[serde(skip_serializing_if = "is_default")]
    #[schemars(schema_with = "schema::untyped_list")]
    pub host_aliases: Vec<Value>,
    /// `true` or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::untyped")]
    pub share_process_namespace: Option<Value>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
