//! `outrigger-required`: a Pod that a `Required` policy selects carries it, or is refused.
//!
//! The record alone proves nothing: the containers must be there with what of them is the same in every Pod. A
//! condition is a variable of its own, so that the API server's message names it when it fails. A condition that is false
//! decides, whatever others fail with, in CEL as in the engine.
use super::{
    Facts, cel,
    check::{Check, Draft, EXPRESSION_BYTES, Part, REQUIRED, Validation, common, record},
    requested::namespace_labels,
};
use outrigger_engine::{
    CertainContainer, CompiledPolicy, MatchOutline, Outline, Settings, Snapshot, policy::Enforcement,
};
use std::collections::BTreeMap;

const WAY_OUT: &str = "Outrigger may be away; create the Pod again when it is back. To let Pods pass without it meanwhile, a cluster admin deletes the ValidatingAdmissionPolicyBinding \"outrigger-required\"";

pub(super) fn check(snapshot: &Snapshot, facts: &Facts) -> Check {
    let mut draft = Draft::new(REQUIRED);
    common(&mut draft, facts);
    namespace_labels(&mut draft);
    draft.variable("labels", "object.metadata.?labels.orValue({})");
    draft.variable("containers", "object.spec.containers");
    draft.variable("initContainers", "object.spec.?initContainers.orValue([])");
    let mut policies: Vec<&CompiledPolicy> = snapshot.policies().iter().map(AsRef::as_ref).collect();
    policies.sort_by_key(|policy| policy.id());
    let mut kept = Kept::default();
    for policy in policies {
        let outline = policy.outline(snapshot.settings());
        if outline.enforcement != Enforcement::Required || policy.id().namespace.is_some() {
            continue;
        }
        let name = policy.id().name.as_str();
        if !kept.add(name, &outline, snapshot.settings()) {
            draft.leave_out(name, "there are more Required policies than fit into one expression");
        } else if facts.unusable.contains(name) {
            draft.leave_out(name, "the API server does not take its conditions");
        } else if let Some(part) = part(policy, &outline, snapshot.settings()) {
            draft.part(name, part);
        }
    }
    kept.write(&mut draft);
    draft.finish(snapshot, facts)
}

/// What the object says of one policy; `None` where it selects nothing.
fn part(policy: &CompiledPolicy, outline: &Outline<'_>, settings: &Settings) -> Option<Part> {
    let matches = outline.matches.as_ref().filter(|_| !outline.paused)?;
    let name = policy.id().name.as_str();
    let selected = cel::identifier("selected", name);
    let carried = cel::identifier("carried", name);
    let (mut variables, conditions) = conditions(name, matches);
    let in_namespace = "variables.namespaceLabels";
    let tests: Vec<String> = cel::selector(outline.allowed_namespaces, in_namespace)
        .chain(cel::selector(matches.namespace_selector, in_namespace))
        .chain(cel::selector(matches.pod_selector, "variables.labels"))
        .chain(conditions)
        .collect();
    variables.push((selected.clone(), cel::all(&tests)));
    let (is_carried, message) = match &outline.containers {
        Some(containers) => (
            carries(name, containers, settings),
            format!(
                "policy \"{name}\" is required for this Pod, which does not carry it{}: {WAY_OUT}",
                described(containers)
            ),
        ),
        None => ("false".to_owned(), broken(policy)),
    };
    variables.push((carried.clone(), is_carried));
    // What the Pod carries counts before what cannot be told: an error is absorbed by what is true.
    let expression = format!("request.operation != 'CREATE' || !variables.{selected} || variables.{carried}");
    Some(Part {
        variables,
        validation: Validation {
            expression,
            message,
            message_expression: None,
            reason: "Forbidden",
        },
    })
}

/// A variable for each condition, and what reads them.
fn conditions(policy: &str, matches: &MatchOutline<'_>) -> (Vec<(String, String)>, Vec<String>) {
    let conditions = matches.conditions.iter().enumerate();
    let variables: Vec<(String, String)> = conditions
        .map(|(index, (_, expression))| {
            let name = cel::identifier(&format!("condition_{index}"), policy);
            (name, (*expression).to_owned())
        })
        .collect();
    let read = variables.iter().map(|(name, _)| format!("variables.{name}")).collect();
    (variables, read)
}

