//! A JSON value whose strings may hold expressions.

use serde_json::{Map, Value as Json};

use super::compile::{Uses, Vocabulary};
use super::limits::Budget;
use super::scope::Scope;
use super::text::{Compiled, Text, Treatment, compile};

/// Where a value stands; decides what is done with the results of its expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Results are values.
    Value,
    /// A container: `$(` of results is escaped in `command`, `args`, `env[].value` and `volumeMounts[].subPathExpr`.
    Container,
    /// A list of variables: `$(` of results is escaped in `[].value`.
    Env,
    /// A list of mounts: `$(` of results is escaped in `[].subPathExpr`.
    VolumeMounts,
    /// `$(` of results is escaped in every string.
    Expanded,
    /// The text of a file: a result with a line break or a control character fails.
    Text,
}

/// A compiled value. See [`Template::compile`].
#[derive(Debug)]
pub struct Template {
    shape: Shape,
    uses: Uses,
    unquoted: Vec<(String, String)>,
}

#[derive(Debug)]
enum Shape {
    Constant(Json),
    Text(String, Box<Text>),
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
}

/// Values within values.
const DEPTH: usize = 64;

impl Template {
    /// Compiles a value. `${…}` in a string is an expression, `$${` a literal `${`; keys are literal.
    ///
    /// # Errors
    ///
    /// Every error with its field path: `path`, then `.field`, `[0]` or `["a.key"]`.
    pub fn compile(
        value: &Json,
        path: &str,
        vocabulary: &Vocabulary<'_>,
        place: Place,
    ) -> Result<Template, Vec<(String, String)>> {
        let mut compiler = Compiler {
            vocabulary,
            uses: Uses::default(),
            errors: Vec::new(),
            unquoted: Vec::new(),
        };
        let shape = compiler.shape(value, path.to_string(), place, DEPTH);
        match compiler.errors.is_empty() {
            true => Ok(Template {
                shape,
                uses: compiler.uses,
                unquoted: compiler.unquoted,
            }),
            false => Err(compiler.errors),
        }
    }

    /// Which variables its expressions read.
    pub fn uses(&self) -> &Uses {
        &self.uses
    }

    /// Whether it has no expression at all, so that it always renders the same.
    pub fn is_constant(&self) -> bool {
        matches!(self.shape, Shape::Constant(_))
    }

    /// In [`Place::Text`]: path and source of the expressions that may be strings and are not guarded by `quote`.
    pub fn unquoted(&self) -> &[(String, String)] {
        &self.unquoted
    }

    /// What is constant of the value: items and fields with an expression are left out.
    pub fn constants(&self) -> Json {
        constants(&self.shape).unwrap_or_default()
    }

    /// A field of the value that has no expression in it.
    pub fn constant_field(&self, name: &str) -> Option<&Json> {
        match &self.shape {
            Shape::Constant(value) => value.get(name),
            Shape::Map(entries) => match entries.iter().find(|(key, _)| key == name)? {
                (_, Shape::Constant(value)) => Some(value),
                _ => None,
            },
            Shape::Text(..) | Shape::List(_) => None,
        }
    }

    /// Whether the value can have this field.
    pub fn may_have_field(&self, name: &str) -> bool {
        match &self.shape {
            Shape::Constant(value) => value.get(name).is_some_and(|value| !value.is_null()),
            Shape::Map(entries) => entries.iter().any(|(key, _)| key == name),
            Shape::Text(..) | Shape::List(_) => true,
        }
    }

    /// Renders the value at the cost of a policy's budget. A field or item whose expression is null is left out; `None`
    /// when that is the whole value. A null that the policy itself holds stays.
    ///
    /// # Errors
    ///
    /// The field path and why its expression failed.
    pub fn render(&self, scope: &Scope<'_>, budget: &mut Budget) -> Result<Option<Json>, (String, String)> {
        render(&self.shape, scope, budget)
    }
}

fn constants(shape: &Shape) -> Option<Json> {
    Some(match shape {
        Shape::Constant(value) => value.clone(),
        Shape::Text(..) => return None,
        Shape::List(items) => items.iter().filter_map(constants).collect(),
        Shape::Map(entries) => {
            let constant = entries
                .iter()
                .filter_map(|(key, shape)| Some((key.clone(), constants(shape)?)));
            Json::Object(constant.collect())
        }
    })
}

