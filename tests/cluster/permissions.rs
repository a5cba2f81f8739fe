//! What Outrigger may do in the cluster: what is documented, and no more.
use crate::stage;
use outrigger_harness::Namespace;
use std::collections::BTreeSet;
use std::fs;

fn page(path: &str) -> String {
    fs::read_to_string(outrigger_harness::rundir::workspace().join(path)).unwrap()
}

/// Gives the ServiceAccount `outrigger` of this namespace what the documents say.
pub async fn grant(namespace: &Namespace) {
    let page = page("docs/operations.md");
    for kind in ["ClusterRole", "Role"] {
        let role = page
            .split("```yaml\n")
            .find(|block| block.contains(&format!("\nkind: {kind}\n")));
        let role = role
            .and_then(|block| block.split("```").next())
            .expect("a role in the page");
        let role = role.replace("namespace: outrigger-system", &format!("namespace: {}", namespace.name));
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let output = namespace.kubectl_with(&apply, Some(role)).await;
        assert!(output.success, "{}", output.stderr);
    }
    let account = format!("--serviceaccount={}:outrigger", namespace.name);
    for command in [
        &["create", "serviceaccount", "outrigger"][..],
        &[
            "create",
            "clusterrolebinding",
            &namespace.name,
            "--clusterrole=outrigger",
            &account,
        ],
        &["create", "rolebinding", "outrigger", "--role=outrigger", &account],
    ] {
        let output = namespace.kubectl(command, None).await;
        assert!(output.success, "{}", output.stderr);
    }
}

/// A resource, as `resource.group`, the names, and the verbs.
type Permission = (String, String, BTreeSet<String>);

/// What kubectl lists for a ServiceAccount of this namespace.
async fn listed(namespace: &Namespace, account: &str) -> BTreeSet<Permission> {
    let account = format!("system:serviceaccount:{}:{account}", namespace.name);
    let list = ["auth", "can-i", "--list", "--no-headers", "--as", &account];
    // Everybody who has been authenticated is in this group.
    let groups = [
        "--as-group",
        "system:authenticated",
        "--as-group",
        "system:serviceaccounts",
    ];
    let output = namespace.kubectl(&[&list[..], &groups].concat(), None).await;
    assert!(output.success, "{}", output.stderr);
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
    output.stdout.lines().map(permission).collect()
}

/// The table of the security page.
fn documented() -> BTreeSet<Permission> {
    let page = page("docs/security.md");
    let rows = page
        .lines()
        .skip_while(|line| *line != "| API group | resource | names | verbs | why |");
    let rows = rows.skip(2).take_while(|line| line.starts_with('|'));
    let permissions = |row: &str| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let code = |cell: &str| {
            let tokens = cell.split('`').skip(1).step_by(2);
            tokens.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let one = |cell: &str| code(cell).into_iter().collect::<Vec<_>>().join(" ");
        let resource = match (one(cells[0]), one(cells[1])) {
            (group, resource) if group.is_empty() => resource,
            (group, resource) => match resource.split_once('/') {
                Some((resource, part)) => format!("{resource}.{group}/{part}"),
                None => format!("{resource}.{group}"),
            },
        };
        // kubectl has a row for each name.
        let mut names = code(cells[2]);
        if names.is_empty() {
            names.insert(String::new());
        }
        let verbs = code(cells[3]);
        names
            .into_iter()
            .map(move |name| (resource.clone(), name, verbs.clone()))
    };
    rows.flat_map(permissions).collect()
}

#[tokio::test]
async fn row_55_kubectl_lists_the_documented_permissions_and_no_others() {
    let Some(namespace) = stage::namespace("can-i").await else {
        return;
    };
    let everybodys = listed(&namespace, "outrigger").await;
    grant(&namespace).await;
    let found: BTreeSet<Permission> = listed(&namespace, "outrigger")
        .await
        .difference(&everybodys)
        .cloned()
        .collect();
    assert_eq!(found, documented());
    assert!(!found.is_empty());
}
