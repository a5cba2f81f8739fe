//! Writes a document that has changed in the place of the one that was there: what stands before it (the line `---`, comments
//! such as Helm's `# Source:`) stays, comments inside do not.
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::{
    ManifestError,
    split::{Form, Part},
    value::{Json, Numbers, Value},
    write_yaml,
};

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// As it came.
    Same,
    /// As YAML.
    Yaml,
    /// As JSON.
    Json,
}

/// What `part` of `text` becomes when its value is `value`.
///
/// # Errors
/// When it holds a character that kubectl takes for the end of a line, and its value is thus in doubt.
pub fn rewrite(text: &str, part: &Part, value: &Value, target: Target) -> Result<String, ManifestError> {
    let body = &text[part.body.clone()];
    let form = match target {
        Target::Same => part.form,
        Target::Yaml => Form::Yaml,
        Target::Json => Form::Json,
    };
    if part.form == Form::Yaml {
        check_line_breaks(body, part.line)?;
    }
    let mut written = match form {
        Form::Json => json(value, indent(body, part.form).as_deref()),
        Form::Yaml => write_yaml::write(value),
    };
    if body.contains("\r\n") {
        written = written.replace('\n', "\r\n");
    }
    let (before, after) = (
        &text[part.range.start..part.body.start],
        &text[part.body.end..part.range.end],
    );
    if form == Form::Json {
        return Ok([before, &written, after].concat());
    }
    // Between JSON documents there is space that means nothing; what begins behind a `---` gets a line of its own.
    let mut whole = before.trim_end_matches([' ', '\t']).to_owned();
    if part.form == Form::Json && whole.trim().is_empty() {
        whole.clear();
    }
    if !whole.is_empty() && !whole.ends_with(['\n', '\u{feff}']) {
        whole.push('\n');
    }
    let after = match part.form {
        Form::Json => after.strip_prefix("\r\n").or(after.strip_prefix('\n')).unwrap_or(after),
        Form::Yaml => after,
    };
    Ok([whole.as_str(), &written, after].concat())
}

/// kubectl ends a line at these, YAML 1.2 does not.
fn check_line_breaks(body: &str, line: usize) -> Result<(), ManifestError> {
    let Some(at) = body.find(['\u{85}', '\u{2028}', '\u{2029}']) else {
        return Ok(());
    };
    let character = body[at..].chars().next().map_or(0, u32::from);
    let line = line + body[..at].matches('\n').count();
    Err(ManifestError::at(
        line,
        format!(
            "U+{character:04X} ends a line for some readers of YAML, and not for others; write it as \"\\u{character:04x}\""
        ),
    ))
}

fn json(value: &Value, indent: Option<&str>) -> String {
    let value = Json(value, Numbers::Written);
    let mut out = Vec::new();
    // Writing to a vector does not fail.
    let _ = match indent {
        None => serde_json::to_writer(&mut out, &value),
        Some(indent) => {
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter))
        }
    };
    escaped(&String::from_utf8(out).unwrap_or_default())
}

/// With what YAML reads otherwise than JSON as `\u…`, so that it may stand in a stream of YAML.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for character in json.chars() {
        if character == '\n' || character == '\t' || write_yaml::is_printable(character) {
            out.push(character);
        } else {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    }
    out
}

/// Whether the JSON document `text` is the same value for a reader of YAML, which has no `\/`, and no characters of two `\u`.
pub fn is_yaml_too(text: &str) -> bool {
    let plain = |c: char| matches!(c, '\n' | '\r' | '\t') || write_yaml::is_printable(c);
    !text.contains("\\/") && !text.contains("\\u") && text.trim_start_matches('\u{feff}').chars().all(plain)
}

/// The indentation of the first member, when there is one on a line of its own.
fn indent(body: &str, form: Form) -> Option<String> {
    if form == Form::Yaml {
        return Some("  ".into());
    }
    let (_, rest) = body.split_once('\n')?;
    let indent: String = rest.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    Some(if indent.is_empty() { "  ".into() } else { indent })
}
