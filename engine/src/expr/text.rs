//! One string value with expressions in it.

use serde_json::Value as Json;

use super::compile::{Expression, Uses, Vocabulary};
use super::escape::{Mixed, escape};
use super::limits::{Budget, STRING_BYTES};
use super::scan::{Piece, pieces};
use super::scope::Scope;
use crate::params::ParameterType;

/// What is done with results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Nothing.
    Value,
    /// Kubernetes expands `$(NAME)` here: results are escaped.
    Expanded,
    /// The text of a file: results must not change its structure.
    Text,
}

/// A string that holds at least one expression.
#[derive(Debug)]
pub(super) struct Text {
    parts: Vec<Part>,
    treatment: Treatment,
}

#[derive(Debug)]
enum Part {
    Literal(String),
    Expression(Expression),
}

/// A string value: without expressions, or with.
pub(super) enum Compiled {
    Constant(String),
    Text(Text),
}

/// Compiles a string value; all its errors.
pub(super) fn compile(
    source: &str,
    vocabulary: &Vocabulary<'_>,
    treatment: Treatment,
) -> Result<Compiled, Vec<String>> {
    let pieces = pieces(source).map_err(|error| vec![error])?;
    if let [Piece::Literal(text)] = pieces.as_slice() {
        return Ok(Compiled::Constant(text.clone()));
    }
    let mixed = pieces.len() > 1 || treatment == Treatment::Text;
    let mut parts = Vec::with_capacity(pieces.len());
    let mut errors = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => parts.push(Part::Literal(text)),
            Piece::Expression(source) => match compile_part(source, vocabulary, mixed) {
                Ok(expression) => parts.push(Part::Expression(expression)),
                Err(error) => errors.push(error),
            },
        }
    }
    if errors.is_empty() {
        Ok(Compiled::Text(Text { parts, treatment }))
    } else {
        Err(errors)
    }
}

fn compile_part(source: &str, vocabulary: &Vocabulary<'_>, mixed: bool) -> Result<Expression, String> {
    let expression = Expression::compile(source, vocabulary)?;
    match expression.parameter_type(vocabulary) {
        Some(ParameterType::StringList) if mixed => Err(format!(
            "expression `{0}`: a list cannot stand within text; write {0}.join(\",\") or so",
            source.trim()
        )),
        _ => Ok(expression),
    }
}

impl Text {
    pub(super) fn add_uses(&self, uses: &mut Uses) {
        self.expressions().for_each(|expression| uses.merge(expression.uses()));
    }

    /// The expressions of a text file that `quote` does not guard and that may be strings.
    pub(super) fn unquoted(&self, vocabulary: &Vocabulary<'_>) -> Vec<String> {
        let unquoted = |expression: &&Expression| {
            let kind = expression.parameter_type(vocabulary);
            self.treatment == Treatment::Text
                && !expression.is_quoted()
                && !matches!(
                    kind,
                    Some(ParameterType::Integer | ParameterType::Number | ParameterType::Boolean)
                )
        };
        self.expressions()
            .filter(unquoted)
            .map(|expression| expression.source().to_string())
            .collect()
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression) => Some(expression),
            Part::Literal(_) => None,
        })
    }

    /// The value; null when the whole is one expression that is null.
    pub(super) fn render(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<Json, String> {
        if let [Part::Expression(expression)] = self.parts.as_slice()
            && self.treatment != Treatment::Text
        {
            let value = expression.evaluate_within(scope, budget)?;
            return Ok(if self.treatment == Treatment::Expanded {
                escape_strings(value)
            } else {
                value
            });
        }
        let mut mixed = Mixed::default();
        for part in &self.parts {
            match part {
                Part::Literal(text) => mixed.push_literal(text),
                Part::Expression(expression) => {
                    mixed.push_result(&self.result(expression, scope, budget)?);
                }
            }
            if mixed.len() > STRING_BYTES {
                return Err(format!("the rendered text has more than {STRING_BYTES} bytes"));
            }
        }
        Ok(Json::String(match self.treatment {
            Treatment::Expanded => mixed.into_escaped(),
            Treatment::Value | Treatment::Text => mixed.into_text(),
        }))
    }

    /// A result as text.
    fn result(&self, expression: &Expression, scope: &Scope<'_>, budget: &mut Budget) -> Result<String, String> {
        let failed = |what: &str| {
            Err(format!(
                "expression `{}` {what}",
                super::compile::shorten(expression.source())
            ))
        };
        match expression.evaluate_within(scope, budget)? {
            Json::String(text) if self.treatment == Treatment::Text && text.contains(breaks_out) => failed(
                "has a line break or a control character, which could change the file; write quote(…), or the file as an object",
            ),
            Json::String(text) => Ok(text),
            Json::Bool(truth) => Ok(truth.to_string()),
            Json::Number(number) => Ok(number.to_string()),
            Json::Null => failed("is null, which cannot stand within text; write .orValue(\"\") or a condition"),
            Json::Array(_) => failed("is a list, which cannot stand within text; write .join(\",\") or quote(…)"),
            Json::Object(_) => failed("is a map, which cannot stand within text; write quote(…)"),
        }
    }
}

/// Control characters and the line breaks of YAML and JavaScript.
pub(super) fn breaks_out(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

fn escape_strings(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(escape(&text)),
        Json::Array(items) => Json::Array(items.into_iter().map(escape_strings).collect()),
        Json::Object(map) => Json::Object(
            map.into_iter()
                .map(|(key, value)| (key, escape_strings(value)))
                .collect(),
        ),
        other => other,
    }
}
