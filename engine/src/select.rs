//! Which policies a Pod gets, and why: the first rule that answers wins.

use std::ops::Bound;

use crate::compile::{CompiledPolicy, Match};
use crate::expr::{Budget, Scope, Uses};
use crate::pod::PodView;
use crate::policy::Enforcement;
use crate::request::{self, Wishes};
use crate::snapshot::{Namespace, Snapshot};

/// The answer about one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    Selected(Because),
    NotSelected(WhyNot),
}

/// Why a policy is selected, in planning order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Because {
    /// It is `Required`, and its `match` holds.
    Required,
    /// The Pod names it.
    Request,
    /// The namespace's label says `enabled`.
    NamespaceLabel,
    /// Its `match` holds.
    Match,
}

impl Because {
    pub(crate) const ALL: [Because; 4] = [
        Because::Required,
        Because::Request,
        Because::NamespaceLabel,
        Because::Match,
    ];

    /// Whether a Pod that cannot have the policy is refused.
    pub(crate) fn binding(self) -> bool {
        matches!(self, Because::Required | Because::Request)
    }
}

/// Why a policy is not selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhyNot {
    NamespaceNotAllowed,
    OptedOut,
    NamespaceDisabled,
    NoMatch,
    OnRequestOnly,
}

impl Selection {
    /// From a closed set, for metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Selection::Selected(Because::Required) => "required",
            Selection::Selected(Because::Request) => "on-request",
            Selection::Selected(Because::NamespaceLabel) => "namespace-label",
            Selection::Selected(Because::Match) => "match",
            Selection::NotSelected(WhyNot::NamespaceNotAllowed) => "namespace-not-allowed",
            Selection::NotSelected(WhyNot::OptedOut) => "opted-out",
            Selection::NotSelected(WhyNot::NamespaceDisabled) => "namespace-disabled",
            Selection::NotSelected(WhyNot::NoMatch) => "no-match",
            Selection::NotSelected(WhyNot::OnRequestOnly) => "on-request-only",
        }
    }
}

/// The prefix of a namespace's labels that switch one policy.
pub(crate) const LABEL_PREFIX: &str = "inject.outrigger.dev/";
/// A namespace's label that switches everything off.
const DISABLED_LABEL: &str = "outrigger.dev/inject";

/// What a namespace's labels say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Enabled,
    Disabled,
}

/// A Pod in its namespace, as far as selection is concerned.
pub(crate) struct Subject<'a> {
    pub(crate) pod: &'a PodView<'a>,
    pub(crate) namespace: &'a Namespace,
    pub(crate) wishes: &'a Wishes<'a>,
    /// Gives the conditions of a policy with this enforcement the variables that they read.
    pub(crate) scope: &'a dyn Fn(Enforcement, &Uses) -> Result<Scope<'a>, String>,
}

/// A policy that a Pod gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'s> {
    pub(crate) policy: &'s CompiledPolicy,
    pub(crate) because: Because,
}

