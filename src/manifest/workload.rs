//! Where the Pods are: the kinds that have one, or a template of one, and who will own the Pods that are made of it.
use super::value::Value;

/// Something that Pods come from.
#[derive(Debug)]
pub struct Workload<'a> {
    /// Where it is in its document: empty, or an item of a List. A JSON Pointer.
    pub pointer: String,
    /// For example `Deployment`.
    pub kind: &'a str,
    /// For example `apps/v1`.
    pub api_version: &'a str,
    /// `metadata.name`, else `metadata.generateName` with a `*`; empty when there is neither.
    pub name: String,
    /// `metadata.namespace`, as it stands there.
    pub namespace: Option<&'a Value>,
    /// From the workload to its Pod or the template of it, for example `/spec/template`.
    pub template: &'static str,
    /// The Pod or the template; `None` when it is absent or no object.
    pub pod: Option<&'a Value>,
    /// Who will own its Pods.
    pub owner: Option<Owner>,
}

/// The direct owner of a Pod that does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// For example `apps/v1`.
    pub api_version: &'static str,
    /// For example `ReplicaSet`.
    pub kind: &'static str,
    /// Where a controller makes the owner, its name begins as it will.
    pub name: String,
}

/// A kind of object that has a Pod, or a template of one.
#[derive(Debug)]
pub struct WorkloadKind {
    groups: &'static [&'static str],
    kind: &'static str,
    /// From the object to its Pod or the template of it, for example `/spec/template`.
    pub template: &'static str,
    owner: Option<(&'static str, &'static str)>,
    /// The owner is made by a controller, which puts something after the name.
    owner_is_made: bool,
}

impl WorkloadKind {
    /// The kind of this name in this API group, if Pods come from it.
    pub fn find(group: &str, kind: &str) -> Option<&'static WorkloadKind> {
        KINDS
            .iter()
            .find(|known| known.kind == kind && known.groups.contains(&group))
    }

    /// For example `Deployment`.
    pub fn name(&self) -> &'static str {
        self.kind
    }

    /// The keys from the object to its template; none for a Pod.
    pub fn path(&self) -> impl Iterator<Item = &'static str> {
        self.template.split('/').skip(1)
    }

    /// Who will own the Pods of the object with this `metadata.name`, or `metadata.generateName` and a `*`.
    pub fn owner(&self, name: &str) -> Option<Owner> {
        let (api_version, kind) = self.owner?;
        let name = match self.owner_is_made {
            true => format!("{}-0", name.trim_end_matches('*')),
            false => name.to_owned(),
        };
        Some(Owner {
            api_version,
            kind,
            name,
        })
    }
}

const fn kind(
    groups: &'static [&'static str],
    kind: &'static str,
    template: &'static str,
    owner: Option<(&'static str, &'static str)>,
) -> WorkloadKind {
    let owner_is_made = false;
    WorkloadKind {
        groups,
        kind,
        template,
        owner,
        owner_is_made,
    }
}

const fn made(kind: WorkloadKind) -> WorkloadKind {
    WorkloadKind {
        owner_is_made: true,
        ..kind
    }
}

/// `extensions` and the betas are what old manifests still say.
const KINDS: [WorkloadKind; 9] = [
    kind(&[""], "Pod", "", None),
    kind(&[""], "PodTemplate", "/template", None),
    kind(
        &[""],
        "ReplicationController",
        "/spec/template",
        Some(("v1", "ReplicationController")),
    ),
    made(kind(
        &["apps", "extensions"],
        "Deployment",
        "/spec/template",
        Some(("apps/v1", "ReplicaSet")),
    )),
    kind(
        &["apps", "extensions"],
        "ReplicaSet",
        "/spec/template",
        Some(("apps/v1", "ReplicaSet")),
    ),
    kind(
        &["apps", "extensions"],
        "DaemonSet",
        "/spec/template",
        Some(("apps/v1", "DaemonSet")),
    ),
    kind(
        &["apps"],
        "StatefulSet",
        "/spec/template",
        Some(("apps/v1", "StatefulSet")),
    ),
    kind(&["batch"], "Job", "/spec/template", Some(("batch/v1", "Job"))),
    made(kind(
        &["batch"],
        "CronJob",
        "/spec/jobTemplate/spec/template",
        Some(("batch/v1", "Job")),
    )),
];

/// All workloads of a document, those in Lists too.
pub fn find(document: &Value) -> Vec<Workload<'_>> {
    let mut found = Vec::new();
    items(document, &mut |pointer, api_version, kind, item| {
        found.extend(workload(pointer, api_version, kind, item));
    });
    found
}

/// Calls `visit` with each object of a document, with its place, `apiVersion` and `kind`: the document itself, or the items
/// of the List that it is.
pub fn items<'a>(document: &'a Value, visit: &mut impl FnMut(String, &'a str, &'a str, &'a Value)) {
    walk(document, String::new(), None, visit);
}

fn walk<'a>(
    value: &'a Value,
    pointer: String,
    list_of: Option<(&'a str, &'a str)>,
    visit: &mut impl FnMut(String, &'a str, &'a str, &'a Value),
) {
    let text = |key| value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    // In a PodList, a Pod need not say that it is one.
    let (api_version, kind) = match (text("apiVersion"), text("kind"), list_of) {
        (None, None, Some(list)) => list,
        (api_version, kind, _) => (api_version.unwrap_or_default(), kind.unwrap_or_default()),
    };
    let members = value.get("items").and_then(Value::as_list);
    match (kind.strip_suffix("List"), members) {
        (Some(of), Some(members)) => {
            for (index, member) in members.iter().enumerate() {
                walk(
                    member,
                    format!("{pointer}/items/{index}"),
                    Some((api_version, of)),
                    visit,
                );
            }
        }
        _ => visit(pointer, api_version, kind, value),
    }
}

fn workload<'a>(pointer: String, api_version: &'a str, kind: &'a str, item: &'a Value) -> Option<Workload<'a>> {
    let (group, _) = api_version.split_once('/').unwrap_or(("", api_version));
    if api_version.is_empty() {
        return None;
    }
    let known = WorkloadKind::find(group, kind)?;
    let metadata = |key| item.at(&["metadata", key]);
    let given = |key| metadata(key).and_then(Value::as_str).filter(|name| !name.is_empty());
    let name = match (given("name"), given("generateName")) {
        (Some(name), _) => name.to_owned(),
        (None, Some(prefix)) => format!("{prefix}*"),
        (None, None) => String::new(),
    };
    let path: Vec<&str> = known.path().collect();
    let owner = known.owner(&name);
    Some(Workload {
        pointer,
        kind,
        api_version,
        name,
        namespace: metadata("namespace"),
        template: known.template,
        pod: item.at(&path).filter(|pod| pod.is_map()),
        owner,
    })
}
