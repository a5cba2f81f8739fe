//! What Kubernetes' own validation demands of the values that a policy renders: a Pod must not be refused for the sake
//! of a helper that could have been known to be wrong.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{EnvVar, HostAlias, Mount, PortClaim, Volume, Written, decode};
use crate::field::FieldError;
use crate::names;
use crate::quantity;

/// Directories that an empty volume, or somebody else's volume, must not hide: exactly these.
const SYSTEM_DIRECTORIES: [&str; 4] = ["/", "/etc", "/usr", "/usr/local"];
/// And these with everything below them.
const SYSTEM_TREES: [&str; 11] = [
    "/bin",
    "/sbin",
    "/proc",
    "/sys",
    "/dev",
    "/usr/bin",
    "/usr/sbin",
    "/usr/local/bin",
    "/usr/local/lib",
    "/var/run/secrets",
    "/run/secrets",
];

/// An absolute path without `.`, doubled or trailing slashes.
///
/// # Errors
/// For relative paths, and for `..`, which Kubernetes refuses in a mount's path too.
pub(crate) fn normalise_path(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("\"{path}\" is not an absolute path; begin it with '/'"));
    }
    if path.contains(':') {
        return Err(format!(
            "\"{path}\" holds a ':', which Kubernetes does not allow in the path of a mount"
        ));
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(format!("\"{path}\" holds '..'; write the path that is meant"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Whether a volume mounted at `path`, normalised, would hide a directory that an image cannot do without.
pub(crate) fn outside_system_directories(path: &str) -> bool {
    let in_tree = |tree: &str| {
        path.strip_prefix(tree)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let library = |parent: &str| {
        path.strip_prefix(parent)
            .and_then(|rest| rest.strip_prefix("/lib"))
            .is_some_and(|rest| {
                let name = rest.split('/').next().unwrap_or_default();
                matches!(name, "" | "32" | "64" | "x32" | "exec")
            })
    };
    !(SYSTEM_DIRECTORIES.contains(&path)
        || SYSTEM_TREES.iter().any(|tree| in_tree(tree))
        || library("")
        || library("/usr"))
}

/// The same as an error, for a path that a policy has.
pub(crate) fn hides_no_system_directory(path: &str) -> Result<(), String> {
    match outside_system_directories(path) {
        true => Ok(()),
        false => Err(format!(
            "a volume at {path} would hide a system directory of the image; choose another"
        )),
    }
}

/// A container whose values are final: types as in core/v1, then the rules that a type does not say.
pub(crate) fn container(container: &Map<String, Value>, path: &str) -> Result<(), FieldError> {
    types::<k8s_openapi::api::core::v1::Container>(&Value::Object(container.clone()), path)?;
    let text = |key: &str| container.get(key).and_then(Value::as_str).unwrap_or_default();
    for required in ["name", "image"] {
        if text(required).is_empty() {
            let message = format!("is missing; write the container's {required}");
            return Err(FieldError::new(format!("{path}.{required}"), message));
        }
    }
    names::dns_label(text("name")).map_err(|message| FieldError::new(format!("{path}.name"), message))?;
    if text("image").trim().is_empty() || text("image") != text("image").trim() {
        let message = format!(
            "\"{}\" is not an image's name; write one, without spaces",
            text("image")
        );
        return Err(FieldError::new(format!("{path}.image"), message));
    }
    one_of(
        text("imagePullPolicy"),
        &["Always", "IfNotPresent", "Never"],
        &format!("{path}.imagePullPolicy"),
    )?;
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(Value::Object(probe_there)) = container.get(probe) {
            let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
            exactly_one(probe_there, &handlers, &format!("{path}.{probe}"))?;
        }
    }
    quantities(container, path)?;
    requests_within_limits(container, path)
}

/// A choice; empty where nothing is said.
fn one_of(choice: &str, known: &[&str], path: &str) -> Result<(), FieldError> {
    if choice.is_empty() || known.contains(&choice) {
        return Ok(());
    }
    let message = format!("\"{choice}\" is not a choice; write {}", known.join(" or "));
    Err(FieldError::new(path, message))
}

/// Kubernetes wants one of `fields`.
fn exactly_one(members: &Map<String, Value>, fields: &[&str], path: &str) -> Result<(), FieldError> {
    let set = |field: &&&str| members.get(**field).is_some_and(|value| !value.is_null());
    let there: Vec<&str> = fields.iter().filter(set).copied().collect();
    match there[..] {
        [_] => Ok(()),
        [] => Err(FieldError::new(
            path,
            format!("says nothing to do; write {}", fields.join(" or ")),
        )),
        [_, ..] => Err(FieldError::new(
            path,
            format!("has {}; write one of them", there.join(" and ")),
        )),
    }
}

/// Kubernetes refuses a request above its limit, which two parameters may well come to.
fn requests_within_limits(container: &Map<String, Value>, path: &str) -> Result<(), FieldError> {
    let amounts = |group: &str| container.get("resources")?.get(group)?.as_object();
    for (resource, limit) in amounts("limits").into_iter().flatten() {
        let request = amounts("requests").and_then(|requests| requests.get(resource));
        let Some(request) = request.filter(|request| quantity::of(request) > quantity::of(limit)) else {
            continue;
        };
        let text = |amount: &Value| amount.as_str().map_or(amount.to_string(), str::to_owned);
        let message = format!(
            "{} is more than the limit {}; lower it, or raise the limit",
            text(request),
            text(limit)
        );
        return Err(FieldError::new(
            format!("{path}.resources.requests.{resource}"),
            message,
        ));
    }
    Ok(())
}

/// Whether `value` decodes as the Kubernetes type `T`; unknown fields are fine.
pub(crate) fn types<T: DeserializeOwned>(value: &Value, path: &str) -> Result<(), FieldError> {
    decode::<T>(value, path).map(drop)
}

fn quantities(container: &Map<String, Value>, path: &str) -> Result<(), FieldError> {
    for group in ["limits", "requests"] {
        let amounts = container
            .get("resources")
            .and_then(|r| r.get(group))
            .and_then(Value::as_object);
        for (resource, amount) in amounts.into_iter().flatten() {
            if quantity::of(amount).is_none_or(|amount| amount < 0) {
                let message = format!("{amount} is not a quantity; write one like 100m or 64Mi");
                return Err(FieldError::new(format!("{path}.resources.{group}.{resource}"), message));
            }
        }
    }
    Ok(())
}

/// A list of core/v1 EnvVar.
pub(crate) fn env(items: &[Value], path: &str) -> Result<Vec<EnvVar>, FieldError> {
    let mut variables: Vec<EnvVar> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        types::<k8s_openapi::api::core::v1::EnvVar>(item, &path)?;
        let name = named(item, &path)?;
        if name.contains('=') || name.chars().any(|c| !(' '..='~').contains(&c)) {
            let message = format!("\"{name}\" cannot be a variable's name; use printable ASCII without '='");
            return Err(FieldError::new(format!("{path}.name"), message));
        }
        variable_source(item, &path)?;
        if variables.iter().any(|other| other.name == name) {
            return Err(FieldError::new(
                path,
                format!("sets the variable {name} again; set it once"),
            ));
        }
        variables.push(EnvVar {
            name,
            value: Written::new(item.clone()),
        });
    }
    Ok(variables)
}

/// A variable has a value or one source.
fn variable_source(item: &Value, path: &str) -> Result<(), FieldError> {
    let Some(Value::Object(source)) = item.get("valueFrom") else {
        return Ok(());
    };
    if item
        .get("value")
        .and_then(Value::as_str)
        .is_some_and(|value| !value.is_empty())
    {
        return Err(FieldError::new(path, "has value and valueFrom; write one of them"));
    }
    let path = format!("{path}.valueFrom");
    match source.values().filter(|value| !value.is_null()).count() {
        1 => Ok(()),
        0 => Err(FieldError::new(
            path,
            "names no source; write fieldRef, secretKeyRef or another",
        )),
        _ => Err(FieldError::new(path, "names more than one source; write one")),
    }
}

/// A list of core/v1 VolumeMount.
pub(crate) fn mounts(items: &[Value], path: &str) -> Result<Vec<Mount>, FieldError> {
    let mut mounts: Vec<Mount> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let item_path = format!("{path}[{index}]");
        types::<k8s_openapi::api::core::v1::VolumeMount>(item, &item_path)?;
        let mount = mount(item, &item_path)?;
        add_mount(&mut mounts, mount).map_err(|message| FieldError::new(item_path, message))?;
    }
    Ok(mounts)
}

/// Adds a mount to those of one container.
///
/// # Errors
/// When something else is mounted there already.
pub(crate) fn add_mount(mounts: &mut Vec<Mount>, mount: Mount) -> Result<(), String> {
    if mounts.iter().any(|other| other.path == mount.path) {
        return Err(format!("mounts {} again; mount one volume there", mount.path));
    }
    mounts.push(mount);
    Ok(())
}

fn mount(item: &Value, path: &str) -> Result<Mount, FieldError> {
    let volume = named(item, path)?;
    let mount_path = item.get("mountPath").and_then(Value::as_str).unwrap_or_default();
    let normal = normalise_path(mount_path).map_err(|m| FieldError::new(format!("{path}.mountPath"), m))?;
    sub_path(item, path)?;
    let propagation = item.get("mountPropagation").and_then(Value::as_str).unwrap_or_default();
    let known = ["None", "HostToContainer", "Bidirectional"];
    one_of(propagation, &known, &format!("{path}.mountPropagation"))?;
    Ok(Mount {
        volume,
        path: normal,
        value: Written::new(item.clone()),
    })
}

/// A `subPath` stays within its volume.
fn sub_path(item: &Value, path: &str) -> Result<(), FieldError> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    if !text("subPath").is_empty() && !text("subPathExpr").is_empty() {
        return Err(FieldError::new(path, "has subPath and subPathExpr; write one of them"));
    }
    for key in ["subPath", "subPathExpr"] {
        let sub_path = text(key);
        if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
            let message = format!("\"{sub_path}\" leaves the volume; write a path below it, without '..'");
            return Err(FieldError::new(format!("{path}.{key}"), message));
        }
    }
    Ok(())
}

