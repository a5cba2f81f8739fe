//! Whether an object has all that we say of it, whatever else it has.
//!
//! Platforms add exclusions to webhook configurations (a `matchExpressions` entry, values of a `NotIn`), and the API
//! server adds defaults. To put these right would be a fight; so they count as right, and are written back when we write.
use serde_json::Value;

/// Whether all of `wanted` is in `live`.
///
/// Lists must have the same length and order, save those that others may add to.
pub(super) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(key, wanted)| {
            // The API server may leave out what is empty.
            live.get(key)
                .map_or_else(|| is_empty(wanted), |live| covers_member(key, live, wanted))
        }),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        _ => live == wanted,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn covers_member(key: &str, live: &Value, wanted: &Value) -> bool {
    let (Value::Array(entries), Value::Array(ours)) = (live, wanted) else {
        return covers(live, wanted);
    };
    match key {
        "matchExpressions" => ours
            .iter()
            .all(|ours| entries.iter().any(|live| excludes_at_least(live, ours))),
        "webhooks" | "ownerReferences" => ours.iter().all(|ours| entries.iter().any(|live| covers(live, ours))),
        _ => covers(live, wanted),
    }
}

/// Whether a requirement of a selector is ours, or ours with more values excluded.
fn excludes_at_least(live: &Value, ours: &Value) -> bool {
    if ours["operator"] != "NotIn" {
        return live == ours;
    }
    let (Some(values), Some(wanted)) = (live["values"].as_array(), ours["values"].as_array()) else {
        return false;
    };
    same_requirement(live, ours) && wanted.iter().all(|value| values.contains(value))
}

/// Whether both say something of the same key in the same way.
fn same_requirement(one: &Value, other: &Value) -> bool {
    one["key"] == other["key"] && one["operator"] == other["operator"]
}

/// `wanted`, with the requirements that others have added to selectors of `live`. Server-side apply replaces such a list
/// as a whole.
pub(super) fn with_exclusions_of(live: &Value, wanted: &Value) -> Value {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .map(|(key, wanted)| {
                let kept = live.get(key).map(|live| keep_member(key, live, wanted));
                (key.clone(), kept.unwrap_or_else(|| wanted.clone()))
            })
            .collect(),
        _ => wanted.clone(),
    }
}

fn keep_member(key: &str, live: &Value, wanted: &Value) -> Value {
    let (Value::Array(entries), Value::Array(ours)) = (live, wanted) else {
        return with_exclusions_of(live, wanted);
    };
    match key {
        "matchExpressions" => {
            let is_theirs = |entry: &&Value| !ours.iter().any(|ours| same_requirement(entry, ours));
            ours.iter().chain(entries.iter().filter(is_theirs)).cloned().collect()
        }
        "webhooks" => ours
            .iter()
            .map(|ours| {
                let live = entries.iter().find(|live| live["name"] == ours["name"]);
                live.map_or_else(|| ours.clone(), |live| with_exclusions_of(live, ours))
            })
            .collect(),
        _ => wanted.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn configuration(expressions: Value, bundle: &str) -> Value {
        json!({"kind": "K", "webhooks": [{"name": "a", "clientConfig": {"caBundle": bundle},
            "namespaceSelector": {"matchExpressions": expressions}, "rules": [{"operations": ["CREATE"]}]}]})
    }

    fn ours() -> Value {
        json!({"key": "name", "operator": "NotIn", "values": ["kube-system"]})
    }

    #[test]
    fn what_others_add_is_theirs_and_what_they_change_is_wrong() {
        let wanted = configuration(json!([ours()]), "x");
        let more = json!({"key": "name", "operator": "NotIn", "values": ["kube-system", "gke"]});
        let other = json!({"key": "control-plane", "operator": "DoesNotExist"});
        let mut defaulted = wanted.clone();
        defaulted["webhooks"][0]["rules"][0]["scope"] = json!("*");
        defaulted["webhooks"][0]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
        let mut joined = wanted.clone();
        joined["webhooks"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"name": "b"}));
        let mut more_rules = wanted.clone();
        more_rules["webhooks"][0]["rules"] = json!([{"operations": ["CREATE"]}, {"operations": ["DELETE"]}]);
        for (live, right) in [
            (wanted.clone(), true),
            (configuration(json!([other, ours()]), "x"), true),
            (configuration(json!([more]), "x"), true),
            (defaulted, true),
            (joined, true),
            (configuration(json!([ours()]), ""), false),
            (configuration(json!([]), "x"), false),
            (
                configuration(
                    json!([{"key": "name", "operator": "In", "values": ["kube-system"]}]),
                    "x",
                ),
                false,
            ),
            (more_rules, false),
            (json!({"kind": "K", "webhooks": []}), false),
            (json!({"kind": "K"}), false),
        ] {
            assert_eq!(covers(&live, &wanted), right, "{live}");
        }
    }

    #[test]
    fn exclusions_of_others_are_written_back_and_former_ones_of_ours_are_not() {
        let other = json!({"key": "control-plane", "operator": "DoesNotExist"});
        let former = json!({"key": "name", "operator": "NotIn", "values": ["kube-system", "former"]});
        let live = configuration(json!([former, other]), "");
        let written = with_exclusions_of(&live, &configuration(json!([ours()]), "x"));
        assert_eq!(written, configuration(json!([ours(), other]), "x"));
    }
}
