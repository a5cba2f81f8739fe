//! From the parser's syntax to a checked tree: every name is resolved here, and what the walk could not bear is refused.

use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, MapExpr, SelectExpr, operators,
};
use kube_cel::cel::parser::Expression as Syntax;

use super::compile::{Uses, Vocabulary};
use super::functions;
use super::limits::COMPREHENSIONS;
use super::path::{Key, Path, Root, Step};
use super::tree::{Fold, FoldKind, Node, Operator};
use crate::names::hint;

pub(super) type Result<T> = std::result::Result<T, String>;

pub(super) struct Lowering<'v> {
    pub vocabulary: &'v Vocabulary<'v>,
    pub uses: Uses,
    pub locals: Vec<String>,
}

impl Lowering<'_> {
    /// The tree of an expression, complete: a path goes no further.
    pub(super) fn lower(&mut self, syntax: &Syntax) -> Result<Node> {
        let node = self.open(syntax)?;
        if let Node::Path(path) | Node::HasPath(path) = &node {
            self.vocabulary.check_path(path)?;
            self.uses.add(path);
        }
        Ok(node)
    }

    /// As [`Self::lower`], but a selection may still be added to a path.
    fn open(&mut self, syntax: &Syntax) -> Result<Node> {
        match &syntax.expr {
            Expr::Literal(literal) => {
                let value = literal.to_val();
                Ok(Node::Literal(
                    Value::try_from(value.as_ref()).map_err(|error| functions::explain(&error))?,
                ))
            }
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(fold) => self.fold(fold),
            Expr::Struct(_) => Err("messages such as Name{field: value} are not known here; write a map".to_string()),
            Expr::Unspecified => Err("the expression is not complete".to_string()),
        }
    }

    fn variable(&self, name: &str) -> Result<Node> {
        if let Some(index) = self.locals.iter().rposition(|local| local == name) {
            return Ok(Node::Local(index));
        }
        match Root::parse(name.trim_start_matches('.')) {
            Some(root) => Ok(Node::Path(Path {
                root,
                steps: Vec::new(),
            })),
            None => {
                let known = self.locals.iter().map(String::as_str).chain(Root::NAMES);
                let known: Vec<&str> = known.filter(|name| !name.starts_with('@')).collect();
                Err(format!("unknown variable {name:?}{}", hint(name, known)))
            }
        }
    }

    fn select(&mut self, select: &SelectExpr) -> Result<Node> {
        let field = select.field.trim_matches('`');
        let node = self.choose_field(&select.operand, field, false)?;
        Ok(match (select.test, node) {
            (false, node) => node,
            (true, Node::Path(path)) => Node::HasPath(path),
            (true, Node::Select(operand, field, _)) => Node::Has(operand, field),
            (true, _) => return Err("has() is for a selection: has(x.field)".to_string()),
        })
    }

    fn choose_field(&mut self, operand: &Syntax, field: &str, optional: bool) -> Result<Node> {
        let operand = self.open(operand)?;
        Ok(extend(operand, Key::Field(field.to_string()), optional)
            .unwrap_or_else(|operand| Node::Select(operand, Arc::new(field.to_string()), optional)))
    }

    fn index(&mut self, operand: &Syntax, index: &Syntax, optional: bool) -> Result<Node> {
        let key = match &index.expr {
            Expr::Literal(literal) => match Value::try_from(literal.to_val().as_ref()) {
                Ok(Value::String(name)) => Some(Key::Field(name.to_string())),
                Ok(Value::Int(item)) => Some(Key::Item(item)),
                _ => None,
            },
            _ => None,
        };
        let base = match (self.open(operand)?, key) {
            (base, Some(key)) => match extend(base, key, optional) {
                Ok(path) => return Ok(path),
                Err(base) => *base,
            },
            (base, None) => base,
        };
        if let Node::Path(path) = &base {
            self.vocabulary.check_path(path)?;
            self.uses.add(path);
        }
        Ok(Node::Index(Box::new((base, self.lower(index)?)), optional))
    }

    fn pair(&mut self, call: &CallExpr) -> Result<Box<(Node, Node)>> {
        Ok(Box::new((self.lower(&call.args[0])?, self.lower(&call.args[1])?)))
    }

    fn call(&mut self, call: &CallExpr) -> Result<Node> {
        let node = match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::CONDITIONAL, [test, yes, no]) => {
                Node::Choose(Box::new((self.lower(test)?, self.lower(yes)?, self.lower(no)?)))
            }
            (operators::LOGICAL_AND, [_, _]) => Node::And(self.pair(call)?),
            (operators::LOGICAL_OR, [_, _]) => Node::Or(self.pair(call)?),
            (operators::LOGICAL_NOT, [operand]) => Node::Not(Box::new(self.lower(operand)?)),
            (operators::NEGATE, [operand]) => Node::Negate(Box::new(self.lower(operand)?)),
            (operators::INDEX, [operand, index]) => self.index(operand, index, false)?,
            (operators::OPT_INDEX, [operand, index]) => self.index(operand, index, true)?,
            (
                operators::OPT_SELECT,
                [
                    operand,
                    Syntax {
                        expr: Expr::Literal(field),
                        ..
                    },
                ],
            ) => match Value::try_from(field.to_val().as_ref()) {
                Ok(Value::String(field)) => self.choose_field(operand, field.trim_matches('`'), true)?,
                _ => return Err("the field after .? must be a name".to_string()),
            },
            (name, [_, _]) if operator(name).is_some() => {
                Node::Binary(operator(name).unwrap_or(Operator::In), self.pair(call)?)
            }
            _ => self.function(call)?,
        };
        Ok(node)
    }

    fn list(&mut self, list: &ListExpr) -> Result<Node> {
        let mut items = Vec::with_capacity(list.elements.len());
        for (index, element) in list.elements.iter().enumerate() {
            items.push((self.lower(element)?, list.optional_indices.contains(&index)));
        }
        Ok(Node::List(items))
    }

    fn map(&mut self, map: &MapExpr) -> Result<Node> {
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    entries.push((self.lower(&entry.key)?, self.lower(&entry.value)?, entry.optional));
                }
                EntryExpr::StructField(_) => return Err("messages are not known here; write a map".to_string()),
            }
        }
        Ok(Node::Map(entries))
    }

    fn fold(&mut self, fold: &ComprehensionExpr) -> Result<Node> {
        let range = self.lower(&fold.iter_range)?;
        if self.locals.len() >= COMPREHENSIONS {
            return Err(format!(
                "comprehensions (map, exists, …) are nested more than {COMPREHENSIONS} deep"
            ));
        }
        if Root::parse(&fold.iter_var).is_some() {
            return Err(format!(
                "a comprehension's variable cannot be called {:?}, as it would hide it",
                fold.iter_var
            ));
        }
        self.locals.push(fold.iter_var.clone());
        let body = self.fold_body(fold);
        self.locals.pop();
        let (kind, test, item) = body?;
        Ok(Node::Fold(Box::new(Fold {
            kind,
            range,
            test,
            item,
        })))
    }

    /// Recognises what the parser makes of each macro by its step.
    fn fold_body(&mut self, fold: &ComprehensionExpr) -> Result<(FoldKind, Option<Node>, Option<Node>)> {
        let unknown = || "this comprehension is not known here".to_string();
        let Expr::Call(step) = &fold.loop_step.expr else {
            return Err(unknown());
        };
        match (step.func_name.as_str(), step.args.as_slice()) {
            (operators::LOGICAL_OR, [_, test]) => Ok((FoldKind::Exists, Some(self.lower(test)?), None)),
            (operators::LOGICAL_AND, [_, test]) => Ok((FoldKind::All, Some(self.lower(test)?), None)),
            (operators::ADD, [_, item]) => Ok((FoldKind::Collect, None, Some(self.collected(item)?))),
            (operators::CONDITIONAL, [test, added, _]) => {
                let test = Some(self.lower(test)?);
                match (&fold.accu_init.expr, &added.expr) {
                    (Expr::List(_), Expr::Call(add)) if add.args.len() == 2 => {
                        Ok((FoldKind::Collect, test, Some(self.collected(&add.args[1])?)))
                    }
                    (Expr::Literal(_), _) => Ok((FoldKind::ExistsOne, test, None)),
                    _ => Err(unknown()),
                }
            }
            _ => Err(unknown()),
        }
    }

    /// The item of the list of one that `map` and `filter` add.
    fn collected(&mut self, added: &Syntax) -> Result<Node> {
        match &added.expr {
            Expr::List(list) if list.elements.len() == 1 => self.lower(&list.elements[0]),
            _ => Err("this comprehension is not known here".to_string()),
        }
    }
}

/// A path with one more step, or the node as it was.
fn extend(base: Node, key: Key, optional: bool) -> std::result::Result<Node, Box<Node>> {
    match base {
        Node::Path(mut path) => {
            path.steps.push(Step { key, optional });
            Ok(Node::Path(path))
        }
        other => Err(Box::new(other)),
    }
}

fn operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::ADD => Operator::Add,
        operators::SUBSTRACT => Operator::Subtract,
        operators::MULTIPLY => Operator::Multiply,
        operators::DIVIDE => Operator::Divide,
        operators::MODULO => Operator::Modulo,
        operators::EQUALS => Operator::Equals,
        operators::NOT_EQUALS => Operator::NotEquals,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEquals,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEquals,
        operators::IN => Operator::In,
        _ => return None,
    })
}
