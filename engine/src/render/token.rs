//! What a helper sees of the Pod's service account.

use serde::Deserialize;
use serde_json::{Value, json};

use super::parts::Parts;
use super::{Helper, Mount, Volume, Written, check, decode};
use crate::field::FieldError;
use crate::names;

/// Where Kubernetes' client libraries look, and where the ServiceAccount admission plugin mounts a token unless
/// something is mounted there already.
const DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Projected {
    #[serde(default)]
    audience: Option<String>,
    #[serde(default)]
    expiration_seconds: Option<i64>,
    /// File name of the token below [`DIRECTORY`].
    #[serde(default)]
    path: Option<String>,
}

/// Adds what keeps the Pod's token out of the helper, or gives it one of its own.
pub(super) fn add(helper: &mut Helper, parts: &Parts<'_>) -> Result<(), FieldError> {
    let path = format!("{}.serviceAccountToken", parts.path);
    let volume = match parts.value.get("serviceAccountToken") {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::String(choice)) if choice == "Inherit" => return Ok(()),
        Some(Value::String(choice)) if choice == "None" => {
            let name = "outrigger-no-token".to_owned();
            Volume {
                value: Written::new(json!({"name": name, "emptyDir": {}})),
                name,
            }
        }
        Some(value @ Value::Object(_)) => projected(&decode(value, &path)?, parts, &helper.name, &path)?,
        Some(other) => {
            let message =
                format!("{other} is not a choice; write Inherit, None, or {{audience, expirationSeconds, path}}");
            return Err(FieldError::new(path, message));
        }
    };
    let value = json!({"name": volume.name, "mountPath": DIRECTORY, "readOnly": true});
    let mount = Mount {
        volume: volume.name.clone(),
        path: DIRECTORY.into(),
        value: Written::new(value),
    };
    helper.volumes.push(volume);
    check::add_mount(&mut helper.mounts, mount).map_err(|message| FieldError::new(path, message))
}

/// A token with the cluster's CA and the namespace beside it, as the ServiceAccount plugin would mount them.
fn projected(wanted: &Projected, parts: &Parts<'_>, helper: &str, path: &str) -> Result<Volume, FieldError> {
    let file = wanted.path.as_deref().unwrap_or("token");
    if file.is_empty() || file.starts_with('/') || file.split('/').any(|part| part == "..") {
        return Err(FieldError::new(
            format!("{path}.path"),
            format!("\"{file}\" must be a file's name below {DIRECTORY}"),
        ));
    }
    let seconds = wanted.expiration_seconds.unwrap_or(3600);
    if !(600..=1 << 32).contains(&seconds) {
        let message = format!("{seconds} is out of range; Kubernetes issues tokens for 600 to 4294967296 seconds");
        return Err(FieldError::new(format!("{path}.expirationSeconds"), message));
    }
    let mut token = json!({"path": file, "expirationSeconds": seconds});
    if let (Some(audience), Some(token)) = (&wanted.audience, token.as_object_mut()) {
        token.insert("audience".into(), audience.as_str().into());
    }
    let name = names::label_from("outrigger-token-", &format!("{}/{helper}", parts.policy));
    let sources = json!([
        {"serviceAccountToken": token},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]);
    Ok(Volume {
        value: Written::new(json!({"name": name, "projected": {"sources": sources}})),
        name,
    })
}