fn render(shape: &Shape, scope: &Scope<'_>, budget: &mut Budget) -> Result<Option<Json>, (String, String)> {
    Ok(Some(match shape {
        Shape::Constant(value) => value.clone(),
        Shape::Text(path, text) => {
            let value = text.render(scope, budget).map_err(|message| (path.clone(), message))?;
            return Ok((!value.is_null()).then_some(value));
        }
        Shape::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(render(item, scope, budget)?);
            }
            Json::Array(list)
        }
        Shape::Map(entries) => {
            let mut map = Map::new();
            for (key, shape) in entries {
                if let Some(value) = render(shape, scope, budget)? {
                    map.insert(key.clone(), value);
                }
            }
            Json::Object(map)
        }
    }))
}

struct Compiler<'v> {
    vocabulary: &'v Vocabulary<'v>,
    uses: Uses,
    errors: Vec<(String, String)>,
    unquoted: Vec<(String, String)>,
}

impl Compiler<'_> {
    fn shape(&mut self, value: &Json, path: String, place: Place, depth: usize) -> Shape {
        if depth == 0 {
            self.errors
                .push((path, format!("values are nested more than {DEPTH} deep")));
            return Shape::Constant(Json::Null);
        }
        match value {
            Json::String(source) => self.text(source, path, place),
            Json::Array(items) => {
                let place = inside_list(place);
                let each = |(index, item)| self.shape(item, format!("{path}[{index}]"), place, depth - 1);
                let shapes: Vec<Shape> = items.iter().enumerate().map(each).collect();
                match shapes.iter().all(|shape| matches!(shape, Shape::Constant(_))) {
                    true => Shape::Constant(Json::Array(shapes.into_iter().filter_map(constant).collect())),
                    false => Shape::List(shapes),
                }
            }
            Json::Object(entries) => {
                let each = |(key, value): (&String, &Json)| {
                    let shape = self.shape(value, field_path(&path, key), inside_map(place, key), depth - 1);
                    (key.clone(), shape)
                };
                let shapes: Vec<(String, Shape)> = entries.iter().map(each).collect();
                match shapes.iter().all(|(_, shape)| matches!(shape, Shape::Constant(_))) {
                    true => Shape::Constant(Json::Object(
                        shapes
                            .into_iter()
                            .filter_map(|(key, shape)| Some((key, constant(shape)?)))
                            .collect(),
                    )),
                    false => Shape::Map(shapes),
                }
            }
            other => Shape::Constant(other.clone()),
        }
    }

    fn text(&mut self, source: &str, path: String, place: Place) -> Shape {
        let treatment = match place {
            Place::Value => Treatment::Value,
            Place::Text => Treatment::Text,
            // A whole list of variables may be one expression.
            Place::Expanded | Place::Container | Place::Env | Place::VolumeMounts => Treatment::Expanded,
        };
        match compile(source, self.vocabulary, treatment) {
            Ok(Compiled::Constant(text)) => Shape::Constant(Json::String(text)),
            Ok(Compiled::Text(text)) => {
                text.add_uses(&mut self.uses);
                self.unquoted.extend(
                    text.unquoted(self.vocabulary)
                        .into_iter()
                        .map(|source| (path.clone(), source)),
                );
                Shape::Text(path, Box::new(text))
            }
            Err(errors) => {
                self.errors
                    .extend(errors.into_iter().map(|message| (path.clone(), message)));
                Shape::Constant(Json::Null)
            }
        }
    }
}

fn constant(shape: Shape) -> Option<Json> {
    match shape {
        Shape::Constant(value) => Some(value),
        Shape::Text(..) | Shape::List(_) | Shape::Map(_) => None,
    }
}

/// The items of `env` and `volumeMounts` are maps in which one field is expanded: those stay in their place.
fn inside_list(place: Place) -> Place {
    match place {
        Place::Container => Place::Value,
        other => other,
    }
}

fn inside_map(place: Place, key: &str) -> Place {
    match (place, key) {
        (Place::Container, "command" | "args") => Place::Expanded,
        (Place::Container, "env") => Place::Env,
        (Place::Container, "volumeMounts") => Place::VolumeMounts,
        (Place::Env, "value") | (Place::VolumeMounts, "subPathExpr") => Place::Expanded,
        (Place::Expanded | Place::Text, _) => place,
        _ => Place::Value,
    }
}

/// The path of a field: `.name`, or `["a key"]` where the key is not a plain name.
fn field_path(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    match (plain, path.is_empty()) {
        (true, true) => key.to_string(),
        (true, false) => format!("{path}.{key}"),
        (false, _) => format!("{path}[{}]", Json::from(key)),
    }
}
