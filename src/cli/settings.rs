//! What policies go by besides Pods and namespaces: the same flags for every command that decides about Pods.
use clap::Args;
use outrigger_engine::Settings;
use std::time::Duration;

/// How the cluster is set up.
#[derive(Debug, Args)]
pub(super) struct SettingsArgs {
    /// Kubernetes version of the cluster, which decides how sidecars are made [default: the cluster's; without one 1.37]
    #[arg(long, value_name = "1.N", value_parser = kubernetes_minor)]
    kubernetes_version: Option<u32>,
    /// Further namespace whose Pods are never touched; may be given several times
    #[arg(long, value_name = "NAME")]
    protected_namespace: Vec<String>,
    /// Further container that a service mesh adds, and that is not the application's; may be given several times
    #[arg(long, value_name = "NAME")]
    mesh_container: Vec<String>,
    /// Fields of a container that others may change in helpers of Required policies, e.g. image
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    foreign_changes: Vec<String>,
}

impl SettingsArgs {
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        if let Some(minor) = self.kubernetes_version {
            settings.kubernetes_minor = minor;
        }
        settings
            .protected_namespaces
            .extend(self.protected_namespace.iter().cloned());
        settings.mesh_containers.extend(self.mesh_container.iter().cloned());
        settings.foreign_changes.extend(self.foreign_changes.iter().cloned());
        settings
    }

    /// Whether the version of Kubernetes is given, and not to be found out.
    pub(super) fn names_a_version(&self) -> bool {
        self.kubernetes_version.is_some()
    }
}

fn kubernetes_minor(text: &str) -> Result<u32, String> {
    let mut parts = text.trim_start_matches('v').split('.');
    match (parts.next(), parts.next().and_then(|minor| minor.parse().ok())) {
        (Some("1"), Some(minor)) => Ok(minor),
        _ => Err("write it as 1.37".into()),
    }
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number
        .parse()
        .map(Duration::from_secs)
        .map_err(|_| "write whole seconds, as 10s".into())
}
