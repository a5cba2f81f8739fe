//! What must hold of any patch.

use serde_json::{Map, Value};

/// Applies a patch as the API server's library does, with every parent demanded: `add` under a missing parent fails, and
/// `null` is no parent. Anything but `add` is refused.
pub fn walk(pod: &Value, patch: &Value) -> Result<Value, String> {
    let mut pod = pod.clone();
    for operation in patch.as_array().ok_or("a patch is a list")? {
        let members = operation.as_object().ok_or("an operation is an object")?;
        let mut keys: Vec<&str> = members.keys().map(String::as_str).collect();
        keys.sort_unstable();
        if keys != ["op", "path", "value"] || operation["op"] != "add" {
            return Err(format!("not an addition: {operation}"));
        }
        let path = operation["path"].as_str().ok_or("a path is text")?;
        add(&mut pod, path, &operation["value"]).map_err(|message| format!("{path}: {message}"))?;
    }
    Ok(pod)
}

fn add(pod: &mut Value, path: &str, value: &Value) -> Result<(), String> {
    let (parent, last) = path.rsplit_once('/').ok_or("the whole document")?;
    let parent = pod.pointer_mut(parent).ok_or("its parent is missing")?;
    let last = last.replace("~1", "/").replace("~0", "~");
    match parent {
        Value::Object(members) => {
            members.insert(last, value.clone());
        }
        Value::Array(items) if last == "-" => items.push(value.clone()),
        Value::Array(items) => {
            let index: usize = last.parse().map_err(|_| "not an index")?;
            if index > items.len() || index.to_string() != last {
                return Err(format!("there are {} items only", items.len()));
            }
            items.insert(index, value.clone());
        }
        other => return Err(format!("its parent is {other}")),
    }
    Ok(())
}

/// Whether all of `before` is still there, in its order; `after` may have more. Says where it is not.
pub fn survives(before: &Value, after: &Value) -> Result<(), String> {
    same_members(before, after, &["metadata", "spec"])?;
    let metadata = [&before["metadata"], &after["metadata"]];
    same_members(metadata[0], metadata[1], &["annotations", "labels"])?;
    for map in ["annotations", "labels"] {
        same_members(
            &metadata[0][map],
            &metadata[1][map],
            &["outrigger.dev/injected", "outrigger.dev/skipped"],
        )?;
    }
    let lists = [
        "containers",
        "initContainers",
        "volumes",
        "imagePullSecrets",
        "hostAliases",
    ];
    let [before, after] = [&before["spec"], &after["spec"]];
    same_members(before, after, &lists)?;
    for list in ["volumes", "imagePullSecrets", "hostAliases"] {
        in_order(list, &before[list], &after[list], |a, b| {
            if a == b { Ok(()) } else { Err(a.to_string()) }
        })?;
    }
    ["containers", "initContainers"].into_iter().try_for_each(|list| {
        in_order(list, &before[list], &after[list], |a, b| {
            same_members(a, b, &["env", "volumeMounts"])?;
            ["env", "volumeMounts"].into_iter().try_for_each(|list| {
                in_order(list, &a[list], &b[list], |a, b| {
                    if a == b { Ok(()) } else { Err(a.to_string()) }
                })
            })
        })
    })
}

fn same_members(before: &Value, after: &Value, except: &[&str]) -> Result<(), String> {
    let Some(members) = before.as_object() else {
        return if before.is_null() || before == after {
            Ok(())
        } else {
            Err(before.to_string())
        };
    };
    let there = after.as_object().ok_or("an object has gone")?;
    let order: Vec<&String> = there.keys().filter(|key| members.contains_key(*key)).collect();
    if !order.into_iter().eq(members.keys()) {
        return Err(format!("keys have gone or moved: {before}"));
    }
    let mut kept = members.iter().filter(|(key, _)| !except.contains(&key.as_str()));
    match kept.find(|(key, value)| there[*key] != **value) {
        Some((key, value)) => Err(format!("{key}: {value} became {}", there[key])),
        None => Ok(()),
    }
}

fn in_order(
    name: &str,
    before: &Value,
    after: &Value,
    same: impl Fn(&Value, &Value) -> Result<(), String>,
) -> Result<(), String> {
    let items = |list: &Value| list.as_array().cloned().unwrap_or_default();
    let mut rest = items(after).into_iter();
    for item in items(before) {
        let mut why = String::new();
        let found = rest.any(|other| {
            let same = same(&item, &other);
            if other.get("name") == item.get("name") {
                why += &format!(" {same:?}");
            }
            same.is_ok()
        });
        if !found {
            return Err(format!("{name}: {item} is not in its place{why}"));
        }
    }
    Ok(())
}

/// Where `after` has something that `before` has not, as paths in which items of lists are written by what they are.
pub fn additions(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(before, after, "", &mut found);
    found
}

fn compare(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(_) | Value::Null, Value::Object(after)) => {
            let nothing = Map::new();
            let before = before.as_object().unwrap_or(&nothing);
            if after.is_empty() {
                found.push(path.to_owned());
            }
            for (key, value) in after {
                compare_member(before.get(key), value, &format!("{path}/{key}"), found);
            }
        }
        (Value::Array(_) | Value::Null, Value::Array(after)) => {
            let before = before.as_array().map_or(&[][..], Vec::as_slice);
            for item in after.iter().filter(|item| !before.contains(item)) {
                let name = ["mountPath", "ip", "name"]
                    .into_iter()
                    .find_map(|key| item[key].as_str());
                let path = format!("{path}/{}", name.unwrap_or("?"));
                match before
                    .iter()
                    .find(|other| path.contains("ontainers") && other["name"] == item["name"])
                {
                    Some(other) => compare(other, item, &path, found),
                    None => found.push(path),
                }
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn compare_member(before: Option<&Value>, value: &Value, path: &str, found: &mut Vec<String>) {
    let parent = [
        "metadata",
        "spec",
        "annotations",
        "labels",
        "containers",
        "initContainers",
        "volumes",
        "env",
    ];
    let parent = parent.iter().any(|name| path.ends_with(&format!("/{name}")));
    let parent = parent
        || ["volumeMounts", "imagePullSecrets", "hostAliases"]
            .iter()
            .any(|name| path.ends_with(name));
    match before {
        Some(before) => compare(before, value, path, found),
        None if parent => compare(&Value::Null, value, path, found),
        None => found.push(path.to_owned()),
    }
}
