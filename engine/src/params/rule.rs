//! A parameter whose rules are known to make sense.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::{Number, Value};

use super::declaration::{check_bound, check_enum, check_name, check_order, check_settable, compare, compile_whole};
use super::{ParameterSpec, ParameterType, Setter, VALUE_BYTES};

/// A compiled parameter.
#[derive(Debug, Clone)]
pub struct Parameter {
    pub(super) name: String,
    pub(super) kind: ParameterType,
    pub(super) default: Option<Value>,
    pub(super) settable_by_pod: bool,
    pub(super) settable_by_namespace: bool,
    pattern: Option<(String, Regex)>,
    one_of: Option<Vec<Value>>,
    minimum: Option<Number>,
    maximum: Option<Number>,
}

type Errors = Vec<(String, String)>;

impl Parameter {
    /// Compiles one parameter. That names are unique is for [`Parameter::compile_all`] to see.
    ///
    /// # Errors
    ///
    /// Each with its field path below `path`: a name that cannot be used, a rule that does not fit the type or itself, a
    /// pattern that is not valid, a default that breaks a rule.
    pub fn compile(spec: &ParameterSpec, path: &str) -> Result<Parameter, Errors> {
        let mut errors = Vec::new();
        let mut report = |field: &str, result: Result<(), String>| {
            if let Err(message) = result {
                errors.push((format!("{path}.{field}"), message));
            }
        };
        report("name", check_name(&spec.name));
        report("minimum", check_bound(spec, spec.minimum.as_ref(), "minimum"));
        report("maximum", check_bound(spec, spec.maximum.as_ref(), "maximum"));
        report("minimum", check_order(spec));
        report("enum", check_enum(spec));
        report("default", check_settable(spec));
        let pattern = match compile_whole(spec) {
            Ok(pattern) => pattern,
            Err(message) => {
                report("pattern", Err(message));
                None
            }
        };
        let settable = |by| spec.settable_by.as_ref().is_none_or(|setters| setters.contains(&by));
        let parameter = Parameter {
            name: spec.name.clone(),
            kind: spec.kind,
            default: spec
                .default
                .as_ref()
                .filter(|value| !value.is_null())
                .map(|value| normal(spec.kind, value)),
            settable_by_pod: settable(Setter::Pod),
            settable_by_namespace: settable(Setter::Namespace),
            pattern,
            one_of: spec.one_of.clone(),
            minimum: spec.minimum.clone(),
            maximum: spec.maximum.clone(),
        };
        if errors.is_empty() {
            parameter.check_constants(path, &mut errors);
        }
        if errors.is_empty() { Ok(parameter) } else { Err(errors) }
    }

