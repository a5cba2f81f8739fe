//! Takes a stream apart into documents as kubectl does, so that each is a range of the bytes: those that do not change can be
//! written as they came.
use std::ops::Range;

use serde::de::IgnoredAny;

use super::{ManifestError, json, read_yaml, value::Value};

/// In which language a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Also within a YAML stream.
    Json,
    /// Also when it is empty.
    Yaml,
}

/// One document, with what stands before it (the line `---`, comments, directives) and after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// All of it; the ranges of all parts are the whole text.
    pub range: Range<usize>,
    /// The document itself, in the text: without comments before it, and what follows a line `...`.
    pub body: Range<usize>,
    /// The line of the text on which `body` begins, counted from 1.
    pub line: usize,
    /// In which language.
    pub form: Form,
}

/// The parts of `text`, in order and without gaps.
///
/// # Errors
/// When it begins as JSON and does not go on so.
pub fn split(text: &str) -> Result<Vec<Part>, ManifestError> {
    let mut parts = Vec::new();
    let rest = json_documents(text, &mut parts)?;
    if rest < text.len() {
        yaml_documents(text, rest, &mut parts);
    }
    number_lines(text, &mut parts);
    Ok(parts)
}

impl Part {
    /// The value of the document; `None` when there is nothing but comments, or `null`.
    ///
    /// # Errors
    /// When it cannot be read, with the line of `text`.
    pub fn read(&self, text: &str) -> Result<Option<Value>, ManifestError> {
        let body = &text[self.body.clone()];
        if self.form == Form::Json {
            let value = json::read(body).map_err(|error| error.below(self.line - 1))?;
            return Ok(Some(value).filter(|value| !matches!(value, Value::Null)));
        }
        // Directives, a tag behind the `---`, something behind a `...`: the parser has to see them.
        let whole = &text[self.range.clone()];
        let above = text[self.range.start..self.body.start].matches('\n').count();
        let whole = whole.strip_prefix('\u{feff}').unwrap_or(whole);
        let value = read_yaml::read(whole).map_err(|error| error.below(self.line - 1 - above))?;
        Ok(value.filter(|value| !matches!(value, Value::Null)))
    }
}

/// Reads JSON from the beginning for as long as there is some, and says where it ends. What begins with a brace may be YAML,
/// and YAML may follow after a first document; after a second there is no way back, as in kubectl.
fn json_documents(text: &str, parts: &mut Vec<Part>) -> Result<usize, ManifestError> {
    let bom = if text.starts_with('\u{feff}') {
        '\u{feff}'.len_utf8()
    } else {
        0
    };
    if !text[bom..].trim_start().starts_with('{') {
        return Ok(0);
    }
    let mut documents = serde_json::Deserializer::from_str(&text[bom..]).into_iter::<IgnoredAny>();
    let mut start = 0;
    while let Some(outcome) = documents.next() {
        match outcome {
            Ok(_) => {
                let end = bom + documents.byte_offset();
                let blank = text[start..end].trim_start_matches('\u{feff}').trim_start().len();
                parts.push(Part {
                    range: start..end,
                    body: end - blank..end,
                    line: 1,
                    form: Form::Json,
                });
                start = end;
            }
            Err(_) if parts.len() < 2 && !looks_like_json(&text[start..]) => break,
            Err(error) => {
                let message = error.to_string();
                let message = message.split(" at line ").next().unwrap_or_default();
                return Err(ManifestError::at(error.line(), format!("it is not JSON: {message}")));
            }
        }
    }
    if text[start..].trim().is_empty() {
        if let Some(last) = parts.last_mut() {
            last.range.end = text.len();
        }
        return Ok(text.len());
    }
    // The line break that ends the JSON is no part of what follows.
    match (parts.last_mut(), text[start..].find('\n')) {
        (Some(last), Some(end)) if text[start..start + end].trim().is_empty() => {
            last.range.end = start + end + 1;
            Ok(start + end + 1)
        }
        _ => Ok(start),
    }
}

/// Whether a reader who says that it is not YAML would mislead.
fn looks_like_json(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with('"'))
}

fn yaml_documents(text: &str, from: usize, parts: &mut Vec<Part>) {
    let mut start = from;
    let mut scan = Scan::default();
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        let line_start = at;
        at += line.len();
        let unmarked = if line_start == 0 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        if is_marker(unmarked, "---") {
            // Directives belong to the document that begins here.
            if line_start > start && !scan.only_directives {
                parts.push(part(text, start..line_start, scan.end));
                start = line_start;
            }
            scan = Scan::default();
            scan.begun = true;
        } else if scan.end.is_some() {
            scan.directive_after_end |= line.starts_with('%');
            if scan.directive_after_end && line.starts_with('%') {
                parts.push(part(text, start..line_start, scan.end));
                start = line_start;
                scan = Scan::default();
                scan.only_directives = true;
            }
        } else if is_marker(unmarked, "...") {
            scan.end = Some(line_start);
        } else if !scan.begun {
            let directive = unmarked.starts_with('%');
            let nothing = unmarked.trim().is_empty() || unmarked.starts_with('#');
            scan.only_directives = directive || (scan.only_directives && nothing);
            scan.begun = !directive && !nothing;
        }
    }
    parts.push(part(text, start..text.len(), scan.end));
}

