//! The walk of a tree: every node and every byte that is made costs steps.

use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::objects::{Key, KeyRef, Map, OptionalValue};

use super::functions::{call_library, is_quadratic};
use super::json::{from_json, json_weight, optional, type_name, weight};
use super::limits::{PATTERN_STEPS, PATTERN_STEPS_PER_BYTE, STEPS, STRING_BYTES, VALUE_WEIGHT};
use super::operators::{binary, has, negate, select};
use super::path::{Found, Path, Root};
use super::pattern;
use super::print::prepare;
use super::scope::Scope;
use super::tree::{Call, Node, Operator, Optional};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Failure {
    /// `false && …` and `true || …` may absorb it, as CEL says.
    Error(String),
    /// A bound was reached: nothing absorbs it.
    Spent(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Error(message)
    }
}

impl Failure {
    pub(super) fn into_message(self) -> String {
        match self {
            Failure::Error(message) | Failure::Spent(message) => message,
        }
    }
}

pub(super) type Outcome<T> = Result<T, Failure>;

pub(super) struct Evaluation<'a> {
    pub scope: &'a Scope<'a>,
    pub steps: &'a mut u64,
    pub locals: Vec<Value>,
}

impl Evaluation<'_> {
    pub(super) fn value(&mut self, node: &Node) -> Outcome<Value> {
        self.charge(1)?;
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Path(path) => self.path(path),
            Node::HasPath(path) => self.has_path(path),
            Node::Local(index) => self
                .locals
                .get(*index)
                .cloned()
                .ok_or_else(|| "the variable is out of scope".to_string().into()),
            Node::Select(operand, field, optional) => {
                let value = self.value(operand)?;
                Ok(select(&value, KeyRef::String(field), *optional)?)
            }
            Node::Has(operand, field) => {
                let value = self.value(operand)?;
                Ok(Value::Bool(has(&value, field)?))
            }
            Node::Index(operands, optional) => self.index(&operands.0, &operands.1, *optional),
            Node::And(sides) => self.logic(&sides.0, &sides.1, false),
            Node::Or(sides) => self.logic(&sides.0, &sides.1, true),
            Node::Not(operand) => Ok(Value::Bool(!self.truth(operand)?)),
            Node::Negate(operand) => Ok(negate(self.value(operand)?)?),
            Node::Choose(parts) => match self.truth(&parts.0)? {
                true => self.value(&parts.1),
                false => self.value(&parts.2),
            },
            Node::Binary(operator, sides) => self.binary(*operator, &sides.0, &sides.1),
            Node::List(entries) => self.list(entries),
            Node::Map(entries) => self.map(entries),
            Node::Fold(fold) => self.fold(fold),
            Node::Call(call) => self.call(call),
        }
    }

    /// A value that must be a boolean.
    pub(super) fn truth(&mut self, node: &Node) -> Outcome<bool> {
        match self.value(node)? {
            Value::Bool(truth) => Ok(truth),
            other => Err(format!(
                "a condition must be true or false, not of the type {}",
                type_name(&other)
            )
            .into()),
        }
    }

    pub(super) fn charge(&mut self, steps: u64) -> Outcome<()> {
        match self.steps.checked_sub(steps) {
            Some(left) => *self.steps = left,
            None => {
                *self.steps = 0;
                return Err(Failure::Spent(format!(
                    "it takes more than {STEPS} steps; go through less of the Pod or call less"
                )));
            }
        }
        Ok(())
    }

    /// Charges for the making of a value, and refuses one that is too large.
    pub(super) fn charge_weight(&mut self, weight: usize) -> Outcome<()> {
        if weight > VALUE_WEIGHT {
            return Err(Failure::Spent(format!(
                "a value is larger than {} KiB; select less of it",
                VALUE_WEIGHT / 1024
            )));
        }
        self.charge(weight as u64 / 16)
    }

    fn made(&mut self, value: Value) -> Outcome<Value> {
        if let Value::String(text) = &value
            && text.len() > STRING_BYTES
        {
            return Err(Failure::Spent(format!(
                "a string would have more than {STRING_BYTES} bytes"
            )));
        }
        self.charge_weight(weight(&value))?;
        Ok(value)
    }

    fn path(&mut self, path: &Path) -> Outcome<Value> {
        let scope = self.scope;
        let mut convert = |json| {
            self.charge_weight(json_weight(json))?;
            Ok::<_, Failure>(from_json(json))
        };
        match scope.find(path)? {
            Found::Value(json) => convert(json),
            Found::Optional(None) => Ok(optional(None)),
            Found::Optional(Some(json)) => Ok(optional(Some(convert(json)?))),
        }
    }

    /// All but the last step must lead somewhere.
    fn has_path(&mut self, path: &Path) -> Outcome<Value> {
        let Some((last, before)) = path.steps.split_last() else {
            return Ok(Value::Bool(true));
        };
        if path.root == Root::Params && before.is_empty() {
            return Ok(Value::Bool(self.scope.find(path).is_ok()));
        }
        let found = self.scope.find(&Path {
            root: path.root,
            steps: before.to_vec(),
        })?;
        let (Found::Value(value) | Found::Optional(Some(value))) = found else {
            return Ok(Value::Bool(false));
        };
        match value.is_object() {
            true => Ok(Value::Bool(
                Path::follow(std::slice::from_ref(last), value).is_ok_and(|found| found != Found::Optional(None)),
            )),
            false => Err("has: only maps have fields".to_string().into()),
        }
    }

    fn index(&mut self, operand: &Node, index: &Node, optional: Optional) -> Outcome<Value> {
        let value = self.value(operand)?;
        let index = match self.value(index)? {
            // CEL indexes lists with any number that is whole.
            Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e9 => Value::Int(float as i64),
            Value::UInt(whole) => i64::try_from(whole).map_or(Value::UInt(whole), Value::Int),
            other => other,
        };
        let key = KeyRef::try_from(&index).map_err(|_| format!("{} is not an index", type_name(&index)))?;
        Ok(select(&value, key, optional)?)
    }

    /// `&&` (which `false` decides) and `||` (which `true` decides); an error on one side counts only if the other does
    /// not decide.
    fn logic(&mut self, left: &Node, right: &Node, decisive: bool) -> Outcome<Value> {
        let left = match self.truth(left) {
            Ok(truth) if truth == decisive => return Ok(Value::Bool(decisive)),
            Err(Failure::Spent(message)) => return Err(Failure::Spent(message)),
            left => left,
        };
        match (left, self.truth(right)?) {
            (_, truth) if truth == decisive => Ok(Value::Bool(decisive)),
            (left, _) => left.map(|_| Value::Bool(!decisive)),
        }
    }

    fn binary(&mut self, operator: Operator, left: &Node, right: &Node) -> Outcome<Value> {
        let (left, right) = (self.value(left)?, self.value(right)?);
        let growing = operator == Operator::Add;
        if growing || matches!(left, Value::List(_) | Value::Map(_)) || operator == Operator::In {
            self.charge_weight(weight(&left) + weight(&right))?;
        }
        let value = binary(operator, left, right)?;
        if growing { self.made(value) } else { Ok(value) }
    }

    fn list(&mut self, entries: &[(Node, Optional)]) -> Outcome<Value> {
        let mut items = Vec::with_capacity(entries.len());
        for (node, optional) in entries {
            items.extend(self.entry(node, *optional)?);
        }
        self.made(Value::List(Arc::new(items)))
    }

    fn map(&mut self, entries: &[(Node, Node, Optional)]) -> Outcome<Value> {
        let mut map = HashMap::with_capacity(entries.len());
        for (key, node, optional) in entries {
            let key: Result<Key, Value> = self.value(key)?.try_into();
            let key =
                key.map_err(|value| format!("a value of the type {} cannot be a map's key", type_name(&value)))?;
            if let Some(value) = self.entry(node, *optional)? {
                map.insert(key, value);
            }
        }
        self.made(Value::Map(Map { map: Arc::new(map) }))
    }

    /// An item; one with a `?` whose optional has no value is left out.
    fn entry(&mut self, node: &Node, question: Optional) -> Outcome<Option<Value>> {
        let value = self.value(node)?;
        if !question {
            return Ok(Some(value));
        }
        match <&OptionalValue>::try_from(&value) {
            Ok(inner) => Ok(inner.value().cloned()),
            Err(_) => Err(format!("? is for optionals, not for {}", type_name(&value)).into()),
        }
    }

    fn call(&mut self, call: &Call) -> Outcome<Value> {
        let mut arguments = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
            arguments.push(self.value(argument)?);
        }
        self.charge_call(call, &arguments)?;
        let value = self
            .result(call, arguments)
            .map_err(|message| match message.starts_with(call.name) {
                true => message,
                false => format!("{}: {message}", call.name),
            })?;
        self.made(value)
    }

    fn charge_call(&mut self, call: &Call, arguments: &[Value]) -> Outcome<()> {
        let weights: Vec<usize> = arguments.iter().map(weight).collect();
        self.charge_weight(weights.iter().sum())?;
        if is_quadratic(call.name) {
            let other = weights.get(1).or(weights.first()).copied().unwrap_or(0);
            self.charge(weights.first().copied().unwrap_or(0) as u64 * other as u64 / 4096)?;
        }
        if pattern::FUNCTIONS.contains(&call.name) {
            let compiling = if call.pattern.is_none() { PATTERN_STEPS } else { 0 };
            self.charge(compiling + PATTERN_STEPS_PER_BYTE * weights.first().copied().unwrap_or(0) as u64)?;
        }
        Ok(())
    }

    fn result(&mut self, call: &Call, arguments: Vec<Value>) -> Result<Value, String> {
        match (&call.pattern, arguments.get(1)) {
            (Some(pattern), _) => return pattern::call(call.name, pattern, &arguments),
            (None, Some(Value::String(pattern))) if pattern::FUNCTIONS.contains(&call.name) => {
                return pattern::call(call.name, &pattern::compile(pattern)?, &arguments);
            }
            _ => {}
        }
        if let Some(native) = call.native
            && let Some(value) = native(&arguments)?
        {
            return Ok(value);
        }
        match &call.library {
            // In the library it is no optional, but the format or null.
            Some(library) if call.name == "format.named" => {
                let format = call_library(library, arguments)?;
                Ok(optional(Some(format).filter(|format| *format != Value::Null)))
            }
            Some(library) => call_library(library, prepare(call.name, arguments)),
            None => Err("the function has no overload for these types".to_string()),
        }
    }
}
