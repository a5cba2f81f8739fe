//! An expression after it has been checked.

use std::sync::Arc;

use kube_cel::cel::Value;
use kube_cel::cel::parser::Expression as Syntax;
use regex::Regex;

use super::native::Native;
use super::path::Path;

/// One node; what it refers to is known to exist.
#[derive(Debug)]
pub(super) enum Node {
    Literal(Value),
    /// A selection from a variable by constant names: `params.path`, `object.metadata.?labels`.
    Path(Path),
    /// `has(path)`.
    HasPath(Path),
    /// A comprehension's variable, counted from the outermost.
    Local(usize),
    Select(Box<Node>, Arc<String>, Optional),
    Has(Box<Node>, Arc<String>),
    Index(Box<(Node, Node)>, Optional),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Choose(Box<(Node, Node, Node)>),
    Binary(Operator, Box<(Node, Node)>),
    List(Vec<(Node, Optional)>),
    Map(Vec<(Node, Node, Optional)>),
    Fold(Box<Fold>),
    Call(Box<Call>),
}

/// Whether `?` was written before a field, an index or an item.
pub(super) type Optional = bool;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Equals,
    NotEquals,
    Less,
    LessEquals,
    Greater,
    GreaterEquals,
    In,
}

/// A comprehension: what the parser makes of a macro, recognised again.
#[derive(Debug)]
pub(super) struct Fold {
    pub kind: FoldKind,
    pub range: Node,
    /// The predicate; for `map` and `filter` the condition for an item to count.
    pub test: Option<Node>,
    /// What `map` and `filter` collect.
    pub item: Option<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum FoldKind {
    All,
    Exists,
    ExistsOne,
    Collect,
}

/// A function with its arguments, the receiver first.
#[derive(Debug)]
pub(super) struct Call {
    pub name: &'static str,
    pub arguments: Vec<Node>,
    /// Our own implementation, asked first.
    pub native: Option<Native>,
    /// The call as the library evaluates it, its arguments replaced by variables.
    pub library: Option<Syntax>,
    /// The compiled pattern of `matches`, `find` and `findAll`, when it is a literal.
    pub pattern: Option<Regex>,
}
