//! One admission, from Pod to patch: select, render, plan, write.
//!
//! **Architecture Invariant:** a Pod that an earlier call has been through comes out as it went in; what is ours is
//! recognised by comparing it with what the policy renders, never by a claim of the Pod's own.

mod annotations;
mod answer;
mod emit;
mod known_refusals;
mod objects;
mod own;
mod patch;
mod place;
mod plan;
mod proof;
mod record;
mod rendering;
mod shared;
mod slot;
mod strip;

use serde_json::Value;

use crate::admission::{Admission, PodRequest};
use crate::compile::{Body, CompiledPolicy};
use crate::expr::Uses;
use crate::pod::{PodView, Spec};
use crate::policy::Enforcement;
use crate::render::MaybeOwned;
use crate::request::{self, Wishes};
use crate::select::{self, Because, Choice, Choices, Subject};
use crate::snapshot::{Namespace, Snapshot};

use answer::{Answer, Failure};
use objects::{Objects, View};
use plan::{Candidate, Plan, Presence};
pub(crate) use record::{INJECTED, Injected, Record};
use rendering::Renderer;
pub(crate) use slot::Slot;

/// Bytes of the keys of our annotations, and of the names in `kubectl.kubernetes.io/default-container`.
const KEYS_OF_OUR_ANNOTATIONS: usize = 256;
/// The annotation by which kubelet marks its mirrors of static Pods.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";

/// Decides about one Pod that is about to be created.
pub fn admit(snapshot: &Snapshot, request: &PodRequest<'_>) -> Admission {
    let pod = request.pod;
    let mut answer = Answer::default();
    if pod.annotation(MIRROR).is_some() {
        return answer.finish(None);
    }
    let inject = pod.annotation(request::INJECT);
    if snapshot.is_protected(request.namespace) {
        if inject.is_some() {
            let (key, namespace) = (request::INJECT, request.namespace);
            answer.warn(format!(
                "annotation {key} has no effect in the protected namespace \"{namespace}\""
            ));
        }
        return answer.finish(None);
    }
    let unknown_namespace;
    let namespace = match snapshot.namespace(request.namespace) {
        Some(namespace) => namespace,
        None => {
            unknown_namespace = Namespace::named(request.namespace);
            &unknown_namespace
        }
    };
    let wishes = match inject.map(request::parse) {
        None => Wishes::default(),
        Some(Ok(wishes)) => wishes,
        Some(Err(message)) => {
            answer.refuse(message, "its annotation outrigger.dev/inject cannot be read");
            return answer.finish(None);
        }
    };
    let injected = Injected::parse(pod.annotation(record::INJECTED));
    let renderer = Renderer {
        snapshot,
        pod,
        namespace,
    };
    let strip = |object: &mut Value| strip::strip(object, &injected, snapshot, request.namespace);
    let strip_proven = |object: &mut Value, objects: &Objects<'_>| {
        proof::strip(object, &injected, &renderer, &|uses| {
            objects.scope(uses, View::Recorded)
        });
    };
    let objects = Objects::new(request.object, namespace, &strip, &strip_proven);
    let subject = Subject {
        pod,
        namespace,
        wishes: &wishes,
        scope: &|enforcement, uses| objects.scope(uses, View::of(enforcement)),
    };
    let choices = select::select(snapshot, &subject);
    let inputs = Inputs {
        snapshot,
        pod,
        namespace,
        renderer: &renderer,
        objects: &objects,
        injected: &injected,
    };
    inputs.answer(choices, answer)
}

/// What an admission goes by.
struct Inputs<'a> {
    snapshot: &'a Snapshot,
    pod: &'a PodView<'a>,
    namespace: &'a Namespace,
    renderer: &'a Renderer<'a>,
    objects: &'a Objects<'a>,
    injected: &'a Injected<'a>,
}

