//! The answer to an admission while it is put together.

use std::collections::HashSet;

use super::record;
use crate::admission::{Admission, Decision, Refusal, Trouble, Verdict};
use crate::compile::CompiledPolicy;
use crate::names;
use crate::pod::PodView;
use crate::policy::Enforcement;
use crate::render::Rendered;
use crate::select::Choice;

/// Characters of what the annotation `outrigger.dev/skipped` says of one policy: it may quote what the Pod holds.
const MAX_NOTE: usize = 256;

/// Why a policy cannot be injected.
pub(super) struct Failure {
    code: u16,
    message: String,
    /// What others are told instead, where the message may quote what the Pod holds.
    instead: Option<&'static str>,
}

impl Failure {
    pub(super) fn new(message: String) -> Failure {
        Failure {
            code: 403,
            message,
            instead: None,
        }
    }

    /// A value that the Pod's author wrote.
    pub(super) fn bad_value(message: String) -> Failure {
        Failure {
            code: 422,
            message,
            instead: Some("a value that was set for it cannot be used"),
        }
    }

    /// The same, of which others are told no more than this.
    pub(super) fn told_as(self, instead: &'static str) -> Failure {
        Failure {
            instead: Some(instead),
            ..self
        }
    }
}

/// An answer in the making.
#[derive(Default)]
pub(super) struct Answer {
    refusals: Vec<(u16, String)>,
    pub(super) warnings: Vec<String>,
    skipped: Vec<(String, String)>,
    pub(super) audit_annotations: Vec<(&'static str, String)>,
    audited: Vec<String>,
    decisions: Vec<Decision>,
    troubles: Vec<Trouble>,
}

impl Answer {
    pub(super) fn warn(&mut self, message: String) {
        self.warnings.push(message);
    }

    /// Refuses the Pod for what it asks for.
    pub(super) fn refuse(&mut self, message: String, told: &str) {
        self.refusals.push((422, message));
        self.troubles.push(Trouble {
            policy: None,
            refused: true,
            why: told.to_owned(),
        });
    }

    pub(super) fn is_refused(&self) -> bool {
        !self.refusals.is_empty()
    }

    pub(super) fn decide(&mut self, policy: &CompiledPolicy, reason: &'static str) {
        self.decisions.push(Decision {
            policy: policy.id().clone(),
            reason,
        });
    }

    pub(super) fn skip(&mut self, policy: &CompiledPolicy, why: &str) {
        self.skipped
            .push((policy.name().to_owned(), names::shortened(why, MAX_NOTE)));
    }

    pub(super) fn pause(&mut self, policy: &CompiledPolicy) {
        self.decide(policy, "paused");
        self.warn(format!(
            "policy \"{}\" is paused; the Pod does not get it",
            policy.name()
        ));
        self.skip(policy, "paused");
    }

    /// A selected policy cannot be injected: the Pod is refused, or goes without.
    pub(super) fn fail(&mut self, choice: Choice<'_>, failure: Failure) {
        let policy = choice.policy;
        let Failure { code, message, instead } = failure;
        if policy.enforcement() == Enforcement::Audit {
            self.decide(policy, "audit");
            self.audited.push(policy.name().to_owned());
            self.warn(format!(
                "policy \"{}\" is in audit; it would fail: {message}",
                policy.name()
            ));
            return;
        }
        self.decide(policy, "failed");
        let refused = choice.because.binding();
        self.troubles.push(Trouble {
            policy: Some(policy.id().clone()),
            refused,
            why: instead.map_or_else(|| names::shortened(&message, MAX_NOTE), str::to_owned),
        });
        if refused {
            return self
                .refusals
                .push((code, format!("policy \"{}\": {message}", policy.name())));
        }
        self.warn(format!("policy \"{}\" is left out: {message}", policy.name()));
        self.skip(policy, &message);
    }

    pub(super) fn audit(&mut self, policy: &CompiledPolicy, rendered: &Rendered, failure: Option<String>) {
        self.decide(policy, "audit");
        self.audited.push(policy.name().to_owned());
        let names: Vec<&str> = rendered.helpers.iter().map(|helper| helper.name.as_str()).collect();
        let would = match (failure, names.is_empty()) {
            (Some(message), _) => format!("fail: {message}"),
            (None, true) => "change the Pod without adding a container".to_owned(),
            (None, false) => format!("add container {}", names.join(", ")),
        };
        self.warn(format!("policy \"{}\" is in audit; it would {would}", policy.name()));
    }

    /// The value of the annotation that says what was left out; also where an earlier value is no longer true.
    pub(super) fn skipped_annotation(&mut self, pod: &PodView<'_>) -> Option<String> {
        self.skipped.sort_unstable();
        let notes: Vec<String> = self
            .skipped
            .iter()
            .map(|(policy, why)| format!("{policy}: {why}"))
            .collect();
        let value = notes.join("; ");
        let names: Vec<String> = self.skipped.drain(..).map(|(policy, _)| policy).collect();
        if !names.is_empty() {
            self.audit_annotations.push(("skipped", names.join(",")));
        }
        match pod.annotation(record::SKIPPED) {
            None if value.is_empty() => None,
            // An earlier call has said so.
            Some(there) if there == value => {
                self.troubles.retain(|trouble| trouble.refused);
                None
            }
            _ => Some(value),
        }
    }

    pub(super) fn finish(mut self, patch: Option<Vec<u8>>) -> Admission {
        if !self.audited.is_empty() {
            self.audited.sort_unstable();
            self.audit_annotations.push(("audited", self.audited.join(",")));
        }
        let mut seen = HashSet::new();
        self.warnings.retain(|warning| seen.insert(warning.clone()));
        let code = self.refusals.iter().map(|(code, _)| *code).min();
        let verdict = match (code, patch) {
            (Some(code), _) => {
                let messages: Vec<String> = self.refusals.into_iter().map(|(_, message)| message).collect();
                Verdict::Refused(Refusal {
                    code,
                    message: messages.join("; "),
                })
            }
            (None, Some(patch)) => Verdict::Patched(patch),
            (None, None) => Verdict::Unchanged,
        };
        Admission {
            verdict,
            warnings: self.warnings,
            audit_annotations: self.audit_annotations,
            decisions: self.decisions,
            troubles: self.troubles,
        }
    }
}
