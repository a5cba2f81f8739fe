//! Reads one YAML document. The events are granit-parser's; what they mean is decided as kubectl does ([`super::scalar`]).
use std::borrow::Cow;

use base64::{Engine, prelude::BASE64_STANDARD};
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, StructureStyle, Tag};
use indexmap::IndexMap;

use super::{
    DEEPEST, ManifestError,
    scalar::{self, Scalar},
    value::{List, Map, Style, Text, Value},
};

/// Values that may have an anchor, or stand for an alias, in one document: each is kept once more for it …
const ALIASED_VALUES: usize = 400_000;
/// … and the bytes of text in them.
const ALIASED_BYTES: usize = 32 << 20;
/// The namespace of the tags that are written `!!str`.
const STANDARD_TAGS: &str = "tag:yaml.org,2002:";

/// Reads `text`; `None` when there is nothing but comments.
///
/// # Errors
/// When it is not one YAML document, or has no counterpart in JSON.
pub(super) fn read(text: &str) -> Result<Option<Value>, ManifestError> {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader {
        events: Parser::new_from_str_with_options(text, options),
        anchors: Vec::new(),
        values: 0,
        bytes: 0,
    };
    let mut document = None;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(document),
            (Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd, _) => {}
            (_, span) if document.is_some() => {
                return Err(error(span, "a second document begins here; put a line --- before it"));
            }
            (event, span) => document = Some(reader.value(event, span, 0)?),
        }
    }
}

fn error(span: Span, message: impl Into<String>) -> ManifestError {
    ManifestError::at(span.start.line(), message)
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    /// By the number that the parser gives them, once they are complete.
    anchors: Vec<Option<Value>>,
    values: usize,
    bytes: usize,
}

type Found<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Found<'a>, ManifestError> {
        match self.events.next_event() {
            Some(Ok(found)) => Ok(found),
            Some(Err(error)) => Err(ManifestError::at(error.marker().line(), error.info())),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn value(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Value, ManifestError> {
        if depth > DEEPEST {
            return Err(error(span, format!("it is nested more than {DEEPEST} deep")));
        }
        let (value, anchor) = match event {
            Event::Alias(id) => (self.alias(id, span)?, 0),
            Event::Scalar(text, style, anchor, tag) => (scalar(text, style, tag.as_deref(), span)?, anchor),
            Event::SequenceStart(style, anchor, _) => (self.list(style, span, depth)?, anchor),
            Event::MappingStart(style, anchor, tag) => {
                if tag.is_some_and(|tag| standard(&tag).as_deref() == Some("null")) {
                    return Err(error(span, "an object cannot be !!null"));
                }
                (self.map(style, depth)?, anchor)
            }
            event => return Err(error(span, format!("unexpected {event:?}"))),
        };
        if anchor > 0 {
            self.count(&value, span)?;
            if self.anchors.len() <= anchor {
                self.anchors.resize(anchor + 1, None);
            }
            self.anchors[anchor] = Some(value.clone());
        }
        Ok(value)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Value, ManifestError> {
        let Some(Some(value)) = self.anchors.get(id).cloned() else {
            return Err(error(span, "an alias is inside of what it stands for"));
        };
        self.count(&value, span)?;
        Ok(value)
    }

    /// Before another copy of `value` is made.
    fn count(&mut self, value: &Value, span: Span) -> Result<(), ManifestError> {
        let (values, bytes) = size(value);
        self.values += values;
        self.bytes += bytes;
        if self.values > ALIASED_VALUES || self.bytes > ALIASED_BYTES {
            return Err(error(span, "anchors and aliases stand for too much; write it out"));
        }
        Ok(())
    }

    fn list(&mut self, style: StructureStyle, start: Span, depth: usize) -> Result<Value, ManifestError> {
        let mut list = List {
            flow: style == StructureStyle::Flow,
            ..List::default()
        };
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(list)),
                (event, span) => {
                    // Where the dashes are not further in than the key, the parser lets the list begin behind the first.
                    list.indented |= list.items.is_empty() && !list.flow && span.start != start.start;
                    list.items.push(self.value(event, span, depth + 1)?);
                }
            }
        }
    }

    fn map(&mut self, style: StructureStyle, depth: usize) -> Result<Value, ManifestError> {
        let mut map = Map {
            flow: style == StructureStyle::Flow,
            ..Map::default()
        };
        // Members that are written here; those that `<<` brings may be there before or after.
        let mut own = std::collections::HashSet::new();
        loop {
            let (event, span) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(map)),
                found => found,
            };
            if is_merge(&event) {
                let (event, span) = self.next()?;
                let value = self.value(event, span, depth + 1)?;
                merge(value, &mut map.entries).ok_or_else(|| error(span, "<< needs an object, or a list of them"))?;
                continue;
            }
            let key = self.value(event, span, depth + 1)?;
            let key = key_text(key).map_err(|message| error(span, message))?;
            let (event, value_span) = self.next()?;
            let value = self.value(event, value_span, depth + 1)?;
            if !own.insert(key.clone()) {
                return Err(error(span, format!("key {key:?} is there twice; keep one")));
            }
            map.entries.insert(key, value);
        }
    }
}