/// A list of core/v1 HostAlias.
pub(crate) fn host_aliases(items: &Value, path: &str) -> Result<Vec<HostAlias>, FieldError> {
    let aliases: Vec<HostAlias> = decode(items, path)?;
    for (index, alias) in aliases.iter().enumerate() {
        if alias.ip.parse::<std::net::IpAddr>().is_err() {
            let message = format!("\"{}\" is not an address; write one like 10.0.0.1", alias.ip);
            return Err(FieldError::new(format!("{path}[{index}].ip"), message));
        }
    }
    Ok(aliases)
}

/// An `emptyDir`: its type, and the quantity in it.
pub(crate) fn empty_dir(value: &Value, path: &str) -> Result<(), FieldError> {
    types::<k8s_openapi::api::core::v1::EmptyDirVolumeSource>(value, path)?;
    match value.get("sizeLimit").filter(|limit| !limit.is_null()) {
        Some(limit) if quantity::of(limit).is_none_or(|amount| amount < 0) => {
            let message = format!("{limit} is not a quantity; write one like 64Mi or 1Gi");
            Err(FieldError::new(format!("{path}.sizeLimit"), message))
        }
        _ => Ok(()),
    }
}

/// A list of core/v1 Volume.
pub(crate) fn volumes(items: &[Value], path: &str) -> Result<Vec<Volume>, FieldError> {
    let mut volumes: Vec<Volume> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{path}[{index}]");
        types::<k8s_openapi::api::core::v1::Volume>(item, &path)?;
        let name = named(item, &path)?;
        names::dns_label(&name).map_err(|message| FieldError::new(format!("{path}.name"), message))?;
        volume_source(item, &path)?;
        if volumes.iter().any(|other| other.name == name) {
            return Err(FieldError::new(
                path,
                format!("there is a volume \"{name}\" already; name this one differently"),
            ));
        }
        volumes.push(Volume {
            name,
            value: Written::new(item.clone()),
        });
    }
    Ok(volumes)
}