    /// Compiles the parameters of a policy; `path` is that of the list.
    ///
    /// # Errors
    ///
    /// As [`Parameter::compile`]; also names that occur twice.
    pub fn compile_all(specs: &[ParameterSpec], path: &str) -> Result<Vec<Parameter>, Errors> {
        let mut errors = Vec::new();
        let mut parameters: Vec<Parameter> = Vec::with_capacity(specs.len());
        for (index, spec) in specs.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if specs[..index].iter().any(|earlier| earlier.name == spec.name) {
                errors.push((
                    format!("{path}.name"),
                    format!("the parameter {:?} is declared twice", spec.name),
                ));
            }
            match Parameter::compile(spec, &path) {
                Ok(parameter) => parameters.push(parameter),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(parameters) } else { Err(errors) }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type.
    pub fn kind(&self) -> ParameterType {
        self.kind
    }

    /// The default; without one the parameter is required.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// The default and the enum's values must keep the rules.
    fn check_constants(&self, path: &str, errors: &mut Errors) {
        for (index, value) in self.one_of.iter().flatten().enumerate() {
            if let Err(message) = self.check_scalar(value) {
                errors.push((format!("{path}.enum[{index}]"), format!("{value} {message}")));
            }
        }
        if let Some(default) = &self.default
            && let Err(message) = self.check(default)
        {
            errors.push((format!("{path}.default"), format!("{default} {message}")));
        }
    }

    /// Reads an annotation's value; the message completes "the value … ".
    pub(super) fn parse(&self, text: &str) -> Result<Value, String> {
        if text.len() > VALUE_BYTES {
            return Err(format!("has {} bytes; {VALUE_BYTES} are allowed", text.len()));
        }
        let value = match self.kind {
            ParameterType::String => Some(Value::from(text)),
            ParameterType::Integer => text
                .parse::<i64>()
                .ok()
                .filter(|number| number.to_string() == text)
                .map(Value::from),
            ParameterType::Number => parse_number(text),
            ParameterType::Boolean => text.parse::<bool>().ok().map(Value::from),
            ParameterType::StringList => Some(parse_list(text)),
        };
        let value = value.ok_or_else(|| self.wrong_type())?;
        self.check(&value)?;
        Ok(value)
    }

    fn wrong_type(&self) -> String {
        match self.kind {
            ParameterType::String => "is not a string",
            ParameterType::Integer => "is not an integer; write a whole decimal number, such as 64",
            ParameterType::Number => "is not a number; write a decimal number, such as 0.5",
            ParameterType::Boolean => "is not a boolean; write true or false",
            ParameterType::StringList => "is not a list of strings",
        }
        .to_string()
    }

    /// Whether a value of the policy or of an annotation keeps type and rules.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (ParameterType::StringList, Value::Array(items)) => items.iter().try_for_each(|item| {
                self.check_scalar(item)
                    .and_then(|()| self.check_enum(item))
                    .map_err(|message| format!("has the item {item}, which {message}"))
            }),
            (ParameterType::StringList, _) => Err(self.wrong_type()),
            _ => self.check_scalar(value).and_then(|()| self.check_enum(value)),
        }
    }

    fn check_enum(&self, value: &Value) -> Result<(), String> {
        match &self.one_of {
            Some(allowed) if !allowed.iter().any(|one| same(one, value)) => {
                let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
                Err(format!("is not one of {}", allowed.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// Type, pattern and bounds; of a list, those of an item.
    fn check_scalar(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (ParameterType::String | ParameterType::StringList, Value::String(text)) => self.check_text(text),
            (ParameterType::Boolean, Value::Bool(_)) => Ok(()),
            (ParameterType::Integer, Value::Number(number)) if number.is_i64() => self.check_bounds(number),
            (ParameterType::Number, Value::Number(number)) => self.check_bounds(number),
            (ParameterType::StringList, _) => Err("is not a string".to_string()),
            _ => Err(self.wrong_type()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if text.len() > VALUE_BYTES {
            return Err(format!("has {} bytes; {VALUE_BYTES} are allowed", text.len()));
        }
        match &self.pattern {
            Some((source, whole)) if !whole.is_match(text) => Err(format!("does not match the pattern {source}")),
            _ => Ok(()),
        }
    }

    fn check_bounds(&self, number: &Number) -> Result<(), String> {
        match (&self.minimum, &self.maximum) {
            (Some(minimum), _) if compare(number, minimum) == Ordering::Less => {
                Err(format!("is less than the minimum {minimum}"))
            }
            (_, Some(maximum)) if compare(number, maximum) == Ordering::Greater => {
                Err(format!("is more than the maximum {maximum}"))
            }
            _ => Ok(()),
        }
    }
}

/// Numbers as the type has them: a whole default of a `number` stays a number.
fn normal(kind: ParameterType, value: &Value) -> Value {
    match (kind, value.as_f64()) {
        (ParameterType::Number, Some(number)) => Number::from_f64(number).map_or(Value::Null, Value::Number),
        _ => value.clone(),
    }
}

fn parse_number(text: &str) -> Option<Value> {
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let number: f64 = text.parse().ok().filter(|_| plain)?;
    Number::from_f64(number).map(Value::Number)
}

fn parse_list(text: &str) -> Value {
    match text.trim().is_empty() {
        true => Value::Array(Vec::new()),
        false => Value::Array(text.split(',').map(|item| Value::from(item.trim())).collect()),
    }
}

/// Equal, numbers by their value.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => compare(left, right) == Ordering::Equal,
        _ => left == right,
    }
}
