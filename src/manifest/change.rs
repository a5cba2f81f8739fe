//! Applies the engine's patch to a document: `add` operations below parents that are there, in the order of the keys.
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    ManifestError, json,
    value::{Map, Value},
};

/// One `add` operation (RFC 6902).
#[derive(Debug, Clone, Deserialize)]
pub struct Operation<'a> {
    /// Always `add`.
    pub op: &'a str,
    /// A JSON Pointer (RFC 6901).
    pub path: String,
    /// As JSON.
    #[serde(borrow)]
    pub value: &'a RawValue,
}

/// The operations of a patch.
///
/// # Errors
/// When it is not one.
pub fn operations(patch: &[u8]) -> serde_json::Result<Vec<Operation<'_>>> {
    serde_json::from_slice(patch)
}

/// Applies `operations`, whose paths begin at `pointer`, to `document`. What is added to is written line by line from then
/// on.
///
/// # Errors
/// When an operation does not add to an object or a list that is there.
pub fn apply(document: &mut Value, pointer: &str, operations: &[Operation<'_>]) -> Result<(), ManifestError> {
    operations.iter().try_for_each(|operation| {
        let path = format!("{pointer}{}", operation.path);
        let value = json::read(operation.value.get())?;
        match (operation.op, add(document, &path, value)) {
            ("add", Some(())) => Ok(()),
            (op, _) => Err(ManifestError::new(format!(
                "failed to {op} {path}: there is nothing to {op} it to"
            ))),
        }
    })
}

fn add(document: &mut Value, path: &str, value: Value) -> Option<()> {
    let (parent, last) = path.rsplit_once('/')?;
    let mut place = document;
    for key in parent.split('/').skip(1) {
        place = match place {
            Value::Map(map) => {
                map.flow = false;
                map.entries.get_mut(&unescaped(key))?
            }
            Value::List(list) => {
                list.flow = false;
                list.items.get_mut(key.parse::<usize>().ok()?)?
            }
            _ => return None,
        };
    }
    match place {
        Value::Map(Map { entries, flow, .. }) => {
            *flow = false;
            entries.insert(unescaped(last), value);
        }
        Value::List(list) => {
            list.flow = false;
            let index = if last == "-" {
                list.items.len()
            } else {
                last.parse().ok()?
            };
            if index > list.items.len() {
                return None;
            }
            list.items.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}
