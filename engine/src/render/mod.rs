//! What a policy adds once its parameters are known: rendered values, decoded and checked.
//!
//! Everything that does not depend on the Pod is rendered and serialised when the policy is loaded; the rest at
//! admission, by the same code.

mod check;
mod container;
mod explain;
mod files;
mod parts;
mod token;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

pub(crate) use check::outside_system_directories;
pub(crate) use container::helper;
pub(crate) use parts::Parts;
pub(crate) use written::Written;

pub(crate) use files::{Format, WARN_BYTES as WARN_FILE_BYTES, format as file_format, sorted, text as file_text};

use crate::field::FieldError;
use crate::pod::List;
use crate::policy::{Lifecycle, PlacementSpec};
use crate::settings::Settings;

/// Which list of the policy a helper comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sidecar,
    Ambassador,
    Adapter,
    Init,
}

impl Kind {
    /// In the order in which a policy's helpers are taken.
    pub(crate) const ALL: [Kind; 4] = [Kind::Ambassador, Kind::Sidecar, Kind::Adapter, Kind::Init];

    /// The list's name in `spec`.
    pub(crate) fn list(self) -> &'static str {
        match self {
            Kind::Ambassador => "ambassadors",
            Kind::Sidecar => "sidecars",
            Kind::Adapter => "adapters",
            Kind::Init => "initContainers",
        }
    }
}

/// A whole policy, rendered.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) helpers: Vec<Helper>,
    pub(crate) app: App,
    pub(crate) pod: PodAdditions,
}

impl Rendered {
    /// Bytes of all files.
    pub(crate) fn file_bytes(&self) -> usize {
        self.helpers
            .iter()
            .flat_map(|helper| &helper.annotations)
            .map(|(_, text)| text.len())
            .sum()
    }

    /// What can only be seen of all helpers together.
    ///
    /// # Errors
    /// When two of them contradict each other, or the files are too long.
    pub(crate) fn check_together(&self) -> Result<(), FieldError> {
        let bytes = self.file_bytes();
        if bytes > files::MAX_BYTES {
            let message = format!(
                "files come to {bytes} bytes; {} are allowed for one policy",
                files::MAX_BYTES
            );
            return Err(FieldError::new("spec", message));
        }
        for (index, helper) in self.helpers.iter().enumerate() {
            for port in &helper.ports {
                let same = |other: &PortClaim| {
                    (other.number == port.number && other.protocol == port.protocol)
                        || (port.name.is_some() && other.name == port.name)
                };
                if let Some(other) = self.helpers[..index].iter().find(|other| other.ports.iter().any(same)) {
                    let message = format!(
                        "containers \"{}\" and \"{}\" both claim port {}/{}; give each its own number and name",
                        other.name, helper.name, port.number, port.protocol
                    );
                    return Err(FieldError::new("spec", message));
                }
            }
        }
        Ok(())
    }
}

/// What a policy comes to with certain parameters. See [`Renderings`].
#[derive(Debug, Clone)]
pub struct Rendering {
    pub(crate) rendered: Arc<Rendered>,
    /// What there is to warn about where it holds.
    pub(crate) warnings: Arc<[String]>,
}

/// Renderings of earlier Pods, for Pods with the same parameters: a workload makes many alike.
///
/// The engine holds no lock, so who makes a [`crate::Snapshot`] may bring this. A key says all that a rendering depends on
/// besides the snapshot; forgetting costs time and changes no answer.
pub trait Renderings: fmt::Debug + Send + Sync {
    /// The rendering that was kept under this key, if there still is one.
    fn recall(&self, key: &str) -> Option<Rendering>;
    /// Keeps a rendering, at will.
    fn keep(&self, key: String, rendering: Rendering);
}

/// A rendered policy: made in advance, or for this Pod and those like it.
pub(crate) enum MaybeOwned<'s> {
    InAdvance(&'s Rendered),
    Shared(Arc<Rendered>),
}

impl std::ops::Deref for MaybeOwned<'_> {
    type Target = Rendered;
    fn deref(&self) -> &Rendered {
        match self {
            MaybeOwned::InAdvance(rendered) => rendered,
            MaybeOwned::Shared(rendered) => rendered,
        }
    }
}

