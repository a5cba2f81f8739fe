//! How much a policy may hold.

use super::templates;
use crate::field::FieldError;
use crate::policy::PolicySpec;

/// Containers of one policy.
const MAX_HELPERS: usize = 32;
/// Items of any other list or map of a policy: each is looked up in each container of a Pod.
const MAX_ITEMS: usize = 256;

/// What a policy holds bounds what one admission costs.
pub(super) fn check(spec: &PolicySpec, errors: &mut Vec<FieldError>) {
    let mut check = |path: String, count: usize, most: usize| {
        if count > most {
            errors.push(FieldError::new(
                path,
                format!("has {count} items; {most} are allowed, so make it two policies"),
            ));
        }
    };
    let lists = templates::lists(spec);
    check(
        "spec".into(),
        lists.iter().map(|(_, list)| list.len()).sum(),
        MAX_HELPERS,
    );
    for (kind, list) in lists {
        for (index, helper) in list.iter().enumerate() {
            let path = format!("spec.{}[{index}]", kind.list());
            check(format!("{path}.sharedVolumes"), helper.shared_volumes.len(), MAX_ITEMS);
            check(format!("{path}.endpoints"), helper.endpoints.len(), MAX_ITEMS);
            check(
                format!("{path}.files.items"),
                helper.files.as_ref().map_or(0, |files| files.items.len()),
                MAX_ITEMS,
            );
        }
    }
    for (path, count) in [
        ("spec.parameters", spec.parameters.len()),
        ("spec.app.containers", spec.app.containers.len()),
        ("spec.app.env", spec.app.env.len()),
        ("spec.app.volumeMounts", spec.app.volume_mounts.len()),
        ("spec.pod.labels", spec.pod.labels.len()),
        ("spec.pod.annotations", spec.pod.annotations.len()),
        ("spec.pod.volumes", spec.pod.volumes.len()),
        ("spec.pod.imagePullSecrets", spec.pod.image_pull_secrets.len()),
        ("spec.pod.hostAliases", spec.pod.host_aliases.len()),
    ] {
        check(path.to_owned(), count, MAX_ITEMS);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    fn errors(spec: Value) -> Vec<String> {
        let policy = json!({"apiVersion": "outrigger.dev/v1alpha1", "kind": "ClusterInjectionPolicy",
            "metadata": {"name": "large"}, "spec": spec});
        let policy = crate::compile(&policy).unwrap();
        policy
            .errors()
            .iter()
            .map(|error| format!("{}: {}", error.path, error.message))
            .collect()
    }

    #[test]
    fn a_policy_holds_so_much_and_no_more() {
        let helpers = |count| {
            (0..count)
                .map(|i| json!({"container": {"name": format!("a{i}"), "image": "b"}}))
                .collect::<Value>()
        };
        let env = |count| (0..count).map(|i| json!({"name": format!("A{i}")})).collect::<Value>();
        assert_eq!(
            errors(json!({"sidecars": helpers(32), "app": {"env": env(256)}})),
            Vec::<String>::new()
        );
        assert_eq!(
            errors(json!({"sidecars": helpers(33), "app": {"env": env(257)}})),
            [
                "spec: has 33 items; 32 are allowed, so make it two policies",
                "spec.app.env: has 257 items; 256 are allowed, so make it two policies",
            ]
        );
    }
}
