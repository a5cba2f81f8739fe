//! Writes a value as YAML that kubectl, and readers of YAML 1.2, read as the same value: a string is left without quotes
//! only if it can be nothing else.
use super::{
    scalar::{self, Scalar},
    value::{Number, Style, Text, Value},
};

/// Columns between levels.
const STEP: usize = 2;

/// The text of `value`, ending with a line break.
pub(super) fn write(value: &Value) -> String {
    let mut writer = Writer {
        out: String::new(),
        indented_lists: has_indented_lists(value),
    };
    match value {
        Value::Map(map) if !map.flow && !map.entries.is_empty() => writer.map(value, 0, false),
        Value::List(list) if !list.flow && !list.items.is_empty() => writer.list(&list.items, 0, false),
        _ => {
            writer.inline(value, 0);
            writer.out.push('\n');
        }
    }
    writer.out
}

fn has_indented_lists(value: &Value) -> bool {
    match value {
        Value::Map(map) => map.entries.values().any(|value| match value {
            Value::List(list) if list.indented => true,
            value => has_indented_lists(value),
        }),
        Value::List(list) => list.items.iter().any(has_indented_lists),
        _ => false,
    }
}

struct Writer {
    out: String,
    indented_lists: bool,
}

impl Writer {
    /// The members, one on each line; the first follows a dash when `inside_item`.
    fn map(&mut self, value: &Value, indent: usize, inside_item: bool) {
        let Value::Map(map) = value else { return };
        for (index, (key, value)) in map.entries.iter().enumerate() {
            if index > 0 || !inside_item {
                self.indent(indent);
            }
            self.key(key);
            self.member(value, indent);
        }
    }

    /// A key of any length: kubectl takes what is longer than 1024 characters only after a question mark.
    fn key(&mut self, key: &str) {
        if key.len() > 240 {
            self.out.push_str("? ");
        }
        self.text(key, Style::Plain, Place::Block);
        if key.len() > 240 {
            self.out.push('\n');
        }
    }

    fn member(&mut self, value: &Value, indent: usize) {
        if self.out.ends_with('\n') {
            self.indent(indent);
        }
        self.out.push(':');
        match value {
            Value::Map(map) if !map.flow && !map.entries.is_empty() => {
                self.out.push('\n');
                self.map(value, indent + STEP, false);
            }
            Value::List(list) if !list.flow && !list.items.is_empty() => {
                self.out.push('\n');
                let step = if self.indented_lists { STEP } else { 0 };
                self.list(&list.items, indent + step, false);
            }
            _ => {
                self.out.push(' ');
                self.inline(value, indent + STEP);
                self.out.push('\n');
            }
        }
    }

    fn list(&mut self, items: &[Value], indent: usize, inside_item: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !inside_item {
                self.indent(indent);
            }
            self.out.push_str("- ");
            match item {
                Value::Map(map) if !map.flow && !map.entries.is_empty() => self.map(item, indent + STEP, true),
                Value::List(list) if !list.flow && !list.items.is_empty() => {
                    self.list(&list.items, indent + STEP, true);
                }
                _ => {
                    self.inline(item, indent + STEP);
                    self.out.push('\n');
                }
            }
        }
    }

    /// What begins on the line that is being written; `indent` is for the lines of a block of text.
    fn inline(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Text(Text { text, style }) if can_be_literal(text, *style) && indent > 0 => {
                self.literal(text, indent)
            }
            Value::Text(Text { text, style }) => self.text(text, *style, Place::Block),
            _ => self.flow(value),
        }
    }

    /// A value on one line, within brackets or not.
    fn flow(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(Number { json, yaml }) => self.out.push_str(yaml.as_ref().unwrap_or(json)),
            Value::Text(Text { text, style }) => self.text(text, *style, Place::Flow),
            Value::List(list) => {
                self.out.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    self.flow(item);
                }
                self.out.push(']');
            }
            Value::Map(map) => {
                self.out.push('{');
                for (index, (key, value)) in map.entries.iter().enumerate() {
                    self.out.push_str(if index > 0 { ", " } else { "" });
                    if key.len() > 240 {
                        self.out.push_str("? ");
                    }
                    self.text(key, Style::Plain, Place::Flow);
                    self.out.push_str(if key.len() > 240 { " : " } else { ": " });
                    self.flow(value);
                }
                self.out.push('}');
            }
        }
    }

    fn text(&mut self, text: &str, style: Style, place: Place) {
        match style {
            Style::Plain | Style::Literal if can_be_plain(text, place) => self.out.push_str(text),
            Style::Single if can_be_single_quoted(text) => {
                self.out.push('\'');
                self.out.push_str(&text.replace('\'', "''"));
                self.out.push('\'');
            }
            _ => self.double_quoted(text),
        }
    }

    fn double_quoted(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\t' => self.out.push_str("\\t"),
                '\r' => self.out.push_str("\\r"),
                _ if is_printable(character) => self.out.push(character),
                _ => self.escape(u32::from(character)),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, code: u32) {
        self.out.push_str(&match code {
            0..=0xff => format!("\\x{code:02x}"),
            0x100..=0xffff => format!("\\u{code:04x}"),
            _ => format!("\\U{code:08x}"),
        });
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        let lines = text.strip_suffix('\n');
        match lines {
            None => self.out.push('-'),
            Some(lines) if lines.ends_with('\n') => self.out.push('+'),
            Some(_) => {}
        }
        for line in lines.unwrap_or(text).split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.indent(indent);
                self.out.push_str(line);
            }
        }
    }

    fn indent(&mut self, columns: usize) {
        self.out.extend(std::iter::repeat_n(' ', columns));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Block,
    Flow,
}

/// What stands for itself in YAML 1.1: kubectl ends a line at U+0085, U+2028 and U+2029, and refuses control characters.
pub(super) fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
        _ => character >= '\u{a0}' && !matches!(u32::from(character), 0xfffe | 0xffff),
    }
}

fn can_be_plain(text: &str, place: Place) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let begins_well = match first {
        '-' | '+' => text[1..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-' || next == '/'),
        _ => first.is_alphanumeric() || matches!(first, '/' | '.' | '_' | '$' | '(' | '^' | ';' | '\\'),
    };
    let harmless = |text: &str| !text.contains(": ") && !text.contains(" #") && !text.contains("//:");
    let bracketed = |c: char| place == Place::Flow && matches!(c, ',' | '?' | '[' | ']' | '{' | '}' | ':');
    begins_well
        && harmless(text)
        && !text.ends_with([' ', ':'])
        && !text.starts_with("---")
        && !text.starts_with("...")
        && text.chars().all(|c| is_printable(c) && !bracketed(c))
        && scalar::resolve(text) == Scalar::Text
        && !means_more_elsewhere(text)
}

/// Dates, sexagesimals and the like: strings for kubectl, something else for other readers of YAML.
fn means_more_elsewhere(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.:_ eEtTzZxXoO".contains(&byte))
}

fn can_be_single_quoted(text: &str) -> bool {
    text.chars().all(is_printable)
}

/// Whether text of several lines can be written line by line.
fn can_be_literal(text: &str, style: Style) -> bool {
    let wanted = match style {
        Style::Plain | Style::Literal => true,
        Style::Single | Style::Double => false,
    };
    wanted
        && text.contains('\n')
        // What begins with space or a line break would need to say how far it is indented.
        && !text.starts_with([' ', '\t', '\n'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
}