/// One container to inject, with what it brings.
#[derive(Debug)]
pub(crate) struct Helper {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) placement: PlacementSpec,
    /// The container but for `volumeMounts` and, for native sidecars, `restartPolicy`.
    pub(crate) container: Map<String, Value>,
    /// The same as JSON, without the closing brace.
    pub(crate) json: String,
    /// The mounts that do not depend on the Pod: the author's, of files, of a token.
    pub(crate) mounts: Vec<Mount>,
    pub(crate) volumes: Vec<Volume>,
    /// Files, as annotations.
    pub(crate) annotations: Vec<(String, Written<String>)>,
    pub(crate) ports: Vec<PortClaim>,
    /// Variables that tell the application the addresses of endpoints.
    pub(crate) endpoint_env: Vec<EnvVar>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) shared_volumes: Vec<SharedVolume>,
}

impl Helper {
    /// The list of the Pod that it goes into in this cluster, and whether as a native sidecar.
    pub(crate) fn slot(&self, settings: &Settings) -> (List, bool) {
        slot(self.kind, self.lifecycle, settings)
    }

    /// The container with all that does not depend on the Pod.
    pub(crate) fn whole(&self, native: bool) -> Value {
        let mut container = self.container.clone();
        let mounts = self.mounts.iter().map(|mount| (*mount.value).clone()).collect();
        container.insert("volumeMounts".into(), Value::Array(mounts));
        if native {
            container.insert("restartPolicy".into(), "Always".into());
        }
        Value::Object(container)
    }
}

/// The list of the Pod that a helper goes into in this cluster, and whether as a native sidecar.
pub(crate) fn slot(kind: Kind, lifecycle: Lifecycle, settings: &Settings) -> (List, bool) {
    match (kind, lifecycle) {
        (Kind::Init, _) => (List::Init, false),
        (_, Lifecycle::Native) => (List::Init, true),
        (_, Lifecycle::Auto) if settings.native_sidecars() => (List::Init, true),
        (_, Lifecycle::Auto | Lifecycle::Container) => (List::Main, false),
    }
}

/// A core/v1 VolumeMount, with what is compared taken out of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mount {
    pub(crate) volume: String,
    pub(crate) path: String,
    pub(crate) value: Written<Value>,
}

/// A core/v1 Volume by its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) value: Written<Value>,
}

/// A core/v1 EnvVar by its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EnvVar {
    pub(crate) name: String,
    pub(crate) value: Written<Value>,
}

/// A port that no other container of the Pod may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PortClaim {
    pub(crate) number: u16,
    pub(crate) protocol: String,
    pub(crate) name: Option<String>,
}

/// Where an adapter's metrics are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metrics {
    pub(crate) port: u16,
    #[serde(default = "Metrics::default_path")]
    pub(crate) path: String,
    #[serde(default = "Metrics::default_scheme")]
    pub(crate) scheme: String,
}

impl Metrics {
    fn default_path() -> String {
        "/metrics".into()
    }

    fn default_scheme() -> String {
        "http".into()
    }

    /// The annotations by which a Prometheus finds them.
    pub(crate) fn advertisement(&self) -> [(&'static str, String); 4] {
        [
            ("prometheus.io/scrape", "true".to_owned()),
            ("prometheus.io/port", self.port.to_string()),
            ("prometheus.io/path", self.path.clone()),
            ("prometheus.io/scheme", self.scheme.clone()),
        ]
    }
}

/// A directory that a helper and the application have in common.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SharedVolume {
    /// Absolute, without a trailing slash.
    pub(crate) path: String,
    /// The helper only reads.
    pub(crate) read_only: bool,
    /// The application's containers that take part; empty: all of them.
    pub(crate) containers: Vec<String>,
    /// For the volume that is added when the application mounts none there.
    pub(crate) empty_dir: Option<Map<String, Value>>,
    /// That volume, and how the application and the helper mount it.
    pub(crate) volume: Volume,
    pub(crate) app_mount: Mount,
    pub(crate) helper_mount: Mount,
}