impl<'a> Inputs<'a> {
    fn answer(&self, choices: Choices<'a>, mut answer: Answer) -> Admission {
        annotations::warn(self, &choices, &mut answer);
        choices.warnings.into_iter().for_each(|warning| answer.warn(warning));
        for message in choices.refusals {
            answer.refuse(
                message,
                "its annotation outrigger.dev/inject names a policy that cannot be had in this namespace",
            );
        }
        for (choice, message) in choices.failed {
            match choice.policy.head().paused {
                true => answer.pause(choice.policy),
                false => answer.fail(
                    choice,
                    Failure::new(message).told_as("a condition of its match cannot be evaluated"),
                ),
            }
        }
        for (policy, why) in choices.not_selected {
            answer.decide(policy, select::Selection::NotSelected(why).reason());
        }
        let (mut room, empty, mut selected) = (Spec::default(), Spec::default(), choices.selected);
        let spec = match selected.is_empty() {
            true => &empty,
            false => self.pod.spec(&mut room).unwrap_or_else(|error| {
                let message = format!("the Pod's spec cannot be read: {error}; write it as core/v1 has it");
                let unable = |choice| answer.fail(choice, Failure::bad_value(message.clone()));
                selected.drain(..).for_each(unable);
                &empty
            }),
        };
        let mut candidates = Vec::with_capacity(selected.len());
        let mut other_versions = Vec::new();
        for choice in selected {
            match self.prepare(choice, spec, &mut answer) {
                Prepared::Candidate(candidate) => candidates.push(*candidate),
                Prepared::OtherVersion(slots) => other_versions.extend(slots),
                Prepared::Done => {}
            }
        }
        tell_owners_apart(&mut candidates, spec);
        let mut plan = Plan::new(
            self.pod,
            spec,
            self.snapshot.settings(),
            self.objects,
            &candidates,
            &other_versions,
        );
        let mut injected = self.injected.clone();
        for (index, candidate) in candidates.iter().enumerate() {
            self.plan_one(index, candidate, &mut plan, &mut injected, &mut answer);
        }
        plan.take_warnings()
            .into_iter()
            .for_each(|warning| answer.warn(warning));
        if answer.is_refused() {
            return answer.finish(None);
        }
        let touched = !plan.accepted.is_empty();
        // A record of what is not there must not stay, also where nothing is added.
        let recorded = touched || injected != *self.injected;
        let injected = injected.to_value();
        let room =
            |value: &String| plan.has_room_for_annotation(injected.len() + value.len() + KEYS_OF_OUR_ANNOTATIONS);
        let skipped = answer.skipped_annotation(self.pod).filter(room);
        let patch = emit::emit(&plan, recorded.then_some(injected.as_str()), skipped.as_deref());
        if touched {
            answer.audit_annotations.push(("injected", injected));
        }
        answer.finish(patch)
    }