/// The number of values, and the bytes of text in them.
fn size(value: &Value) -> (usize, usize) {
    let sum = |(values, bytes), (more_values, more_bytes)| (values + more_values, bytes + more_bytes);
    match value {
        Value::Text(text) => (1, text.text.len()),
        Value::List(list) => list.items.iter().map(size).fold((1, 0), sum),
        Value::Map(map) => {
            let entries = map.entries.iter().map(|(key, value)| sum((1, key.len()), size(value)));
            entries.fold((1, 0), sum)
        }
        _ => (1, 0),
    }
}

fn is_merge(event: &Event<'_>) -> bool {
    match event {
        Event::Scalar(text, style, _, tag) if text == "<<" => match tag {
            None => *style == ScalarStyle::Plain,
            Some(tag) => standard(tag).as_deref() == Some("merge"),
        },
        _ => false,
    }
}

/// As kubectl does it, what is merged replaces what stands before it.
fn merge(value: Value, entries: &mut IndexMap<String, Value>) -> Option<()> {
    match value {
        Value::Map(map) => {
            entries.extend(map.entries);
            Some(())
        }
        // The first of a list wins, so it comes last.
        Value::List(list) if list.items.iter().all(Value::is_map) => {
            list.items.into_iter().rev().try_for_each(|item| merge(item, entries))
        }
        _ => None,
    }
}

/// JSON has strings for keys only.
fn key_text(key: Value) -> Result<String, String> {
    match key {
        Value::Text(text) => Ok(text.text),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(number) => match number.json.parse::<i64>() {
            Ok(whole) => Ok(whole.to_string()),
            Err(_) => Err(format!("{} is no key; put it in quotes", number.json)),
        },
        Value::Null => Err("null is no key; put it in quotes".into()),
        Value::List(_) | Value::Map(_) => Err("a list or an object is no key".into()),
    }
}

/// What a standard tag is called: `str` for `!!str`.
fn standard(tag: &Tag) -> Option<Cow<'_, str>> {
    tag.suffix_in_namespace(STANDARD_TAGS)
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<Value, ManifestError> {
    let string = |text: String| {
        Ok(Value::Text(Text {
            text,
            style: match style {
                ScalarStyle::Plain => Style::Plain,
                ScalarStyle::SingleQuoted => Style::Single,
                ScalarStyle::DoubleQuoted => Style::Double,
                ScalarStyle::Literal | ScalarStyle::Folded => Style::Literal,
            },
        }))
    };
    let Some(tag) = tag else {
        return match scalar::resolve(&text) {
            _ if style != ScalarStyle::Plain => string(text.into_owned()),
            Scalar::Text => string(text.into_owned()),
            resolved => other(resolved, &text, span),
        };
    };
    let name = standard(tag);
    let resolved = scalar::resolve(&text);
    match (name.as_deref(), resolved) {
        (Some("binary"), _) => binary(&text)
            .ok_or_else(|| error(span, "!!binary must be base64 of UTF-8 text; write the text"))
            .and_then(string),
        (Some("timestamp"), _) => Err(error(
            span,
            "!!timestamp has no counterpart in JSON; write a string in quotes",
        )),
        (Some("null"), resolved @ Scalar::Null)
        | (Some("bool"), resolved @ Scalar::Bool(_))
        | (Some("int"), resolved @ Scalar::Whole(_))
        | (Some("float"), resolved @ (Scalar::Whole(_) | Scalar::Float(_))) => other(resolved, &text, span),
        (Some(name @ ("null" | "bool" | "int" | "float")), _) => {
            Err(error(span, format!("{text:?} is no value of !!{name}")))
        }
        _ => string(text.into_owned()),
    }
}

fn other(resolved: Scalar, text: &str, span: Span) -> Result<Value, ManifestError> {
    Ok(match resolved {
        Scalar::Bool(value) => Value::Bool(value),
        Scalar::Whole(number) | Scalar::Float(number) => Value::Number(scalar::number(text, number)),
        Scalar::NotFinite => return Err(error(span, format!("{text} has no counterpart in JSON"))),
        Scalar::Null | Scalar::Text => Value::Null,
    })
}

fn binary(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    String::from_utf8(BASE64_STANDARD.decode(digits).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_anchors_count_as_aliases_do() {
        let nested = |depth: usize, ones: usize| {
            let open: String = (0..depth).map(|n| format!("&a{n} [")).collect();
            format!("{open}{}{}", "1,".repeat(ones), "]".repeat(depth))
        };
        assert!(read(&nested(95, 4_000)).is_ok());
        let error = read(&nested(95, 20_000)).unwrap_err();
        assert!(error.message.contains("stand for too much"), "{error}");
        let many: String = (0..5_000).map(|n| format!("a{n}: &a{n} {n}\n")).collect();
        assert!(read(&many).is_ok());
    }
}
