//! What PodSecurity admission would hold against the things that a policy adds to a Pod.
//!
//! The standards are Kubernetes' own (<https://kubernetes.io/docs/concepts/security/pod-security-standards/>), field by
//! field, as version 1.37 checks them. It knows no request, plan or patch: containers, volumes and annotations in,
//! violations out. What a thing violates does not depend on the Pod, so it is found when the policy is rendered; which of
//! that counts depends on the namespace's [`Standard`] and the Pod's own [`Defaults`].

mod container;
#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::snapshot::Namespace;

pub(crate) use container::of_container;

/// The label of a namespace that says which level its Pods must keep.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
/// The label that says by which version's rules.
const ENFORCE_VERSION: &str = "pod-security.kubernetes.io/enforce-version";
/// Annotations by which Pods set AppArmor profiles before 1.30.
const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// How much a namespace lets Pods do, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// As in the label.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

/// What a namespace enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standard {
    pub(crate) level: Level,
    /// The minor version of Kubernetes 1.x whose rules hold.
    minor: u32,
}

impl Standard {
    /// By the labels of `namespace`, as PodSecurity admission reads them: a level that it does not know is the strictest,
    /// a version that it does not know the newest.
    pub(crate) fn of(namespace: &Namespace) -> Standard {
        let level = match namespace.label(ENFORCE) {
            None | Some("privileged") => Level::Privileged,
            Some("baseline") => Level::Baseline,
            Some(_) => Level::Restricted,
        };
        let version = namespace.label(ENFORCE_VERSION);
        let minor = version
            .and_then(|version| version.strip_prefix("v1."))
            .and_then(|minor| minor.parse().ok());
        Standard {
            level,
            minor: minor.unwrap_or(u32::MAX),
        }
    }

    /// Which of `violations` count here, for a Pod with these defaults.
    pub(crate) fn forbids<'v>(
        self,
        violations: &'v [Violation],
        defaults: &Defaults,
    ) -> impl Iterator<Item = &'v Violation> {
        let defaults = *defaults;
        violations.iter().filter(move |violation| {
            violation.level <= self.level
                && violation.since <= self.minor
                && !violation
                    .unless
                    .iter()
                    .any(|unless| unless.holds(&defaults, self.minor))
        })
    }
}

/// Something that a level forbids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The least level that forbids it.
    pub(crate) level: Level,
    /// The minor version whose rules forbid it first.
    since: u32,
    /// What of the Pod makes it good.
    unless: &'static [Unless],
    /// The field, and what it must be.
    pub(crate) message: String,
}

impl Violation {
    fn new(level: Level, message: impl Into<String>) -> Violation {
        Violation {
            level,
            since: 0,
            unless: &[],
            message: message.into(),
        }
    }

    fn since(self, since: u32) -> Violation {
        Violation { since, ..self }
    }

    fn unless(self, unless: &'static [Unless]) -> Violation {
        Violation { unless, ..self }
    }
}

/// What of a Pod's own makes a violation of one of its containers good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unless {
    RunAsNonRoot,
    SeccompProfile,
    /// KEP-127: root in a user namespace of the Pod's own is not the node's root.
    UserNamespace,
}

/// The first minor version whose rules are milder in a user namespace.
const USER_NAMESPACES_SINCE: u32 = 35;

impl Unless {
    fn holds(self, defaults: &Defaults, minor: u32) -> bool {
        match self {
            Unless::RunAsNonRoot => defaults.run_as_non_root,
            Unless::SeccompProfile => defaults.seccomp_profile,
            Unless::UserNamespace => defaults.user_namespace && minor >= USER_NAMESPACES_SINCE,
        }
    }
}

/// What a Pod says for all of its containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Defaults {
    /// `spec.securityContext.runAsNonRoot` is true.
    run_as_non_root: bool,
    /// `spec.securityContext.seccompProfile` is one that `restricted` lets pass.
    seccomp_profile: bool,
    /// `spec.hostUsers` is false.
    user_namespace: bool,
}

impl Defaults {
    /// From a Pod's `spec.securityContext` and `spec.hostUsers`.
    pub(crate) fn of(security_context: Option<&Value>, host_users: Option<bool>) -> Defaults {
        let set = |path: &str| security_context.and_then(|context| context.pointer(path));
        let seccomp = set("/seccompProfile/type").and_then(Value::as_str);
        Defaults {
            run_as_non_root: set("/runAsNonRoot") == Some(&Value::Bool(true)),
            seccomp_profile: seccomp.is_some_and(container::is_confined),
            user_namespace: host_users == Some(false),
        }
    }
}

/// Sources of a volume that `restricted` lets pass.
const VOLUMES: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// What a core/v1 Volume violates.
pub(crate) fn of_volume(volume: &Value) -> Option<Violation> {
    let has = |source: &str| volume.get(source).is_some_and(|source| !source.is_null());
    if has("hostPath") {
        return Some(Violation::new(Level::Baseline, "hostPath is not allowed"));
    }
    let allowed = VOLUMES.into_iter().any(has);
    (!allowed).then(|| {
        Violation::new(
            Level::Restricted,
            format!("its source must be one of {}", VOLUMES.join(", ")),
        )
    })
}

/// What an annotation of the Pod violates.
pub(crate) fn of_annotation(key: &str, value: &str) -> Option<Violation> {
    let allowed = !key.starts_with(APP_ARMOR)
        || value.is_empty()
        || value == "runtime/default"
        || value.starts_with("localhost/");
    (!allowed).then(|| Violation::new(Level::Baseline, "must be runtime/default or localhost/…"))
}
