//! One helper: its container, and everything that comes with it.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::parts::Parts;
use super::{
    EnvVar, Helper, Kind, Metrics, Mount, PortClaim, SharedVolume, Volume, Written, check, decode, files, token,
};
use crate::field::FieldError;
use crate::names;

/// Checks a helper's rendered values and makes it ready to be written into a patch.
pub(crate) fn helper(parts: &Parts<'_>) -> Result<Helper, FieldError> {
    let path = |field: &str| format!("{}.{field}", parts.path);
    let container = parts.value.get("container").and_then(Value::as_object);
    let Some(mut container) = container.filter(|container| !container.is_empty()).cloned() else {
        return Err(FieldError::new(
            path("container"),
            "is missing; write a core/v1 Container",
        ));
    };
    refuse_fields(&container, parts)?;
    check::container(&container, &path("container"))?;
    let mounts = container
        .shift_remove("volumeMounts")
        .unwrap_or(Value::Array(Vec::new()));
    let mut helper = Helper {
        kind: parts.kind,
        name: container
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        lifecycle: parts.lifecycle,
        placement: parts.placement.clone(),
        json: String::new(),
        mounts: check::mounts(list(&mounts), &path("container.volumeMounts"))?,
        volumes: Vec::new(),
        annotations: Vec::new(),
        ports: check::ports(&container, &path("container"))?,
        endpoint_env: Vec::new(),
        metrics: None,
        shared_volumes: shared_volumes(parts)?,
        container: Map::new(),
    };
    check::env(
        container.get("env").map_or(&[], |env| list(env)),
        &path("container.env"),
    )?;
    endpoints(&mut helper, parts)?;
    metrics(&mut helper, &mut container, parts)?;
    files::add(&mut helper, parts)?;
    token::add(&mut helper, parts)?;
    distinct_ports(&helper.ports, &path("container.ports"))?;
    helper.json = open_object(&container);
    helper.container = container;
    Ok(helper)
}

/// The object as JSON without its closing brace, so that members can follow.
fn open_object(container: &Map<String, Value>) -> String {
    // Writing JSON values does not fail.
    let mut json = serde_json::to_string(container).unwrap_or_default();
    json.pop();
    json
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Fields that the policy says in another place, or that Kubernetes refuses in such a container.
fn refuse_fields(container: &Map<String, Value>, parts: &Parts<'_>) -> Result<(), FieldError> {
    let refuse = |field: &str, message: &str| match container.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(_) => Err(FieldError::new(format!("{}.container.{field}", parts.path), message)),
    };
    if parts.kind != Kind::Init {
        return refuse(
            "restartPolicy",
            "is made from the entry's lifecycle; write lifecycle: Native there, and drop this",
        );
    }
    refuse(
        "restartPolicy",
        "makes a native sidecar of an init container; move the entry to sidecars, and drop this",
    )?;
    ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
        .iter()
        .try_for_each(|field| {
            refuse(
                field,
                "is not allowed in an init container, which runs to its end; drop it, or move the entry to sidecars",
            )
        })
}

/// A shared directory as the policy has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SharedVolumeSpec {
    path: String,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    containers: Vec<String>,
    #[serde(default)]
    empty_dir: Option<Map<String, Value>>,
}

impl SharedVolumeSpec {
    /// With what is added where the application mounts nothing there.
    fn with_additions(self) -> SharedVolume {
        let name = names::label_from("outrigger-", &self.path);
        let empty_dir = self.empty_dir.clone().unwrap_or_default();
        let mount = |value| Mount {
            volume: name.clone(),
            path: self.path.clone(),
            value: Written::new(value),
        };
        let app_mount = json!({"name": name, "mountPath": self.path});
        let helper_mount = match self.read_only {
            true => json!({"name": name, "mountPath": self.path, "readOnly": true}),
            false => app_mount.clone(),
        };
        SharedVolume {
            app_mount: mount(app_mount),
            helper_mount: mount(helper_mount),
            volume: Volume {
                value: Written::new(json!({"name": name, "emptyDir": empty_dir})),
                name,
            },
            path: self.path,
            read_only: self.read_only,
            containers: self.containers,
            empty_dir: self.empty_dir,
        }
    }
}

fn shared_volumes(parts: &Parts<'_>) -> Result<Vec<SharedVolume>, FieldError> {
    let items = parts.value.get("sharedVolumes").map_or(&[][..], list);
    let mut shared: Vec<SharedVolume> = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let path = format!("{}.sharedVolumes[{index}]", parts.path);
        let mut volume: SharedVolumeSpec = decode(item, &path)?;
        let bad_path = |message| FieldError::new(format!("{path}.path"), message);
        volume.path = check::normalise_path(&volume.path).map_err(bad_path)?;
        check::hides_no_system_directory(&volume.path).map_err(bad_path)?;
        if let Some(empty_dir) = &volume.empty_dir {
            let value = Value::Object(empty_dir.clone());
            check::empty_dir(&value, &format!("{path}.emptyDir"))?;
        }
        if shared.iter().any(|other| other.path == volume.path) {
            return Err(bad_path(format!(
                "{} is shared already by this entry; name it once",
                volume.path
            )));
        }
        shared.push(volume.with_additions());
    }
    Ok(shared)
}