/// What is known of the document that is being gone through.
#[derive(Default)]
struct Scan {
    begun: bool,
    only_directives: bool,
    directive_after_end: bool,
    /// Where the line `...` begins.
    end: Option<usize>,
}

/// `---` or `...` at the beginning of a line, alone or before white space.
fn is_marker(line: &str, marker: &str) -> bool {
    line.strip_prefix(marker)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn part(text: &str, range: Range<usize>, end: Option<usize>) -> Part {
    let end = end.unwrap_or(range.end);
    let start = range.start + header(&text[range.start..end]);
    let body = &text[start..end];
    let is_json = body.starts_with('{') && serde_json::from_str::<IgnoredAny>(body).is_ok();
    let body = if is_json {
        start..start + body.trim_end().len()
    } else {
        start..end
    };
    Part {
        range,
        body,
        line: 1,
        form: if is_json { Form::Json } else { Form::Yaml },
    }
}

/// The length of what stands before the document: blank lines, comments, directives, the line `---`.
fn header(text: &str) -> usize {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start_matches('\u{feff}');
        let rest = if is_marker(bare, "---") { &bare[3..] } else { bare };
        let nothing = rest.trim().is_empty() || rest.trim_start().starts_with('#') || bare.starts_with('%');
        if !nothing {
            // A document that begins behind the `---`.
            return if rest.len() < bare.len() {
                length + line.len() - rest.len()
            } else {
                length
            };
        }
        length += line.len();
    }
    length
}

fn number_lines(text: &str, parts: &mut [Part]) {
    let (mut line, mut at) = (1, 0);
    for part in parts {
        line += text[at..part.body.start].matches('\n').count();
        at = part.body.start;
        part.line = line;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bodies(text: &str) -> Vec<&str> {
        let parts = split(text).unwrap();
        parts.into_iter().map(|part| &text[part.body]).collect()
    }

    #[test]
    fn documents_begin_where_they_do_for_kubectl() {
        for (text, expected) in [
            ("a: 1\n---\nb: 2\n", &["a: 1\n", "b: 2\n"][..]),
            ("# c\n---\n# d\na: 1\n", &["", "a: 1\n"]),
            ("---  # x\r\na: 1\r\n---\r\n", &["a: 1\r\n", ""]),
            ("--- {a: 1}\n", &[" {a: 1}\n"]),
            ("a: |\n ---\n ...\n---x: 1\n", &["a: |\n ---\n ...\n---x: 1\n"]),
            (
                "%YAML 1.1\n---\na: 1\n...\n# c\n%YAML 1.1\n# d\n---\nb: 2",
                &["a: 1\n", "b: 2"],
            ),
            ("\u{feff}---\na: 1\n", &["a: 1\n"]),
            (" {\"a\":1} {\"b\":2}\n", &["{\"a\":1}", "{\"b\":2}"]),
            (
                "{\"a\":1}\n---\nb: 2\n---\n{\"c\":\n3}\n",
                &["{\"a\":1}", "b: 2\n", "{\"c\":\n3}"],
            ),
            ("{a: 1}\n---\nb: 2\n", &["{a: 1}\n", "b: 2\n"]),
        ] {
            assert_eq!(bodies(text), expected, "{text:?}");
        }
        assert!(split("{\"a\":1}\n{\"b\":1}\n---\nc: 1\n").is_err());
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole(lines in prop::collection::vec(prop::sample::select(vec![
            "---", "--- ", "--- a", "---a", "...", "... # x", "# c", "", " ", "%YAML 1.2", "a: 1", "- b", "{\"a\":1}", "{a: 1}", "[1,", "\u{feff}", "\r", "\t", "é",
        ]), 0..12), end in prop::sample::select(vec!["", "\n", "\r\n"])) {
            let text = lines.join("\n") + end;
            if let Ok(parts) = split(&text) {
                let whole: String = parts.iter().map(|part| &text[part.range.clone()]).collect();
                prop_assert_eq!(&whole, &text);
                for part in parts {
                    prop_assert!(part.range.start <= part.body.start && part.body.end <= part.range.end);
                    prop_assert_eq!(part.line, 1 + text[..part.body.start].matches('\n').count());
                    let _ = part.read(&text);
                }
            }
        }

        #[test]
        fn what_is_written_is_what_was_there(value in value()) {
            let text = serde_json::to_string(&value).unwrap();
            let json = json::read(&text).unwrap();
            let part = Part { range: 0..text.len(), body: 0..text.len(), line: 1, form: Form::Json };
            let yaml = super::super::rewrite(&text, &part, &json, super::super::Target::Yaml).unwrap();
            let back = read_yaml::read(&yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
            prop_assert_eq!(back.unwrap().stored().unwrap(), json.stored().unwrap(), "{}", yaml);
        }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let text = prop_oneof![
            any::<String>(),
            "[ a:#\\-\\n\\t'\"0-9\\[{,}&*!|>%@`?=<~.]{0,12}",
            "[0-9_xob.eE+-]{1,6}",
        ];
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<u64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            text.clone().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((text.clone(), inner), 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
