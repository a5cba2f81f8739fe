//! One expression: compiled when a policy is loaded, evaluated when a Pod arrives.

use std::collections::BTreeSet;

use kube_cel::cel::parser::{Expression as Syntax, Parser};
use serde_json::Value as Json;

use super::evaluate::{Evaluation, Failure};
use super::json::{json_weight, to_json};
use super::limits::{Budget, STRING_BYTES};
use super::lower::Lowering;
use super::path::{Found, Key, Path, Root};
use super::scan;
use super::scope::Scope;
use super::tree::Node;
use crate::names::hint;
use crate::params::ParameterType;

/// What an expression may name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vocabulary<'a> {
    /// The policy's parameters.
    pub params: &'a [(&'a str, ParameterType)],
}

/// Which variables are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Names of parameters.
    pub params: BTreeSet<String>,
    /// The Pod: a DOM of it is needed.
    pub object: bool,
    /// The namespace's name, labels or annotations.
    pub namespace_object: bool,
    /// `request.namespace`.
    pub request: bool,
}

impl Uses {
    /// Nothing is read: the result is always the same.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty() && !self.object && !self.namespace_object && !self.request
    }

    /// Whether the Pod, its namespace or the request is read, so that nothing can be told before there is one.
    pub fn reads_the_pod(&self) -> bool {
        self.object || self.namespace_object || self.request
    }

    /// Adds what another expression reads.
    pub fn merge(&mut self, other: &Uses) {
        self.params.extend(other.params.iter().cloned());
        self.object |= other.object;
        self.namespace_object |= other.namespace_object;
        self.request |= other.request;
    }

    pub(super) fn add(&mut self, path: &Path) {
        match path.root {
            Root::Params => self.params.extend(path.parameter().map(str::to_string)),
            Root::Object => self.object = true,
            Root::NamespaceObject => self.namespace_object = true,
            Root::Request => self.request = true,
        }
    }
}

impl Vocabulary<'_> {
    /// Whether the first steps of a path can lead anywhere.
    pub(super) fn check_path(&self, path: &Path) -> Result<(), String> {
        let names: Vec<&str> = path
            .steps
            .iter()
            .map_while(|step| match &step.key {
                Key::Field(name) => Some(name.as_str()),
                Key::Item(_) => None,
            })
            .collect();
        match (path.root, names.as_slice()) {
            (Root::Object, _) => Ok(()),
            (Root::Params, [name, ..]) => self.check_parameter(name),
            (Root::Params, []) => {
                Err("params can be read by name only, as in params.path or params[\"path\"]".to_string())
            }
            (Root::Request, ["namespace"]) if path.steps.len() == 1 => Ok(()),
            (Root::Request, _) => Err("of request, only request.namespace can be read".to_string()),
            (Root::NamespaceObject, [] | ["metadata"] | ["metadata", "name" | "labels" | "annotations", ..]) => Ok(()),
            (Root::NamespaceObject, _) => Err("of namespaceObject, only metadata.name, metadata.labels and \
                 metadata.annotations can be read"
                .to_string()),
        }
    }

    fn check_parameter(&self, name: &str) -> Result<(), String> {
        let names = || self.params.iter().map(|(name, _)| *name);
        match names().any(|known| known == name) {
            true => Ok(()),
            false => Err(format!(
                "unknown parameter {name:?}{}",
                hint(name, names().collect::<Vec<_>>())
            )),
        }
    }
}

/// A compiled CEL expression.
#[derive(Debug)]
pub struct Expression {
    source: String,
    tree: Node,
    uses: Uses,
}

impl Expression {
    /// Compiles `source`, the text between `${` and `}`.
    ///
    /// # Errors
    ///
    /// What is wrong with it and the way out: syntax, unknown variables, parameters and functions, patterns that are not
    /// valid, and whatever exceeds [`super::limits`].
    pub fn compile(source: &str, vocabulary: &Vocabulary<'_>) -> Result<Expression, String> {
        scan::check(source)
            .and_then(|()| match Path::plain(source) {
                // Most expressions are one selection, which needs no parser.
                Some(path) => compile_path(source, path, vocabulary),
                None => with_deep_stack(|| compile(source, vocabulary)),
            })
            .map_err(|message| format!("expression `{}`: {message}", shorten(source)))
    }

