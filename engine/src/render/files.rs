//! Configuration that travels in the Pod: rendered into annotations, mounted through a downward-API volume.
//!
//! A cluster-wide policy so needs no ConfigMap in every namespace, and kubelet refreshes a file when the annotation of
//! a running Pod changes.

use serde_json::{Map, Value, json};

use super::parts::Parts;
use super::{Helper, Mount, Volume, Written, check};
use crate::field::FieldError;
use crate::names;

/// Bytes that the files of one policy may have together; all annotations of a Pod share 256 KiB.
pub(crate) const MAX_BYTES: usize = 16 * 1024;
/// Bytes from which the author is warned.
pub(crate) const WARN_BYTES: usize = 4 * 1024;

/// What a file's name says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Yaml,
    Json,
}

/// Whether a file's name can be used, and how an object under that name is written.
pub(crate) fn format(name: &str, content: &Value) -> Result<Format, String> {
    let part_is_fine = |part: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !part.is_empty() && part != "." && !part.starts_with("..") && part.chars().all(fine)
    };
    if name.len() > 253 || !name.split('/').all(part_is_fine) {
        return Err(format!(
            "\"{name}\" cannot be a file's name; use letters, digits, '.', '-' and '_'"
        ));
    }
    let suffix = name.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    match (content, suffix) {
        (Value::String(_), _) => Ok(Format::Text),
        (Value::Object(_) | Value::Array(_), "yaml" | "yml") => Ok(Format::Yaml),
        (Value::Object(_) | Value::Array(_), "json") => Ok(Format::Json),
        (Value::Object(_) | Value::Array(_), _) => Err(format!(
            "\"{name}\" holds an object, but its name does not say how to write it; end it with .yaml or .json"
        )),
        _ => Err(format!("\"{name}\" must hold text or an object")),
    }
}

/// The text of a file. Its keys are to be [`sorted`], so that a policy from a file and the same policy from the cluster render
/// alike.
pub(crate) fn text(value: &Value, format: Format) -> Result<String, String> {
    match (format, value) {
        (Format::Text, Value::String(text)) => Ok(text.clone()),
        (Format::Text, _) => Err("must render to text".into()),
        (Format::Yaml, value) => {
            serde_saphyr::to_string(value).map_err(|error| format!("cannot be written as YAML: {error}"))
        }
        (Format::Json, value) => {
            let pretty = serde_json::to_string_pretty(value);
            pretty
                .map(|text| text + "\n")
                .map_err(|error| format!("cannot be written as JSON: {error}"))
        }
    }
}

/// The value with the keys of every object in order.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            Value::Object(
                members
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)))
                    .collect::<Map<_, _>>(),
            )
        }
        scalar => scalar.clone(),
    }
}

/// Adds annotations, volume and mount for the files of one helper.
pub(super) fn add(helper: &mut Helper, parts: &Parts<'_>) -> Result<(), FieldError> {
    let Some(files) = parts.value.get("files") else {
        return Ok(());
    };
    let path = format!("{}.files", parts.path);
    let mount_path = files.get("mountPath").and_then(Value::as_str).unwrap_or_default();
    let bad_path = |message| FieldError::new(format!("{path}.mountPath"), message);
    let mount_path = check::normalise_path(mount_path).map_err(bad_path)?;
    if !check::outside_system_directories(&mount_path) {
        let message = format!("files at {mount_path} would hide a system directory of the image; choose another");
        return Err(bad_path(message));
    }
    let mode = mode(files.get("mode"), &path)?;
    let mut items = Vec::with_capacity(parts.files.len());
    for (index, (name, text)) in parts.files.iter().enumerate() {
        let key = format!("{}.files.outrigger.dev/{}", parts.policy, parts.files_before + index);
        items.push(json!({"path": name, "fieldRef": {"fieldPath": format!("metadata.annotations['{key}']")}}));
        helper.annotations.push((key, Written::new(text.clone())));
    }
    let name = names::label_from("outrigger-files-", &format!("{}/{}", parts.policy, helper.name));
    let mut source = json!({"items": items});
    if let (Some(mode), Some(source)) = (mode, source.as_object_mut()) {
        source.insert("defaultMode".into(), mode.into());
    }
    helper.volumes.push(Volume {
        name: name.clone(),
        value: Written::new(json!({"name": name, "downwardAPI": source})),
    });
    let value = json!({"name": name, "mountPath": mount_path, "readOnly": true});
    let mount = Mount {
        volume: name,
        path: mount_path,
        value: Written::new(value),
    };
    check::add_mount(&mut helper.mounts, mount).map_err(|message| FieldError::new(format!("{path}.mountPath"), message))
}

/// Permission bits: a number, or text in octal as in `chmod`.
fn mode(value: Option<&Value>, path: &str) -> Result<Option<u16>, FieldError> {
    let number = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => u16::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        Some(value) => value.as_u64().and_then(|number| u16::try_from(number).ok()),
    };
    number.filter(|mode| *mode <= 0o777).map(Some).ok_or_else(|| {
        let found = value.map_or(String::new(), Value::to_string);
        FieldError::new(
            format!("{path}.mode"),
            format!("{found} is not a file mode; write one from 0 to 0777"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_written_by_the_suffix_with_keys_in_order() {
        let value = json!({"b": [{"z": "yes", "a": "0644"}], "a": {"c": null, "b": "x: #y\n"}});
        assert_eq!(
            text(&sorted(&json!({"b": 1, "a": 2})), Format::Json).unwrap(),
            "{\n  \"a\": 2,\n  \"b\": 1\n}\n"
        );
        let yaml = text(&sorted(&value), Format::Yaml).unwrap();
        assert!(yaml.find("a:").unwrap() < yaml.find("b:").unwrap(), "{yaml}");
        let back: Value = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(back, value, "{yaml}");
    }

    #[test]
    fn names_of_files_are_checked() {
        assert_eq!(format("a/b.yaml", &json!({})), Ok(Format::Yaml));
        assert_eq!(format("b.conf", &json!("x")), Ok(Format::Text));
        for (name, content) in [
            ("..", json!("x")),
            ("a/../b", json!("x")),
            ("/a", json!("x")),
            ("", json!("x")),
            ("a.conf", json!({})),
            ("a", json!(1)),
        ] {
            assert!(format(name, &content).is_err(), "{name}");
        }
    }
}