/// A volume has one source at most: without any it is an empty directory.
fn volume_source(item: &Value, path: &str) -> Result<(), FieldError> {
    let members = item.as_object().into_iter().flatten();
    let sources: Vec<&str> = members
        .filter(|(key, value)| *key != "name" && !value.is_null())
        .map(|(key, _)| key.as_str())
        .collect();
    if sources.len() > 1 {
        let message = format!("has {}; write one of them", sources.join(" and "));
        return Err(FieldError::new(path, message));
    }
    match item.get("emptyDir") {
        Some(source) if !source.is_null() => empty_dir(source, &format!("{path}.emptyDir")),
        _ => Ok(()),
    }
}

/// The ports that a container declares.
pub(crate) fn ports(container: &Map<String, Value>, path: &str) -> Result<Vec<PortClaim>, FieldError> {
    let items = container
        .get("ports")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let claim = |(index, item): (usize, &Value)| {
        let path = format!("{path}.ports[{index}]");
        let number = port_number(item.get("containerPort"), &format!("{path}.containerPort"))?;
        let protocol = protocol(
            item.get("protocol").and_then(Value::as_str),
            &format!("{path}.protocol"),
        )?;
        let name = item.get("name").and_then(Value::as_str).map(String::from);
        if let Some(name) = &name {
            names::port_name(name).map_err(|message| FieldError::new(format!("{path}.name"), message))?;
        }
        Ok(PortClaim { number, protocol, name })
    };
    items.iter().enumerate().map(claim).collect()
}