    /// The text that was compiled.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Which variables it reads.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Evaluates it with a [`Budget`] of its own; an optional without a value counts as null.
    ///
    /// # Errors
    ///
    /// The expression and why it failed: a key that is absent, types that do not fit, a bound that was reached.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Json, String> {
        self.evaluate_within(scope, &mut Budget::default())
    }

    /// Evaluates a condition.
    ///
    /// # Errors
    ///
    /// As [`Self::evaluate`]; also when the result is not a boolean.
    pub fn evaluate_bool(&self, scope: &Scope<'_>) -> Result<bool, String> {
        self.evaluate_bool_within(scope, &mut Budget::default())
    }

    /// As [`Self::evaluate_bool`], at the cost of a budget that several conditions share.
    ///
    /// # Errors
    ///
    /// As [`Self::evaluate_bool`].
    pub fn evaluate_bool_within(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<bool, String> {
        let mut evaluation = Evaluation {
            scope,
            steps: &mut budget.steps,
            locals: Vec::new(),
        };
        evaluation
            .truth(&self.tree)
            .map_err(|failure| self.failed(failure.into_message()))
    }

    /// Evaluates it at the cost of a policy's budget.
    pub(super) fn evaluate_within(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<Json, String> {
        let json = self.result(scope, budget).map_err(|message| self.failed(message))?;
        if longest_string(&json) > STRING_BYTES {
            return Err(self.failed(format!("the result has a string of more than {STRING_BYTES} bytes")));
        }
        Ok(json)
    }

    fn result(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<Json, String> {
        // A plain selection is by far the most frequent expression: its value need not become CEL's and come back.
        if let Node::Path(path) = &self.tree {
            let (Found::Value(json) | Found::Optional(Some(json))) = scope.find(path)? else {
                return Ok(Json::Null);
            };
            budget.take_bytes(json_weight(json) - 16)?;
            return Ok(json.clone());
        }
        let mut evaluation = Evaluation {
            scope,
            steps: &mut budget.steps,
            locals: Vec::new(),
        };
        let json = to_json(&evaluation.value(&self.tree).map_err(Failure::into_message)?)?;
        budget.take_bytes(json_weight(&json) - 16)?;
        Ok(json)
    }

    fn failed(&self, message: String) -> String {
        format!("expression `{}` failed: {message}", shorten(&self.source))
    }

    /// The type of the result where it is a plain parameter.
    pub(super) fn parameter_type(&self, vocabulary: &Vocabulary<'_>) -> Option<ParameterType> {
        let Node::Path(path) = &self.tree else { return None };
        let name = path.parameter().filter(|_| path.steps.len() == 1)?;
        vocabulary
            .params
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, kind)| *kind)
    }

    /// Whether it is a call of `quote`.
    pub(super) fn is_quoted(&self) -> bool {
        matches!(&self.tree, Node::Call(call) if call.name == "quote")
    }
}

fn compile_path(source: &str, path: Path, vocabulary: &Vocabulary<'_>) -> Result<Expression, String> {
    vocabulary.check_path(&path)?;
    let mut uses = Uses::default();
    uses.add(&path);
    Ok(Expression {
        source: source.to_string(),
        tree: Node::Path(path),
        uses,
    })
}

fn compile(source: &str, vocabulary: &Vocabulary<'_>) -> Result<Expression, String> {
    let syntax = parse(source)?;
    let mut lowering = Lowering {
        vocabulary,
        uses: Uses::default(),
        locals: Vec::new(),
    };
    let tree = lowering.lower(&syntax)?;
    Ok(Expression {
        source: source.to_string(),
        tree,
        uses: lowering.uses,
    })
}

fn parse(source: &str) -> Result<Syntax, String> {
    let syntax = Parser::new().enable_optional_syntax(true).parse(source);
    syntax.map_err(|errors| match errors.errors.first() {
        Some(error) if error.msg.contains("'<EOF>' expecting") => "it ends too early".to_string(),
        // The list of all tokens that the grammar would take helps nobody.
        Some(error) => {
            let message = error.msg.split(" expecting ").next().unwrap_or_default();
            format!("column {}: {}", error.pos.1, shorten(message))
        }
        None => NOT_CEL.to_string(),
    })
}

const NOT_CEL: &str = "it is not valid CEL";

/// The generated parser takes up to 100 KiB of stack for each bracket, more than a worker's thread has for the depth that
/// is allowed; so it gets a thread for itself. That also keeps a panic of the parser from going further.
fn with_deep_stack<T: Send>(work: impl FnOnce() -> Result<T, String> + Send) -> Result<T, String> {
    const STACK_BYTES: usize = 16 << 20;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work);
        let thread = thread.map_err(|error| format!("failed to start a thread for the parser: {error}"))?;
        thread.join().unwrap_or_else(|_| Err(NOT_CEL.to_string()))
    })
}

fn longest_string(json: &Json) -> usize {
    match json {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(longest_string).max().unwrap_or(0),
        Json::Object(map) => map
            .iter()
            .map(|(key, value)| key.len().max(longest_string(value)))
            .max()
            .unwrap_or(0),
        _ => 0,
    }
}

/// At most 80 characters of a text, in one line.
pub(super) fn shorten(text: &str) -> String {
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match line.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
