//! What is told about each workload: what it gets and by which rule, what it does not get and why, and what to look at.
use outrigger_engine::{Decision, Verdict};
use serde_json::Value;

use super::{
    decide::Decided,
    input::{Document, Source},
};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// What was done.
    Info,
    /// Worth a look.
    Warning,
    /// It cannot be.
    Error,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What is told, as [`one_line`].
    pub text: String,
}

/// `text` without what ends a line or steers a terminal: names come from manifests and policies, which anyone may have
/// written.
pub fn one_line(text: &str) -> String {
    let harmless = |c: char| match c {
        '\u{2028}' | '\u{2029}' => false,
        c => !c.is_control(),
    };
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// What is to be said about everything that was decided.
pub fn lines(sources: &[Source], documents: &[Document], decided: &[Decided<'_>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for decided in decided {
        let document = &documents[decided.document];
        let place = format!("{}:{}", sources[document.source].name, document.part.line);
        let subject = subject(decided);
        let mut say = |level, text: String| lines.push(Line { level, text });
        let warnings = decided.admission.iter().flat_map(|admission| &admission.warnings);
        for warning in warnings {
            say(Level::Warning, format!("{place}: {subject}: {warning}"));
        }
        match decided.verdict() {
            None => say(
                Level::Info,
                format!("{place}: {subject}: has no Pod template; left as it is"),
            ),
            Some(Verdict::Refused(refusal)) => {
                let field = match decided.workload.template {
                    "" => String::new(),
                    template => format!("{}: ", template[1..].replace('/', ".")),
                };
                let number = document.number;
                say(
                    Level::Error,
                    format!(
                        "{place}: document {number}: {subject}: {field}refused: {}",
                        refusal.message
                    ),
                );
            }
            Some(_) => say(Level::Info, format!("{place}: {subject}: {}", story(decided))),
        }
    }
    lines
}

/// `Deployment shop/web`
fn subject(decided: &Decided<'_>) -> String {
    let Decided {
        workload, namespace, ..
    } = decided;
    let name = if workload.name.is_empty() {
        "(no name)"
    } else {
        &workload.name
    };
    let item = match workload.pointer.as_str() {
        "" => String::new(),
        pointer => format!(" ({})", pointer[1..].replace('/', ".")),
    };
    format!("{} {namespace}/{name}{item}", workload.kind)
}

/// `injected log-saver (on-request), adding container log-saver; not metrics (opted-out)`
fn story(decided: &Decided<'_>) -> String {
    let decisions = decided
        .admission
        .as_ref()
        .map_or(&[][..], |admission| &admission.decisions);
    let (got, not): (Vec<&Decision>, Vec<&Decision>) = decisions.iter().partition(|decision| decision.is_injection());
    let named = |decisions: &[&Decision]| {
        let named: Vec<String> = decisions
            .iter()
            .map(|d| format!("{} ({})", d.policy, d.reason))
            .collect();
        named.join(", ")
    };
    let mut parts = Vec::new();
    match (decided.is_changed(), got.is_empty()) {
        (true, false) => {
            let containers = containers(decided);
            let adding = match containers.len() {
                0 => String::new(),
                1 => format!(", adding container {}", containers[0]),
                _ => format!(", adding containers {}", containers.join(", ")),
            };
            parts.push(format!("injected {}{adding}", named(&got)));
        }
        (true, true) => parts.push("noted what was left out".to_owned()),
        (false, false) => parts.push(format!("has {} already", named(&got))),
        (false, true) if decided.is_protected => {
            parts.push("nothing is injected into a protected namespace".to_owned());
        }
        (false, true) => parts.push("nothing to inject".to_owned()),
    }
    if !not.is_empty() {
        parts.push(format!("not {}", named(&not)));
    }
    parts.join("; ")
}

/// The names of the containers that are added.
fn containers(decided: &Decided<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for operation in decided.operations() {
        let mut path = operation.path.split('/').skip(1);
        let list = (
            path.next(),
            path.next(),
            path.next().is_none_or(|_| path.next().is_none()),
        );
        if !matches!(list, (Some("spec"), Some("containers" | "initContainers"), true)) {
            continue;
        }
        let Ok(value) = serde_json::from_str::<Value>(operation.value.get()) else {
            continue;
        };
        let added = match &value {
            Value::Array(items) => items.iter().collect(),
            item => vec![item],
        };
        names.extend(added.iter().filter_map(|item| item["name"].as_str()).map(str::to_owned));
    }
    names
}

/// The last line.
pub fn summary(documents: &[Document], decided: &[Decided<'_>]) -> Line {
    let count = |matches: fn(&Verdict) -> bool| {
        decided
            .iter()
            .filter(|decided| decided.verdict().is_some_and(matches))
            .count()
    };
    let documents = documents.iter().filter(|document| document.value.is_some()).count();
    let (injected, refused) = (
        count(|verdict| matches!(verdict, Verdict::Patched(_))),
        count(|verdict| matches!(verdict, Verdict::Refused(_))),
    );
    let workloads = decided.len();
    let unchanged = workloads - injected - refused;
    Line {
        level: Level::Info,
        text: format!(
            "documents: {documents}, workloads: {workloads}, changed: {injected}, unchanged: {unchanged}, refused: {refused}"
        ),
    }
}
