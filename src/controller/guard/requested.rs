//! `outrigger-requested`: a Pod that names a policy carries it, or is refused.
//!
//! The grammar of the annotation is read as the engine reads it. Whether a Pod carries a policy says its record, which only
//! the Pod's author could forge, who asked for it. No policy is listed here save those that are paused or in audit: so
//! nothing changes when one is added.
use super::{
    Facts, cel,
    check::{Check, Draft, EXPRESSION_BYTES, REQUESTED, Validation, common},
};
use outrigger_engine::{CompiledPolicy, Snapshot, policy::Enforcement};
use std::collections::BTreeSet;

/// The user's text as a literal in a message, and not too much of it.
const INJECT_IN_MESSAGE: &str =
    "strings.quote(variables.inject.size() > 200 ? variables.inject.substring(0, 200) + '…' : variables.inject)";

pub(super) fn check(snapshot: &Snapshot, facts: &Facts) -> Check {
    let mut draft = Draft::new(REQUESTED);
    common(&mut draft, facts);
    draft.variable("inject", "variables.annotations[?'outrigger.dev/inject'].orValue('')");
    draft.variable(
        "terms",
        "variables.inject.split(',').map(t, t.trim()).filter(t, t != '')",
    );
    draft.variable("nothing", "variables.terms == ['false']");
    draft.variable(
        "wanted",
        "variables.nothing ? [] : variables.terms.filter(t, !t.startsWith('-'))",
    );
    draft.variable(
        "declined",
        "variables.terms.filter(t, t.startsWith('-')).map(t, t.substring(1).trim())",
    );
    draft.variable(
        "readable",
        "variables.nothing || (variables.terms.size() <= 64 \
         && (variables.wanted + variables.declined).all(n, n.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$') && !(n in ['true', 'enabled', 'false'])) \
         && !variables.wanted.exists(n, n in variables.declined))",
    );
    namespace_labels(&mut draft);
    exceptions(&mut draft, snapshot);
    draft.variable(
        "missing",
        "variables.wanted.filter(n, !(n in variables.injected) && !(n in variables.idle) && !(request.namespace + '/' + n in variables.idleHere))",
    );
    validations(&mut draft);
    draft.finish(snapshot, facts)
}

pub(super) fn namespace_labels(draft: &mut Draft) {
    draft.variable("namespaceLabels", "namespaceObject.metadata.?labels.orValue({})");
}

/// Policies that are paused or in audit: nobody is refused for not having them.
fn exceptions(draft: &mut Draft, snapshot: &Snapshot) {
    let mut policies: Vec<&CompiledPolicy> = snapshot.policies().iter().map(AsRef::as_ref).collect();
    policies.sort_by_key(|policy| policy.id());
    let of_cluster: BTreeSet<&str> = policies
        .iter()
        .filter(|policy| policy.id().namespace.is_none())
        .map(|policy| policy.id().name.as_str())
        .collect();
    let (mut idle, mut idle_here) = (Listed::default(), Listed::default());
    for policy in policies {
        let outline = policy.outline(snapshot.settings());
        if !(outline.paused || outline.enforcement == Enforcement::Audit) {
            continue;
        }
        let id = policy.id();
        let allowed: Vec<String> = cel::selector(outline.allowed_namespaces, "variables.namespaceLabels").collect();
        let listed = match &id.namespace {
            None => idle.add(&id.name, &allowed),
            // The cluster's is meant by that name.
            Some(_) if of_cluster.contains(id.name.as_str()) => true,
            Some(namespace) => idle_here.add(&format!("{namespace}/{}", id.name), &[]),
        };
        if !listed {
            draft.leave_out(
                &id.to_string(),
                "there are more paused policies and policies in audit than fit into one expression",
            );
        }
    }
    draft.variable("idle", idle.expression());
    draft.variable("idleHere", idle_here.expression());
}

/// Names, some of them under a condition.
#[derive(Default)]
struct Listed {
    always: Vec<String>,
    sometimes: Vec<String>,
    bytes: usize,
}

impl Listed {
    /// Whether it fits.
    fn add(&mut self, name: &str, when: &[String]) -> bool {
        let sometimes = format!("({} ? {} : [])", cel::all(when), cel::texts([name]));
        let bytes = if when.is_empty() {
            name.len() + 4
        } else {
            sometimes.len() + 3
        };
        if self.bytes + bytes > EXPRESSION_BYTES {
            return false;
        }
        self.bytes += bytes;
        match when {
            [] => self.always.push(name.to_owned()),
            _ => self.sometimes.push(sometimes),
        }
        true
    }

    fn expression(&self) -> String {
        let always = cel::texts(self.always.iter().map(String::as_str));
        let lists = std::iter::once(always).chain(self.sometimes.iter().cloned());
        lists.collect::<Vec<_>>().join(" + ")
    }
}

fn validations(draft: &mut Draft) {
    draft.validation(Validation {
        expression: "request.operation != 'CREATE' || variables.readable".to_owned(),
        message: "annotation outrigger.dev/inject cannot be read; write names of policies".to_owned(),
        message_expression: Some(format!(
            "'annotation outrigger.dev/inject: ' + {INJECT_IN_MESSAGE} + ' cannot be read; write names of policies, as in \"log-saver, memcached\", \"-log-saver\" to opt out of one, or \"false\" to opt out of all'"
        )),
        reason: "Invalid",
    });
    draft.validation(Validation {
        expression: "request.operation != 'CREATE' || !variables.readable || variables.missing.size() == 0".to_owned(),
        message: "the Pod names a policy in annotation outrigger.dev/inject and does not carry it".to_owned(),
        message_expression: Some(
            "'policy \"' + variables.missing.join('\", \"') + '\": the Pod names it in annotation outrigger.dev/inject and does not carry it: Outrigger may be away; create the Pod again when it is back, or take the name out of the annotation. To let such Pods pass without their helpers meanwhile, a cluster admin deletes the ValidatingAdmissionPolicyBinding \"outrigger-requested\"'"
                .to_owned(),
        ),
        reason: "Forbidden",
    });
    draft.validation(Validation {
        expression: "request.operation != 'UPDATE' || variables.byInjector || variables.annotations[?'outrigger.dev/injected'] == variables.oldAnnotations[?'outrigger.dev/injected']"
            .to_owned(),
        message: "annotation outrigger.dev/injected says which policies the Pod carries, and stays as it is; leave it alone, or create the Pod again"
            .to_owned(),
        message_expression: None,
        reason: "Forbidden",
    });
}