fn endpoints(helper: &mut Helper, parts: &Parts<'_>) -> Result<(), FieldError> {
    for (index, item) in parts.value.get("endpoints").map_or(&[][..], list).iter().enumerate() {
        let path = format!("{}.endpoints[{index}]", parts.path);
        refuse_unknown(item, &["name", "port", "protocol", "env"], &path)?;
        let number = check::port_number(item.get("port"), &format!("{path}.port"))?;
        let protocol = check::protocol(
            item.get("protocol").and_then(Value::as_str),
            &format!("{path}.protocol"),
        )?;
        claim(
            &mut helper.ports,
            PortClaim {
                number,
                protocol,
                name: None,
            },
        );
        for variable in check::env(item.get("env").map_or(&[], |env| list(env)), &format!("{path}.env"))? {
            add_variable(&mut helper.endpoint_env, variable, &path)?;
        }
    }
    Ok(())
}

fn add_variable(variables: &mut Vec<EnvVar>, variable: EnvVar, path: &str) -> Result<(), FieldError> {
    match variables.iter().find(|other| other.name == variable.name) {
        Some(same) if *same == variable => {}
        Some(_) => {
            let message = format!(
                "another endpoint sets {} to another value; use one variable for each",
                variable.name
            );
            return Err(FieldError::new(format!("{path}.env"), message));
        }
        None => variables.push(variable),
    }
    Ok(())
}

fn metrics(helper: &mut Helper, container: &mut Map<String, Value>, parts: &Parts<'_>) -> Result<(), FieldError> {
    let Some(value) = parts.value.get("metrics") else {
        return Ok(());
    };
    let path = format!("{}.metrics", parts.path);
    check::port_number(value.get("port"), &format!("{path}.port"))?;
    let metrics: Metrics = decode(value, &path)?;
    if !matches!(metrics.scheme.as_str(), "http" | "https") {
        let message = format!("\"{}\" is not a scheme; write http or https", metrics.scheme);
        return Err(FieldError::new(format!("{path}.scheme"), message));
    }
    if !metrics.path.starts_with('/') {
        return Err(FieldError::new(
            format!("{path}.path"),
            format!("\"{}\" must begin with '/'", metrics.path),
        ));
    }
    if !helper
        .ports
        .iter()
        .any(|port| port.number == metrics.port && port.protocol == "TCP")
    {
        let port = json!({"name": "metrics", "containerPort": metrics.port, "protocol": "TCP"});
        match container.entry("ports").or_insert(Value::Null) {
            Value::Array(ports) => ports.push(port),
            none => *none = Value::Array(vec![port]),
        }
        let name = Some("metrics".to_owned());
        helper.ports.push(PortClaim {
            number: metrics.port,
            protocol: "TCP".into(),
            name,
        });
    }
    helper.metrics = Some(metrics);
    Ok(())
}

fn refuse_unknown(item: &Value, known: &[&str], path: &str) -> Result<(), FieldError> {
    let Some(members) = item.as_object() else {
        let message = format!("must be an object; write {}", known.join(", "));
        return Err(FieldError::new(path, message));
    };
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(FieldError::new(
            format!("{path}.{key}"),
            format!("is not known; write {}", known.join(", ")),
        )),
        None => Ok(()),
    }
}

/// Claims a port that the container may have declared itself.
fn claim(ports: &mut Vec<PortClaim>, port: PortClaim) {
    if !ports
        .iter()
        .any(|other| other.number == port.number && other.protocol == port.protocol)
    {
        ports.push(port);
    }
}

fn distinct_ports(ports: &[PortClaim], path: &str) -> Result<(), FieldError> {
    for (index, port) in ports.iter().enumerate() {
        let earlier = &ports[..index];
        if earlier
            .iter()
            .any(|other| other.number == port.number && other.protocol == port.protocol)
        {
            let message = format!(
                "port {}/{} is declared twice; declare it once",
                port.number, port.protocol
            );
            return Err(FieldError::new(path, message));
        }
        if earlier
            .iter()
            .any(|other| port.name.is_some() && other.name == port.name)
        {
            let message = format!(
                "the name {} is given twice; names of ports must differ",
                port.name.as_deref().unwrap_or("")
            );
            return Err(FieldError::new(path, message));
        }
    }
    Ok(())
}
