//! What goes to standard output: the documents, changed or as they came, as one stream that kubectl reads.
use std::ops::Range;

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

/// All documents as one stream, with those of `texts` in the place of what came. Of one file that stays in its form, nothing
/// else changes; any other stream is read as YAML, where each document begins with a line `---`.
pub fn stream(sources: &[Source], documents: &[Document], texts: &[(usize, String)], target: Target) -> String {
    let joined = sources.len() > 1;
    let is_yaml = target == Target::Yaml || (joined && !is_json_stream(sources, documents));
    let mut out = String::new();
    let mut texts = texts.iter().peekable();
    for (index, document) in documents.iter().enumerate() {
        let source = &sources[document.source].text;
        let changed = texts.next_if(|(changed, _)| *changed == index);
        let text = match changed {
            Some((_, text)) => text.clone(),
            None => unchanged(document, source, target, is_yaml),
        };
        let begins_source = index == 0 || documents[index - 1].source != document.source;
        let text = if begins_source && !out.is_empty() {
            text.trim_start_matches('\u{feff}')
        } else {
            &text
        };
        if is_yaml {
            append_to_yaml(&mut out, document, source, text, joined && target == Target::Same);
        } else {
            end_line(&mut out, begins_source);
            out.push_str(text);
        }
    }
    out
}

/// Whether kubectl reads all of it as JSON, file after file: it looks for a first brace, and then for nothing but JSON.
fn is_json_stream(sources: &[Source], documents: &[Document]) -> bool {
    documents.iter().all(|document| {
        let (text, part) = (&sources[document.source].text, &document.part);
        let is_blank = |range: Range<usize>| text[range].trim().is_empty();
        let is_json = part.form == Form::Json || is_blank(part.body.clone());
        is_json && is_blank(part.range.start..part.body.start) && is_blank(part.body.end..part.range.end)
    })
}

/// `may_begin_as_json`: a first brace would tell kubectl that JSON follows, and what is none would be lost.
fn append_to_yaml(out: &mut String, document: &Document, source: &str, text: &str, may_begin_as_json: bool) {
    if text.trim().is_empty() {
        return out.push_str(text);
    }
    let is_json = document.part.form == Form::Json;
    let before = &source[document.part.range.start..document.part.body.start];
    // Space before JSON means nothing, but tabs before YAML are an error.
    let text = if is_json && before.trim_matches('\u{feff}').trim().is_empty() {
        text.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace())
    } else {
        text
    };
    end_line(out, true);
    let is_next = !out.is_empty() || (is_json && may_begin_as_json);
    if is_next && !begins_with_marker(before) {
        out.push_str("---\n");
    } else if is_next && begins_with_directive(before) && !out.ends_with("...\n") {
        // A directive is one only where the document above has ended.
        out.push_str("...\n");
    }
    out.push_str(text);
}

fn end_line(out: &mut String, wanted: bool) {
    if wanted && !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
}

/// What is written for a document in which nothing changes: itself, unless it has to be read as YAML and is not.
fn unchanged(document: &Document, source: &str, target: Target, is_yaml: bool) -> String {
    let came = &source[document.part.range.clone()];
    let is_json = document.part.form == Form::Json;
    match &document.value {
        Some(value) if is_json && (target == Target::Yaml || (is_yaml && !manifest::is_yaml_too(came))) => {
            manifest::rewrite(source, &document.part, value, target).unwrap_or_else(|_| came.to_owned())
        }
        _ => came.to_owned(),
    }
}

fn begins_with_marker(before: &str) -> bool {
    before
        .lines()
        .any(|line| line.trim_start_matches('\u{feff}').starts_with("---"))
}

fn begins_with_directive(before: &str) -> bool {
    let mut lines = before.lines().map(|line| line.trim_start_matches('\u{feff}'));
    lines
        .find(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .is_some_and(|line| line.starts_with('%'))
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