/// Whether the Pod carries a policy with these containers.
fn carries(policy: &str, containers: &[CertainContainer<'_>], settings: &Settings) -> String {
    let recorded = format!("{} in variables.injected", cel::text(policy));
    let there = containers.iter().filter_map(|container| is_there(container, settings));
    cel::all(&std::iter::once(recorded).chain(there).collect::<Vec<_>>())
}

/// Whether a container is there; `None` where nothing of it can be told.
fn is_there(container: &CertainContainer<'_>, settings: &Settings) -> Option<String> {
    let compared = |field: &str| !settings.foreign_changes.iter().any(|foreign| foreign == field);
    let same = |field: &str, value: Option<&str>| {
        let value = value.filter(|_| compared(field))?;
        Some(format!("c.?{field}.orValue('') == {}", cel::text(value)))
    };
    let same_list = |field: &str, items: Option<&Vec<&str>>| {
        let items = items.filter(|_| compared(field))?;
        Some(format!(
            "c.?{field}.orValue([]) == {}",
            cel::texts(items.iter().copied())
        ))
    };
    let tests = [
        same("name", container.name),
        same("image", container.image),
        same_list("command", container.command.as_ref()),
        same_list("args", container.args.as_ref()),
    ];
    let mut tests: Vec<String> = tests.into_iter().flatten().collect();
    if tests.is_empty() {
        return None;
    }
    let restart = if container.native { "==" } else { "!=" };
    if container.list == "initContainers" && compared("restartPolicy") {
        tests.push(format!("c.?restartPolicy.orValue('') {restart} 'Always'"));
    }
    Some(format!(
        "variables.{}.exists(c, {})",
        container.list,
        tests.join(" && ")
    ))
}

/// Which containers a Pod lacks, for its author.
fn described(containers: &[CertainContainer<'_>]) -> String {
    let told = containers.iter().filter_map(|container| {
        let name = container.name?;
        let image = container.image.map(|image| format!(" of image \"{image}\""));
        Some(format!("container \"{name}\"{}", image.unwrap_or_default()))
    });
    let told: Vec<String> = told.collect();
    match told.is_empty() {
        true => String::new(),
        false => format!(" ({})", told.join(", ")),
    }
}

fn broken(policy: &CompiledPolicy) -> String {
    let name = &policy.id().name;
    let first = policy.errors().first();
    let first = first.map_or(String::new(), |error| format!(": {}: {}", error.path, error.message));
    let text = format!(
        "policy \"{name}\" is required for this Pod and is not accepted{first}; mend the policy, or delete the ValidatingAdmissionPolicyBinding \"outrigger-required\" meanwhile"
    );
    text.replace(['\n', '\r'], " ")
}

/// What later changes of a Pod leave as it is: files and images of `Required` policies.
#[derive(Default)]
struct Kept<'p> {
    policies: Vec<&'p str>,
    /// For each container's name the policies that have it, with its image; empty where an expression makes it.
    images: BTreeMap<&'p str, Vec<(&'p str, &'p str)>>,
    bytes: usize,
}

impl<'p> Kept<'p> {
    /// Whether it fits.
    fn add(&mut self, policy: &'p str, outline: &Outline<'p>, settings: &Settings) -> bool {
        let foreign = settings.foreign_changes.iter().any(|field| field == "image");
        let containers = outline.containers.iter().flatten().filter(|_| !foreign);
        let images: Vec<(&str, &str)> = containers
            .filter_map(|container| Some((container.name?, container.image.unwrap_or_default())))
            .collect();
        let bytes = images
            .iter()
            .map(|(name, image)| name.len() + policy.len() + image.len() + 24);
        let bytes = bytes.sum::<usize>() + policy.len() + 4;
        if self.bytes + bytes > EXPRESSION_BYTES {
            return false;
        }
        self.bytes += bytes;
        self.policies.push(policy);
        for (name, image) in images {
            self.images.entry(name).or_default().push((policy, image));
        }
        true
    }

    fn write(&self, draft: &mut Draft) {
        draft.variable("required", cel::texts(self.policies.iter().copied()));
        let images: Vec<String> = self
            .images
            .iter()
            .map(|(name, of)| {
                let of: Vec<String> = of.iter().map(|(policy, image)| cel::texts([*policy, *image])).collect();
                format!("{}: [{}]", cel::text(name), of.join(", "))
            })
            .collect();
        draft.variable("images", format!("{{{}}}", images.join(", ")));
        draft.variable("oldInjected", record("variables.oldAnnotations"));
        let is_file =
            "k.contains('.files.outrigger.dev/') && k.split('.files.outrigger.dev/')[0] in variables.required";
        draft.variable(
            "changedFiles",
            format!(
                "request.operation != 'UPDATE' ? [] : \
                 variables.oldAnnotations.filter(k, {is_file} && !(k in variables.annotations && variables.annotations[k] == variables.oldAnnotations[k])) \
                 + variables.annotations.filter(k, {is_file} && !(k in variables.oldAnnotations))"
            ),
        );
        draft.variable(
            "oldContainers",
            "oldObject.spec.containers + oldObject.spec.?initContainers.orValue([])",
        );
        draft.variable(
            "changedImages",
            "request.operation != 'UPDATE' ? [] : (variables.containers + variables.initContainers).filter(c, \
             c.name in variables.images && variables.images[c.name].exists(i, i[0] in variables.oldInjected) \
             && !variables.images[c.name].exists(i, i[0] in variables.oldInjected && i[1] == c.image) \
             && !variables.oldContainers.exists(o, o.name == c.name && o.image == c.image)).map(c, c.name)",
        );
        draft.validation(Validation {
            expression: "variables.byInjector || variables.changedFiles.size() == 0".to_owned(),
            message: "files of a Required policy stay as they are".to_owned(),
            message_expression: Some(
                "'annotation ' + variables.changedFiles.join(', ') + ': a file of a Required policy stays as it is; change the policy or its parameters, and create the Pod again'"
                    .to_owned(),
            ),
            reason: "Forbidden",
        });
        draft.validation(Validation {
            expression: "variables.byInjector || variables.changedImages.size() == 0".to_owned(),
            message: "images of a Required policy's containers stay as they are".to_owned(),
            message_expression: Some(
                "'container \"' + variables.changedImages.join('\", \"') + '\" belongs to a Required policy: its image changes only to the one that the policy has; change the policy, and create the Pod again'"
                    .to_owned(),
            ),
            reason: "Forbidden",
        });
    }
}
