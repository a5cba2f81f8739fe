//! What of a change of status is worth an Event on the policy.
use crate::observe::events::{Event, Reference, Tone};
use outrigger_engine::{
    PolicyId,
    status::{ACCEPTED, CLASHES, Condition, PolicyStatus, SHADOWED},
};

/// Events about the step from one status to the next. That a new policy is as it should be is no event.
pub(super) fn events(id: &PolicyId, uid: &str, before: &PolicyStatus, after: &PolicyStatus) -> Vec<Event> {
    let [accepted, shadowed] = [ACCEPTED, SHADOWED].map(|kind| (before.condition(kind), after.condition(kind)));
    let mut events = Vec::new();
    let mut tell = |tone, reason, note: &str| {
        events.push(Event {
            regarding: Reference::policy(id, uid),
            related: None,
            tone,
            reason,
            action: "Check",
            note: note.to_owned(),
        });
    };
    let is = |condition: Option<&Condition>, status: &str| condition.is_some_and(|one| one.status == status);
    let clashes = |condition: Option<&Condition>| condition.is_some_and(|one| one.reason == CLASHES);
    if let (before, Some(now)) = accepted {
        match now.status.as_str() {
            "False" if before.is_none_or(|before| before.status != "False" || before.message != now.message) => {
                tell(Tone::Warning, "NotAccepted", &now.message);
            }
            "True" if clashes(Some(now)) && !clashes(before) => tell(Tone::Warning, "Clash", &now.message),
            "True" if is(before, "False") => tell(Tone::Normal, "Accepted", &now.message),
            _ => {}
        }
    }
    if let (before, Some(now)) = shadowed {
        match now.status.as_str() {
            "True" if !is(before, "True") => tell(Tone::Warning, "Shadowed", &now.message),
            "False" if is(before, "True") => tell(Tone::Normal, "NotShadowed", &now.message),
            _ => {}
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(before: Value, after: Value) -> Vec<String> {
        let status =
            |conditions| -> PolicyStatus { serde_json::from_value(json!({"conditions": conditions})).unwrap() };
        let id = PolicyId {
            namespace: Some("web".into()),
            name: "a".into(),
        };
        let events = events(&id, "u", &status(before), &status(after));
        events
            .into_iter()
            .map(|event| format!("{} {}", event.reason, event.note))
            .collect()
    }

    #[test]
    fn each_turn_is_told_once() {
        let accepted = |status: &str, reason: &str| json!({"type": "Accepted", "status": status, "reason": reason, "message": reason});
        let shadowed = |status: &str| json!({"type": "Shadowed", "status": status, "reason": "R", "message": "m"});
        let good = accepted("True", "Accepted");
        for (before, after, expected) in [
            (json!([]), json!([good, shadowed("False")]), &[][..]),
            (
                json!([]),
                json!([accepted("False", "Invalid")]),
                &["NotAccepted Invalid"],
            ),
            (
                json!([good]),
                json!([accepted("False", "Invalid")]),
                &["NotAccepted Invalid"],
            ),
            (
                json!([accepted("False", "Invalid")]),
                json!([accepted("False", "Invalid")]),
                &[],
            ),
            (
                json!([accepted("False", "Invalid")]),
                json!([good]),
                &["Accepted Accepted"],
            ),
            (json!([]), json!([accepted("True", "Clashes")]), &["Clash Clashes"]),
            (
                json!([accepted("True", "Clashes")]),
                json!([accepted("True", "Clashes")]),
                &[],
            ),
            (json!([accepted("True", "Clashes")]), json!([good]), &[]),
            (json!([shadowed("False")]), json!([shadowed("True")]), &["Shadowed m"]),
            (
                json!([shadowed("True")]),
                json!([shadowed("False")]),
                &["NotShadowed m"],
            ),
        ] {
            assert_eq!(told(before.clone(), after.clone()), expected, "{before} {after}");
        }
    }
}