/// What changes in the application's own containers.
#[derive(Debug, Default)]
pub(crate) struct App {
    pub(crate) containers: Vec<String>,
    pub(crate) env: Vec<EnvVar>,
    pub(crate) mounts: Vec<Mount>,
}

/// What is added to the Pod itself.
#[derive(Debug, Default)]
pub(crate) struct PodAdditions {
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) annotations: Vec<(String, Written<String>)>,
    pub(crate) volumes: Vec<Volume>,
    pub(crate) image_pull_secrets: Vec<(String, Value)>,
    pub(crate) host_aliases: Vec<HostAlias>,
    pub(crate) share_process_namespace: bool,
}

/// A core/v1 HostAlias.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostAlias {
    pub(crate) ip: String,
    #[serde(default)]
    pub(crate) hostnames: Vec<String>,
}

/// Decodes a rendered value, with the path of what does not fit.
pub(crate) fn decode<'de, T: Deserialize<'de>>(value: &'de Value, path: &str) -> Result<T, FieldError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let inner = error.path().to_string();
        let path = match inner.as_str() {
            "." | "" => path.to_owned(),
            inner if inner.starts_with('[') => format!("{path}{inner}"),
            inner => format!("{path}.{inner}"),
        };
        explain::misfit(path, &error.into_inner().to_string())
    })
}

/// The types of what is there of a container.
///
/// # Errors
/// The path of a field that core/v1 has with another type.
pub(crate) fn check_container_types(container: &Value, path: &str) -> Result<(), FieldError> {
    check::types::<k8s_openapi::api::core::v1::Container>(container, path)
}

/// `spec.app`, rendered.
pub(crate) fn app(value: &Value, path: &str) -> Result<App, FieldError> {
    let list = |key: &str| value.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mounts = check::mounts(list("volumeMounts"), &format!("{path}.volumeMounts"))?;
    for (index, mount) in mounts.iter().enumerate() {
        check::hides_no_system_directory(&mount.path)
            .map_err(|message| FieldError::new(format!("{path}.volumeMounts[{index}].mountPath"), message))?;
    }
    Ok(App {
        containers: match value.get("containers") {
            Some(names) => decode(names, &format!("{path}.containers"))?,
            None => Vec::new(),
        },
        env: check::env(list("env"), &format!("{path}.env"))?,
        mounts,
    })
}

/// `spec.pod`, rendered.
pub(crate) fn pod(value: &Value, path: &str) -> Result<PodAdditions, FieldError> {
    let list = |key: &str| value.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let pairs = |key: &str| -> Result<Vec<(String, String)>, FieldError> {
        let Some(value) = value.get(key) else {
            return Ok(Vec::new());
        };
        let pairs: BTreeMap<String, String> = decode(value, &format!("{path}.{key}"))?;
        pairs
            .iter()
            .try_for_each(|(name, value)| check::metadata_entry(key, name, value, path))?;
        Ok(pairs.into_iter().collect())
    };
    let secrets = list("imagePullSecrets").iter().enumerate().map(|(index, secret)| {
        check::named(secret, &format!("{path}.imagePullSecrets[{index}]")).map(|name| (name, secret.clone()))
    });
    Ok(PodAdditions {
        labels: pairs("labels")?,
        annotations: pairs("annotations")?
            .into_iter()
            .map(|(key, value)| (key, Written::new(value)))
            .collect(),
        volumes: check::volumes(list("volumes"), &format!("{path}.volumes"))?,
        image_pull_secrets: secrets.collect::<Result<_, _>>()?,
        host_aliases: match value.get("hostAliases") {
            Some(aliases) => check::host_aliases(aliases, &format!("{path}.hostAliases"))?,
            None => Vec::new(),
        },
        share_process_namespace: match value.get("shareProcessNamespace") {
            None => false,
            Some(Value::Bool(set)) => *set,
            Some(_) => {
                return Err(FieldError::new(
                    format!("{path}.shareProcessNamespace"),
                    "must be true, or absent",
                ));
            }
        },
    })
}