    /// Everything about one selected policy that does not depend on the others.
    fn prepare(&self, choice: Choice<'a>, spec: &Spec<'_>, answer: &mut Answer) -> Prepared<'a> {
        let policy = choice.policy;
        if policy.head().paused {
            answer.pause(policy);
            return Prepared::Done;
        }
        let Some(body) = policy.body() else {
            let first = policy
                .errors()
                .first()
                .map_or(String::new(), |error| format!(": {}: {}", error.path, error.message));
            answer.fail(choice, Failure::new(format!("it is not accepted{first}")));
            return Prepared::Done;
        };
        let rendered = match self.render(policy, body, answer) {
            Ok(rendered) => rendered,
            Err(failure) => {
                answer.fail(choice, failure);
                return Prepared::Done;
            }
        };
        let record = self.injected.of(policy.name(), &body.hash);
        let mut candidate = Candidate {
            choice,
            body,
            rendered,
            record,
            present: Vec::new(),
        };
        if record == Record::Other {
            let slots: Option<Vec<Slot>> = candidate
                .rendered
                .helpers
                .iter()
                .map(|helper| Slot::named(&helper.name, spec))
                .collect();
            // A record without the containers is no record.
            if let Some(slots) = slots.filter(|slots| !slots.is_empty()) {
                return self.other_version(choice, slots, answer);
            }
            candidate.record = Record::None;
        }
        candidate.present = candidate
            .rendered
            .helpers
            .iter()
            .map(|helper| self.presence(helper, &candidate, spec))
            .collect();
        if let Some(why) = known_refusals::find(&candidate, spec, self.namespace) {
            answer.fail(candidate.choice, candidate.failure(why));
            return Prepared::Done;
        }
        Prepared::Candidate(Box::new(candidate))
    }

    fn other_version(&self, choice: Choice<'a>, slots: Vec<Slot>, answer: &mut Answer) -> Prepared<'a> {
        let name = choice.policy.name();
        if choice.policy.enforcement() == Enforcement::Required {
            let message = format!(
                "the Pod carries another version of it; create the Pod again, without the annotation {} and the helper's containers if it is a copy",
                record::INJECTED
            );
            answer.fail(
                Choice {
                    because: Because::Required,
                    ..choice
                },
                Failure::new(message),
            );
            return Prepared::OtherVersion(slots);
        }
        answer.decide(choice.policy, "other-version");
        answer.warn(format!(
            "policy \"{name}\": the Pod carries another version of it, which is left as it is"
        ));
        Prepared::OtherVersion(slots)
    }

    fn render(
        &self,
        policy: &'a CompiledPolicy,
        body: &'a Body,
        answer: &mut Answer,
    ) -> Result<MaybeOwned<'a>, Failure> {
        let view = View::of(policy.enforcement());
        let scope = |uses: &Uses| self.objects.scope(uses, view);
        self.renderer
            .render(policy, body, &scope, &mut |warning| answer.warn(warning))
    }

    fn presence(&self, helper: &crate::render::Helper, candidate: &Candidate<'_>, spec: &Spec<'_>) -> Presence {
        let Some(slot) = Slot::named(&helper.name, spec) else {
            return Presence::Absent;
        };
        let (list, native) = helper.slot(self.snapshot.settings());
        if slot.list != list {
            return Presence::Foreign("the list that it is in".into());
        }
        if candidate.record == Record::Same && !candidate.required() {
            return Presence::Ours(slot);
        }
        let Some(there) = self.objects.named(list.field(), &helper.name) else {
            return Presence::Foreign("what cannot be read".into());
        };
        let mut wanted = helper.whole(native);
        let mut ignored = &[][..];
        if candidate.required() {
            ignored = &self.snapshot.settings().foreign_changes[..];
            own::demand_the_images_own_program(&mut wanted);
        }
        match own::difference(there, &wanted, ignored) {
            None => Presence::Ours(slot),
            Some(field) => Presence::Foreign(field),
        }
    }

    fn plan_one<'c>(
        &self,
        index: usize,
        candidate: &Candidate<'a>,
        plan: &mut Plan<'c>,
        injected: &mut Injected<'a>,
        answer: &mut Answer,
    ) {
        let policy = candidate.choice.policy;
        let step = plan.attempt(index);
        if policy.enforcement() == Enforcement::Audit {
            return answer.audit(policy, &candidate.rendered, step.err());
        }
        match step {
            Ok(step) => {
                plan.commit(step);
                injected.set(policy.name(), &candidate.body.hash);
                answer.decide(policy, select::Selection::Selected(candidate.choice.because).reason());
            }
            // What an earlier call has added cannot be taken away again.
            Err(message) if candidate.was_added() && !candidate.choice.because.binding() => {
                answer.decide(policy, "left-as-it-is");
                answer.warn(format!(
                    "policy \"{}\": {message}; what the Pod has of it is left as it is",
                    policy.name()
                ));
            }
            Err(message) => {
                injected.remove(policy.name());
                answer.fail(candidate.choice, candidate.failure(message));
            }
        }
    }
}

impl Candidate<'_> {
    /// That this cannot be added. What was rendered for this Pod may hold what annotations say, and a message may quote it.
    fn failure(&self, message: String) -> Failure {
        match &self.rendered {
            MaybeOwned::InAdvance(_) => Failure::new(message),
            MaybeOwned::Shared(_) => Failure::new(message).told_as("it does not fit into the Pod"),
        }
    }
}

/// A container that is one policy's own is not a stranger to another that has the same name for its own.
fn tell_owners_apart(candidates: &mut [Candidate<'_>], spec: &Spec<'_>) {
    let owned = candidates.iter().flat_map(|candidate| &candidate.present);
    let owned: Vec<Slot> = owned.filter_map(Presence::slot).collect();
    for candidate in candidates {
        for (helper, presence) in candidate.rendered.helpers.iter().zip(&mut candidate.present) {
            let is_owned = || Slot::named(&helper.name, spec).is_some_and(|slot| owned.contains(&slot));
            if matches!(presence, Presence::Foreign(_)) && is_owned() {
                *presence = Presence::OfAnotherPolicy;
            }
        }
    }
}

/// A selected policy before planning.
enum Prepared<'a> {
    Candidate(Box<Candidate<'a>>),
    /// The Pod carries it in another version, in these containers.
    OtherVersion(Vec<Slot>),
    /// Nothing is left to plan.
    Done,
}