/// A number from 1 to 65535.
pub(crate) fn port_number(value: Option<&Value>, path: &str) -> Result<u16, FieldError> {
    let number = value
        .and_then(Value::as_u64)
        .and_then(|number| u16::try_from(number).ok())
        .filter(|n| *n > 0);
    number.ok_or_else(|| {
        let found = value.map_or("is missing".into(), |found| format!("{found} is not a port"));
        FieldError::new(path, format!("{found}; write a number from 1 to 65535"))
    })
}

/// TCP where nothing is said.
pub(crate) fn protocol(value: Option<&str>, path: &str) -> Result<String, FieldError> {
    match value.unwrap_or("TCP") {
        "" => Ok("TCP".into()),
        known @ ("TCP" | "UDP" | "SCTP") => Ok(known.into()),
        other => Err(FieldError::new(
            path,
            format!("\"{other}\" is not a protocol; write TCP, UDP or SCTP"),
        )),
    }
}

/// The `name` of an object.
pub(crate) fn named(item: &Value, path: &str) -> Result<String, FieldError> {
    if !item.is_object() {
        return Err(FieldError::new(path, "must be an object with a name"));
    }
    match item.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(FieldError::new(format!("{path}.name"), "is missing; write a name")),
    }
}

/// A label or annotation that a policy wants to add.
pub(crate) fn metadata_entry(kind: &str, key: &str, value: &str, path: &str) -> Result<(), FieldError> {
    let at = |message| FieldError::new(format!("{path}.{kind}[\"{key}\"]"), message);
    names::qualified_name(key).map_err(at)?;
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    if domain == "outrigger.dev" || domain.ends_with(".outrigger.dev") {
        return Err(at(
            "names under outrigger.dev are Outrigger's own; choose another".into()
        ));
    }
    if kind == "labels" {
        names::label_value(value).map_err(at)?;
    }
    Ok(())
}
