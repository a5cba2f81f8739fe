//! The checks of one container, a function for each field or group of fields.
use serde_json::{Map, Value};

use super::{Level, USER_NAMESPACES_SINCE, Unless, Violation};

/// What a core/v1 Container violates, whatever the Pod and the namespace; `null` counts as absent.
pub(crate) fn of_container(container: &Map<String, Value>) -> Vec<Violation> {
    let none = Value::Null;
    let context = container.get("securityContext").unwrap_or(&none);
    let mut found = Vec::new();
    privileges(context, &mut found);
    capabilities(context, &mut found);
    user(context, &mut found);
    profiles(context, &mut found);
    proc_mount(context, &mut found);
    host_ports(container, &mut found);
    hosts(container, &mut found);
    found
}

/// Whether a type of seccomp profile confines.
pub(super) fn is_confined(profile: &str) -> bool {
    matches!(profile, "RuntimeDefault" | "Localhost")
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn privileges(context: &Value, found: &mut Vec<Violation>) {
    if context["privileged"] == true {
        found.push(Violation::new(
            Level::Baseline,
            "securityContext.privileged must not be true",
        ));
    }
    if context["windowsOptions"]["hostProcess"] == true {
        let message = "securityContext.windowsOptions.hostProcess must not be true";
        found.push(Violation::new(Level::Baseline, message));
    }
    if context["allowPrivilegeEscalation"] != false {
        let message = "securityContext.allowPrivilegeEscalation must be false";
        found.push(Violation::new(Level::Restricted, message).since(8));
    }
}

/// Capabilities that `baseline` lets containers add: those that container runtimes give anyway.
const USUAL_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn capabilities(context: &Value, found: &mut Vec<Violation>) {
    for added in items(context.pointer("/capabilities/add")) {
        if !USUAL_CAPABILITIES.iter().any(|usual| added == usual) {
            let message = format!("securityContext.capabilities.add must not hold {added}");
            found.push(Violation::new(Level::Baseline, message));
        } else if added != "NET_BIND_SERVICE" {
            let message = format!("securityContext.capabilities.add must not hold {added}");
            found.push(Violation::new(Level::Restricted, message).since(22));
        }
    }
    if !items(context.pointer("/capabilities/drop")).any(|dropped| dropped == "ALL") {
        let message = "securityContext.capabilities.drop must hold ALL";
        found.push(Violation::new(Level::Restricted, message).since(22));
    }
}

fn user(context: &Value, found: &mut Vec<Violation>) {
    let message = "securityContext.runAsNonRoot must be true";
    match &context["runAsNonRoot"] {
        Value::Bool(true) => {}
        Value::Bool(false) => {
            found.push(Violation::new(Level::Restricted, message).unless(&[Unless::UserNamespace]));
        }
        _ => {
            let unless = &[Unless::RunAsNonRoot, Unless::UserNamespace];
            found.push(Violation::new(Level::Restricted, message).unless(unless));
        }
    }
    if context["runAsUser"] == 0 {
        let violation = Violation::new(Level::Restricted, "securityContext.runAsUser must not be 0");
        found.push(violation.since(23).unless(&[Unless::UserNamespace]));
    }
}

fn profiles(context: &Value, found: &mut Vec<Violation>) {
    let app_armor = &context["appArmorProfile"];
    if app_armor.is_object() && !is_confined(app_armor["type"].as_str().unwrap_or_default()) {
        let message = "securityContext.appArmorProfile.type must be RuntimeDefault or Localhost";
        found.push(Violation::new(Level::Baseline, message));
    }
    seccomp(&context["seccompProfile"], found);
    selinux(&context["seLinuxOptions"], found);
}

fn seccomp(profile: &Value, found: &mut Vec<Violation>) {
    let message = "securityContext.seccompProfile.type must be RuntimeDefault or Localhost";
    let violation = |level| Violation::new(level, message).since(19);
    if !profile.is_object() {
        found.push(violation(Level::Restricted).unless(&[Unless::SeccompProfile]));
    } else if !is_confined(profile["type"].as_str().unwrap_or_default()) {
        found.push(violation(Level::Baseline));
    }
}

/// Types of SELinux that `baseline` lets pass.
const SELINUX_TYPES: [&str; 4] = [
    "container_t",
    "container_init_t",
    "container_kvm_t",
    "container_engine_t",
];

fn selinux(options: &Value, found: &mut Vec<Violation>) {
    let set = |field: &str| options[field].as_str().filter(|value| !value.is_empty());
    if set("type").is_some_and(|kind| !SELINUX_TYPES.contains(&kind)) {
        let types = SELINUX_TYPES.join(", ");
        let message = format!("securityContext.seLinuxOptions.type must be one of {types}");
        found.push(Violation::new(Level::Baseline, message));
    }
    for field in ["user", "role"] {
        if set(field).is_some() {
            let message = format!("securityContext.seLinuxOptions.{field} must not be set");
            found.push(Violation::new(Level::Baseline, message));
        }
    }
}

fn proc_mount(context: &Value, found: &mut Vec<Violation>) {
    if context["procMount"].as_str().is_some_and(|kind| kind != "Default") {
        let message = "securityContext.procMount must be Default";
        found.push(Violation::new(Level::Baseline, message).unless(&[Unless::UserNamespace]));
        found.push(Violation::new(Level::Restricted, message).since(USER_NAMESPACES_SINCE));
    }
}

fn host_ports(container: &Map<String, Value>, found: &mut Vec<Violation>) {
    let mut ports = items(container.get("ports")).map(|port| &port["hostPort"]);
    if ports.any(|port| !port.is_null() && port != 0) {
        found.push(Violation::new(Level::Baseline, "ports[].hostPort must not be set"));
    }
}

/// The version that first forbade probes of other hosts.
const PROBE_HOSTS_SINCE: u32 = 34;

fn hosts(container: &Map<String, Value>, found: &mut Vec<Violation>) {
    let none = Value::Null;
    let field = |name: &str| container.get(name).unwrap_or(&none);
    let lifecycle = field("lifecycle");
    let handlers = [
        ("livenessProbe", field("livenessProbe")),
        ("readinessProbe", field("readinessProbe")),
        ("startupProbe", field("startupProbe")),
        ("lifecycle.postStart", &lifecycle["postStart"]),
        ("lifecycle.preStop", &lifecycle["preStop"]),
    ];
    for (name, handler) in handlers {
        for action in ["httpGet", "tcpSocket"] {
            let host = handler[action]["host"].as_str();
            if host.is_some_and(|host| !host.is_empty()) {
                let message = format!("{name}.{action}.host must not be set");
                found.push(Violation::new(Level::Baseline, message).since(PROBE_HOSTS_SINCE));
            }
        }
    }
}
