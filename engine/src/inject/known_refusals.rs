//! What the API server would refuse for a helper's sake, found before it does: otherwise a policy that nobody asked for
//! could cost an application its Pod.
//!
//! What cannot be known here is not looked at: quotas, LimitRanges, other admission plugins.

use serde_json::Value;

use super::plan::{Candidate, Presence};
use crate::pod::Spec;
use crate::pod_security::{self, Defaults, Level, Standard, Violation};
use crate::render::{Helper, Rendered};
use crate::snapshot::Namespace;

/// Why the API server would refuse a Pod with what `candidate` adds to it.
pub(super) fn find(candidate: &Candidate<'_>, spec: &Spec<'_>, namespace: &Namespace) -> Option<String> {
    let rendered: &Rendered = &candidate.rendered;
    let helpers = rendered.helpers.iter().zip(&candidate.present);
    let absent: Vec<&Helper> = helpers
        .filter(|(_, presence)| !matches!(presence, Presence::Ours(_)))
        .map(|(helper, _)| helper)
        .collect();
    operating_system(&absent, rendered, spec)
        .or_else(|| level(&absent, rendered, spec, Standard::of(namespace), namespace))
}

/// Fields of a container's security context that a Pod for Windows may not have.
const LINUX_ONLY: [&str; 10] = [
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
];

/// A helper is for Windows when its policy says `securityContext.windowsOptions`, else for Linux.
fn operating_system(helpers: &[&Helper], rendered: &Rendered, spec: &Spec<'_>) -> Option<String> {
    let declared = spec.os.as_ref().map(|os| &*os.name);
    let windows = declared == Some("windows") || spec.node_selector.get("kubernetes.io/os") == Some("windows");
    for helper in helpers {
        let name = &helper.name;
        let context = |field: &str| {
            let context = helper.container.get("securityContext")?;
            context.get(field).filter(|value| !value.is_null())
        };
        match (windows, context("windowsOptions").is_some()) {
            (true, false) => {
                return Some(format!(
                    "the Pod is for Windows, and container \"{name}\" is for Linux; in a policy for Windows set securityContext.windowsOptions"
                ));
            }
            (false, true) if declared == Some("linux") => {
                return Some(format!("the Pod is for Linux, and container \"{name}\" is for Windows"));
            }
            (true, true) => {
                if let Some(field) = LINUX_ONLY.into_iter().find(|field| context(field).is_some()) {
                    return Some(format!(
                        "container \"{name}\" sets securityContext.{field}, which a Pod for Windows may not have"
                    ));
                }
            }
            _ => {}
        }
    }
    (windows && rendered.pod.share_process_namespace)
        .then(|| "a Pod for Windows may not have shareProcessNamespace".to_owned())
}

fn level(
    helpers: &[&Helper],
    rendered: &Rendered,
    spec: &Spec<'_>,
    standard: Standard,
    namespace: &Namespace,
) -> Option<String> {
    if standard.level == Level::Privileged {
        return None;
    }
    let context = spec
        .security_context
        .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    let defaults = Defaults::of(context.as_ref(), spec.host_users);
    let forbidden = |what: String, violations: &[Violation]| {
        let found: Vec<&str> = standard
            .forbids(violations, &defaults)
            .map(|violation| violation.message.as_str())
            .collect();
        let (level, namespace, found) = (standard.level.as_str(), &namespace.name, found.join("; "));
        (!found.is_empty()).then(|| {
            format!("{what} is not allowed at the PodSecurity level {level} of namespace \"{namespace}\": {found}")
        })
    };
    let mut of_helpers = helpers.iter().filter_map(|helper| {
        forbidden(
            format!("container \"{}\"", helper.name),
            &pod_security::of_container(&helper.container),
        )
    });
    let mut of_volumes = rendered.pod.volumes.iter().filter_map(|volume| {
        forbidden(
            format!("volume \"{}\"", volume.name),
            pod_security::of_volume(&volume.value).as_slice(),
        )
    });
    let mut of_annotations = rendered.pod.annotations.iter().filter_map(|(key, value)| {
        forbidden(
            format!("annotation {key}"),
            pod_security::of_annotation(key, value).as_slice(),
        )
    });
    of_helpers
        .next()
        .or_else(|| of_volumes.next())
        .or_else(|| of_annotations.next())
}
