//! What the chart's roles allow is what the security page lists.
use crate::permission_table::{Permission, documented};
use crate::rendering::render;
use outrigger_harness::Helm;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The permissions of a role, as kubectl lists them: a row for each resource and name.
fn permissions(role: &Value) -> Vec<Permission> {
    let texts = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap_or_default() };
    let of_rule = |rule: &Value| {
        let (groups, resources, verbs) = (
            texts(&rule["apiGroups"]),
            texts(&rule["resources"]),
            texts(&rule["verbs"]),
        );
        let mut names = texts(&rule["resourceNames"]);
        if names.is_empty() {
            names.push(String::new());
        }
        let mut found = Vec::new();
        for (group, resource) in groups
            .iter()
            .flat_map(|group| resources.iter().map(move |resource| (group, resource)))
        {
            let resource = match (group.as_str(), resource.split_once('/')) {
                ("", _) => resource.clone(),
                (group, Some((resource, part))) => format!("{resource}.{group}/{part}"),
                (group, None) => format!("{resource}.{group}"),
            };
            let verbs: BTreeSet<String> = verbs.iter().cloned().collect();
            found.extend(names.iter().map(|name| (resource.clone(), name.clone(), verbs.clone())));
        }
        found
    };
    role["rules"].as_array().unwrap().iter().flat_map(of_rule).collect()
}

#[tokio::test]
async fn row_55_the_roles_of_the_chart_allow_what_the_security_page_lists() {
    let Some(helm) = Helm::find() else { return };
    let objects = render(&helm, &json!({}), &[]).await.unwrap();
    let roles = ["ClusterRole/outrigger", "Role/outrigger"];
    let given: BTreeSet<Permission> = roles.iter().flat_map(|role| permissions(&objects[*role])).collect();
    assert_eq!(given, documented());
    let kinds = ["ClusterRole/", "Role/"];
    let all = objects
        .keys()
        .filter(|name| kinds.iter().any(|kind| name.starts_with(kind)));
    assert_eq!(all.collect::<Vec<_>>(), roles);

    // Pods are the one thing more, where they are to be counted.
    let counting = render(&helm, &json!({"countPods": true}), &[]).await.unwrap();
    let more = permissions(&counting["ClusterRole/outrigger-pods"]);
    let verbs = ["list", "watch"].map(String::from).into();
    assert_eq!(more, [("pods".to_owned(), String::new(), verbs)]);
}
