//! What goes to standard output: the documents, changed or as they came, as one stream that kubectl reads.
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Unusable,
    decide::Decided,
    input::{Document, Source},
};
use crate::manifest::{self, Form, Json, Numbers, Target, Value};

/// A document whose Pods have changed.
#[derive(Debug)]
pub struct Changed {
    /// Which of the documents.
    pub document: usize,
    /// With the additions.
    pub value: Value,
}

/// The documents that change, in order.
///
/// # Errors
/// When a patch does not fit: an error in Outrigger, but not one to write nonsense for.
pub fn changed(documents: &[Document], decided: &[Decided<'_>]) -> Result<Vec<Changed>, Unusable> {
    let (mut changed, mut unusable) = (Vec::<Changed>::new(), Unusable::default());
    for decided in decided.iter().filter(|decided| decided.is_changed()) {
        let index = decided.document;
        if changed.last().is_none_or(|last| last.document != index) {
            let Some(value) = &documents[index].value else { continue };
            changed.push(Changed {
                document: index,
                value: value.clone(),
            });
        }
        let Some(last) = changed.last_mut() else { continue };
        if let Err(error) = manifest::apply(&mut last.value, &decided.pointer(), &decided.operations()) {
            unusable.0.push(error.to_string());
        }
    }
    unusable.unless_any(changed)
}

/// The text of each changed document.
///
/// # Errors
/// When one cannot be written so that it is read as the same value.
pub fn texts(
    sources: &[Source],
    documents: &[Document],
    changed: &[Changed],
    target: Target,
) -> Result<Vec<(usize, String)>, Unusable> {
    let (mut texts, mut unusable) = (Vec::new(), Unusable::default());
    for change in changed {
        let document = &documents[change.document];
        let source = &sources[document.source];
        match manifest::rewrite(&source.text, &document.part, &change.value, target) {
            Ok(text) => texts.push((change.document, text)),
            Err(error) => {
                let line = error.line.unwrap_or(document.part.line);
                unusable.0.push(format!("{}:{line}: {}", source.name, error.message));
            }
        }
    }
    unusable.unless_any(texts)
}

/// All documents as one stream, with those of `texts` in the place of what came.
pub fn stream(sources: &[Source], documents: &[Document], texts: &[(usize, String)], target: Target) -> String {
    let has_yaml = target == Target::Yaml
        || documents
            .iter()
            .any(|document| document.value.is_some() && document.part.form == Form::Yaml);
    let joined = sources.len() > 1;
    let mut out = String::new();
    let mut texts = texts.iter().peekable();
    let mut previous = None;
    for (index, document) in documents.iter().enumerate() {
        let source = &sources[document.source].text;
        let came = &source[document.part.range.clone()];
        let text = match texts.next_if(|(changed, _)| *changed == index) {
            Some((_, text)) => text.clone(),
            None => unchanged(document, source, came, target, joined && has_yaml),
        };
        let begins_source = previous != Some(document.source);
        previous = Some(document.source);
        let is_json = document.part.form == Form::Json;
        // A stream of JSON needs no lines between its documents, one of YAML does.
        let converted = is_json && has_yaml && (joined || target == Target::Yaml);
        let text = if begins_source && !out.is_empty() {
            text.trim_start_matches('\u{feff}')
        } else {
            &text
        };
        let needs_marker = has_yaml && (begins_source || converted) && !begins_with_marker(document, source);
        if (begins_source || converted) && !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        // Only a first brace tells kubectl that JSON follows, and YAML after it would be lost.
        let first_of_mixed = out.is_empty() && is_json && joined && target == Target::Same;
        if needs_marker && (!out.is_empty() || first_of_mixed) && !text.trim().is_empty() {
            out.push_str("---\n");
        }
        out.push_str(text);
    }
    out
}

/// What is written for a document in which nothing changes: itself, unless it has to be read as YAML and is not.
fn unchanged(document: &Document, source: &str, came: &str, target: Target, within_yaml: bool) -> String {
    let is_json = document.part.form == Form::Json;
    // YAML has neither of these escapes as JSON means them.
    let escapes = came.contains("\\/") || came.contains("\\u");
    match &document.value {
        Some(value) if is_json && (target == Target::Yaml || (within_yaml && escapes)) => {
            manifest::rewrite(source, &document.part, value, target).unwrap_or_else(|_| came.to_owned())
        }
        _ => came.to_owned(),
    }
}

fn begins_with_marker(document: &Document, source: &str) -> bool {
    let before = &source[document.part.range.start..document.part.body.start];
    before
        .lines()
        .any(|line| line.trim_start_matches('\u{feff}').starts_with("---"))
}

/// All documents as a stream of JSON.
pub fn json(documents: &[Document], changed: &[Changed]) -> String {
    let mut changed = changed.iter().peekable();
    let mut out = String::new();
    for (index, document) in documents.iter().enumerate() {
        let now = changed
            .next_if(|change| change.document == index)
            .map(|change| &change.value);
        if let Some(value) = now.or(document.value.as_ref()) {
            // JSON of JSON values does not fail.
            out += &serde_json::to_string_pretty(&Json(value, Numbers::Written)).unwrap_or_default();
            out.push('\n');
        }
    }
    out
}

/// One entry of `-o patch`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    file: &'a str,
    document: usize,
    line: usize,
    api_version: &'a str,
    kind: &'a str,
    namespace: &'a str,
    name: &'a str,
    pod: String,
    patch: Vec<Add<'a>>,
}

#[derive(Serialize)]
struct Add<'a> {
    op: &'a str,
    path: String,
    value: &'a RawValue,
}

/// For each workload that changes, the JSON Patch of its document.
pub fn patches(sources: &[Source], documents: &[Document], decided: &[Decided<'_>]) -> String {
    let entries: Vec<Entry<'_>> = decided
        .iter()
        .filter(|decided| decided.is_changed())
        .map(|decided| {
            let document = &documents[decided.document];
            let pod = decided.pointer();
            Entry {
                file: &sources[document.source].name,
                document: document.number,
                line: document.part.line,
                api_version: decided.workload.api_version,
                kind: decided.workload.kind,
                namespace: &decided.namespace,
                name: &decided.workload.name,
                patch: additions(decided, &pod),
                pod,
            }
        })
        .collect();
    serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n"
}

fn additions<'a>(decided: &'a Decided<'_>, pod: &str) -> Vec<Add<'a>> {
    let add = |operation: manifest::Operation<'a>| Add {
        op: operation.op,
        path: format!("{pod}{}", operation.path),
        value: operation.value,
    };
    decided.operations().into_iter().map(add).collect()
}
