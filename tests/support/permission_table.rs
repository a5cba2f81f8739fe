//! The table of permissions of docs/security.md, and what kubectl lists.
#![allow(dead_code, reason = "not all who include it read both")]
use outrigger_harness::{Namespace, Page};
use std::collections::BTreeSet;

/// A resource, as `resource.group`, the names, and the verbs.
pub type Permission = (String, String, BTreeSet<String>);

/// What kubectl lists for a ServiceAccount of this namespace.
pub async fn listed(namespace: &Namespace, account: &str) -> BTreeSet<Permission> {
    let account = format!("system:serviceaccount:{}:{account}", namespace.name);
    let list = ["auth", "can-i", "--list", "--no-headers", "--as", &account];
    // Everybody who has been authenticated is in this group.
    let groups = [
        "--as-group",
        "system:authenticated",
        "--as-group",
        "system:serviceaccounts",
    ];
    let list = namespace.kubectl(&[&list[..], &groups].concat(), None).await.ok();
    let cells = |line: &str| -> Vec<String> {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.map(str::to_owned).collect()
    };
    let permission = |line: &str| -> Permission {
        let cells = cells(line);
        let [resource, _, names, verbs] = &cells[..] else {
            // What is no resource has no name in the first column.
            return (String::new(), cells[0].clone(), BTreeSet::new());
        };
        let words = |cell: &str| {
            let words = cell.trim_matches(['[', ']']).split_whitespace();
            words.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let names = words(names).into_iter().collect::<Vec<_>>().join(" ");
        (resource.clone(), names, words(verbs))
    };
    list.lines().map(permission).collect()
}

/// The table of the security page.
pub fn documented() -> BTreeSet<Permission> {
    let rows = Page::read("docs/security.md").table("| API group | resource | names | verbs | why |");
    let permissions = |cells: Vec<String>| {
        let code = |cell: &str| {
            let tokens = cell.split('`').skip(1).step_by(2);
            tokens.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let one = |cell: &str| code(cell).into_iter().collect::<Vec<_>>().join(" ");
        let resource = match (one(&cells[0]), one(&cells[1])) {
            (group, resource) if group.is_empty() => resource,
            (group, resource) => match resource.split_once('/') {
                Some((resource, part)) => format!("{resource}.{group}/{part}"),
                None => format!("{resource}.{group}"),
            },
        };
        // kubectl has a row for each name.
        let mut names = code(&cells[2]);
        if names.is_empty() {
            names.insert(String::new());
        }
        let verbs = code(&cells[3]);
        names
            .into_iter()
            .map(move |name| (resource.clone(), name, verbs.clone()))
    };
    rows.into_iter().flat_map(permissions).collect()
}