/// What selection comes to, for all policies that could be meant.
#[derive(Debug, Default)]
pub(crate) struct Choices<'s> {
    /// In planning order.
    pub(crate) selected: Vec<Choice<'s>>,
    pub(crate) not_selected: Vec<(&'s CompiledPolicy, WhyNot)>,
    /// A condition could not be evaluated.
    pub(crate) failed: Vec<(Choice<'s>, String)>,
    /// Reasons to refuse the Pod.
    pub(crate) refusals: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Selects among the policies of `snapshot`. Mirror Pods and protected namespaces are the caller's business.
pub(crate) fn select<'s>(snapshot: &'s Snapshot, subject: &Subject<'_>) -> Choices<'s> {
    let mut choices = Choices::default();
    let namespace = subject.namespace;
    let mut candidates = snapshot.may_match(namespace, subject.pod);
    for name in &subject.wishes.wanted {
        match snapshot.visible(name, &namespace.name) {
            Some(policy) => candidates.push(policy),
            None => choices.refusals.push(unknown(name, snapshot, &namespace.name)),
        }
    }
    for name in &subject.wishes.declined {
        match snapshot.visible(name, &namespace.name) {
            Some(policy) => candidates.push(policy),
            None => choices.warnings.push(format!(
                "annotation {}: there is no policy \"{name}\" to opt out of",
                request::INJECT
            )),
        }
    }
    if subject.wishes.empty {
        choices.warnings.push(format!(
            "annotation {} is empty and does nothing; name a policy, or drop it",
            request::INJECT
        ));
    }
    candidates_by_label(snapshot, namespace, &mut candidates, &mut choices.warnings);
    candidates.sort_unstable_by(|a, b| a.id().cmp(b.id()));
    candidates.dedup_by(|a, b| a.id() == b.id());
    for policy in candidates {
        decide_into(policy, subject, &mut choices);
    }
    choices
        .selected
        .sort_by(|a, b| planning_order(a).cmp(&planning_order(b)));
    choices
}

/// `Required`, on request, by label, by match; the cluster's before the namespace's; then by name.
fn planning_order<'c>(choice: &Choice<'c>) -> (Because, bool, &'c str) {
    (
        choice.because,
        choice.policy.id().namespace.is_some(),
        choice.policy.name(),
    )
}

fn candidates_by_label<'s>(
    snapshot: &'s Snapshot,
    namespace: &Namespace,
    candidates: &mut Vec<&'s CompiledPolicy>,
    warnings: &mut Vec<String>,
) {
    let from_prefix = (Bound::Included(LABEL_PREFIX), Bound::Unbounded);
    for (key, value) in namespace.labels.range::<str, _>(from_prefix) {
        let Some(name) = key.strip_prefix(LABEL_PREFIX) else {
            break;
        };
        if !matches!(value.as_str(), "enabled" | "disabled") {
            let label = format!("{key}={value}");
            warnings.push(format!(
                "namespace \"{}\": label {label} counts as absent; write enabled or disabled",
                namespace.name
            ));
        }
        match snapshot.visible(name, &namespace.name) {
            Some(policy) => candidates.push(policy),
            None => warnings.push(format!("namespace \"{}\": label {key} names no policy", namespace.name)),
        }
    }
    if let Some(value) = namespace.label(DISABLED_LABEL).filter(|value| *value != "disabled") {
        let label = format!("{DISABLED_LABEL}={value}");
        warnings.push(format!(
            "namespace \"{}\": label {label} counts as absent; write disabled, or {LABEL_PREFIX}<policy>=enabled for one policy",
            namespace.name
        ));
    }
}

fn decide_into<'s>(policy: &'s CompiledPolicy, subject: &Subject<'_>, choices: &mut Choices<'s>) {
    let named = subject.wishes.wanted.contains(&policy.name());
    match decide(policy, subject) {
        Ok(Selection::Selected(because)) => {
            if because == Because::Required && opts_out(policy, subject.wishes) {
                let message = format!(
                    "policy \"{}\" is required here; opting out has no effect",
                    policy.name()
                );
                choices.warnings.push(message);
            }
            choices.selected.push(Choice { policy, because });
        }
        Ok(Selection::NotSelected(why)) => {
            if named && why == WhyNot::NamespaceNotAllowed {
                choices.refusals.push(format!(
                    "policy \"{}\" may not be used in namespace \"{}\"; take it out of the annotation {}, or ask for the namespace to be allowed",
                    policy.name(),
                    subject.namespace.name,
                    request::INJECT
                ));
            }
            choices.not_selected.push((policy, why));
        }
        Err((because, message)) => choices.failed.push((Choice { policy, because }, message)),
    }
}

fn opts_out(policy: &CompiledPolicy, wishes: &Wishes<'_>) -> bool {
    wishes.nothing || wishes.declined.contains(&policy.name())
}

/// The rules about one policy, in their order.
///
/// # Errors
/// When a condition that would decide cannot be evaluated: how the policy would have been selected, and a message.
pub(crate) fn decide(policy: &CompiledPolicy, subject: &Subject<'_>) -> Result<Selection, (Because, String)> {
    use Selection::{NotSelected, Selected};
    let head = policy.head();
    let namespace = subject.namespace;
    if head
        .allowed_namespaces
        .as_ref()
        .is_some_and(|allowed| !allowed.matches(|key| namespace.label(key)))
    {
        return Ok(NotSelected(WhyNot::NamespaceNotAllowed));
    }
    let required = head.enforcement == Enforcement::Required;
    let holds = |because| match &head.matches {
        None => Ok(false),
        Some(matches) => holds(matches, head.enforcement, subject).map_err(|message| (because, message)),
    };
    if required && holds(Because::Required)? {
        return Ok(Selected(Because::Required));
    }
    if opts_out(policy, subject.wishes) {
        return Ok(NotSelected(WhyNot::OptedOut));
    }
    if subject.wishes.wanted.contains(&policy.name()) {
        return Ok(Selected(Because::Request));
    }
    match label_switch(policy.name(), namespace) {
        Some(Switch::Enabled) => return Ok(Selected(Because::NamespaceLabel)),
        Some(Switch::Disabled) => return Ok(NotSelected(WhyNot::NamespaceDisabled)),
        None => {}
    }
    match head.matches {
        None => Ok(NotSelected(WhyNot::OnRequestOnly)),
        Some(_) if !required && holds(Because::Match)? => Ok(Selected(Because::Match)),
        Some(_) => Ok(NotSelected(WhyNot::NoMatch)),
    }
}

fn label_switch(policy: &str, namespace: &Namespace) -> Option<Switch> {
    match namespace.label(&[LABEL_PREFIX, policy].concat()) {
        Some("enabled") => Some(Switch::Enabled),
        Some("disabled") => Some(Switch::Disabled),
        _ => namespace
            .label(DISABLED_LABEL)
            .filter(|value| *value == "disabled")
            .map(|_| Switch::Disabled),
    }
}

/// Whether all of a `match` holds. A condition that is false decides, whatever others fail with, as in Kubernetes.
fn holds(matches: &Match, enforcement: Enforcement, subject: &Subject<'_>) -> Result<bool, String> {
    let in_namespace = |key: &str| subject.namespace.label(key);
    let on_pod = |key: &str| subject.pod.label(key);
    if matches
        .namespace_selector
        .as_ref()
        .is_some_and(|selector| !selector.matches(in_namespace))
        || matches
            .pod_selector
            .as_ref()
            .is_some_and(|selector| !selector.matches(on_pod))
    {
        return Ok(false);
    }
    let mut failure = None;
    let mut budget = Budget::default();
    for condition in &matches.conditions {
        let scope = (subject.scope)(enforcement, condition.expression.uses());
        let outcome = scope.and_then(|scope| condition.expression.evaluate_bool_within(&scope, &mut budget));
        match outcome {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(_) if budget.is_spent() => {
                return Err(format!(
                    "condition \"{}\": the conditions take too many steps; read less of the Pod",
                    condition.name
                ));
            }
            Err(message) => failure = Some(format!("condition \"{}\": {message}", condition.name)),
        }
    }
    failure.map_or(Ok(true), Err)
}

fn unknown(name: &str, snapshot: &Snapshot, namespace: &str) -> String {
    let nearest = crate::names::nearest(name, snapshot.visible_names(namespace));
    let hint = match nearest[..] {
        [] => "; kubectl get clusterinjectionpolicies,injectionpolicies shows those that there are".to_owned(),
        _ => format!("; did you mean \"{}\"?", nearest.join("\" or \"")),
    };
    format!(
        "annotation {}: there is no policy \"{name}\" in namespace \"{namespace}\"{hint}",
        request::INJECT
    )
}
