//! The functions that expressions may call, and the library that has them.

use std::sync::LazyLock;

use kube_cel::KubeCelExt;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::parser::Expression as Syntax;
use kube_cel::cel::{Context, ExecutionError, Value};

/// A function: its name and how many arguments it takes, the receiver included.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub name: &'static str,
    pub least: usize,
    pub most: usize,
}

/// The macros that the parser expands.
pub(super) const MACROS: [(&str, &str); 7] = [
    ("has", "has(x.field)"),
    ("all", "list.all(x, condition)"),
    ("exists", "list.exists(x, condition)"),
    ("exists_one", "list.exists_one(x, condition)"),
    ("existsOne", "list.existsOne(x, condition)"),
    ("map", "list.map(x, value) or list.map(x, condition, value)"),
    ("filter", "list.filter(x, condition)"),
];

/// Names by number of arguments (least, most). The registry of the library cannot be listed, so this is its list; a test
/// compares.
const TABLE: &[(usize, usize, &str)] = &[
    (0, 0, "optional.none"),
    (
        1,
        1,
        "size string bytes double int uint bool dyn quote duration timestamp",
    ),
    (1, 1, "optional.of optional.ofNonZeroValue value hasValue"),
    (
        1,
        1,
        "getFullYear getMonth getDayOfYear getDayOfMonth getDate getDayOfWeek",
    ),
    (1, 1, "getHours getMinutes getSeconds getMilliseconds"),
    (2, 2, "contains startsWith endsWith or orValue matches find"),
    (1, 9, "min max"),
    (1, 1, "lowerAscii upperAscii trim strings.quote reverse"),
    (1, 2, "join"),
    (2, 2, "charAt format"),
    (2, 3, "indexOf lastIndexOf split substring findAll"),
    (3, 4, "replace"),
    (1, 1, "isSorted sum sort flatten distinct first last lists.range"),
    (3, 3, "slice"),
    (2, 2, "sets.contains sets.equivalent sets.intersects"),
    (
        1,
        1,
        "math.ceil math.floor math.round math.trunc math.abs math.sign math.isInf math.isNaN math.isFinite",
    ),
    (1, 1, "math.bitNot math.sqrt"),
    (
        2,
        2,
        "math.bitAnd math.bitOr math.bitXor math.bitShiftLeft math.bitShiftRight",
    ),
    (1, 9, "math.greatest math.least"),
    (1, 1, "base64.decode base64.encode jsonpatch.escapeKey"),
    (
        1,
        1,
        "url isURL getScheme getHost getHostname getPort getEscapedPath getQuery",
    ),
    (
        1,
        1,
        "ip isIP ip.isCanonical family isLoopback isUnspecified isLinkLocalMulticast isLinkLocalUnicast",
    ),
    (1, 1, "isGlobalUnicast cidr isCIDR prefixLength masked"),
    (2, 2, "containsIP containsCIDR"),
    (1, 2, "semver isSemver"),
    (1, 1, "major minor patch"),
    (1, 1, "quantity isQuantity isInteger asInteger asApproximateFloat sign"),
    (2, 2, "add sub isGreaterThan isLessThan compareTo"),
    (
        0,
        0,
        "format.dns1123Label format.dns1123Subdomain format.dns1035Label format.dns1035LabelPrefix",
    ),
    (
        0,
        0,
        "format.dns1123LabelPrefix format.dns1123SubdomainPrefix format.qualifiedName format.labelValue",
    ),
    (0, 0, "format.uri format.uuid format.byte format.date format.datetime"),
    (1, 1, "format.named"),
    (2, 2, "validate"),
];

/// All functions.
pub(super) fn all() -> impl Iterator<Item = Function> + Clone {
    TABLE.iter().flat_map(|(least, most, names)| {
        names.split(' ').map(|name| Function {
            name,
            least: *least,
            most: *most,
        })
    })
}

/// The names of all functions and macros that an expression may call, for documentation; no order.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let macros = MACROS.iter().map(|(name, _)| *name);
    all().map(|function| function.name).chain(macros)
}

/// The function of this name.
pub(super) fn find(name: &str) -> Option<Function> {
    all().find(|function| function.name == name)
}

/// Functions whose cost is the product of their arguments' sizes.
pub(super) fn is_quadratic(name: &str) -> bool {
    matches!(name, "indexOf" | "lastIndexOf" | "distinct" | "contains") || name.starts_with("sets.")
}

/// The library's functions. Building it takes some ten microseconds; calls add a scope of their own to it.
static LIBRARY: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

/// The names of the arguments in the library's scope.
const ARGUMENTS: [&str; 9] = ["@0", "@1", "@2", "@3", "@4", "@5", "@6", "@7", "@8"];

/// The call of a function with its arguments replaced by variables of the library's scope.
pub(super) fn library_call(name: &str, arguments: usize, method: bool) -> Syntax {
    let variable = |name: &&str| syntax(Expr::Ident((*name).to_string()));
    let mut given = ARGUMENTS.iter().take(arguments).map(variable);
    let (target, func_name) = match name.split_once('.') {
        Some((prefix, name)) => (Some(variable(&prefix)), name),
        None if method => (given.next(), name),
        None => (None, name),
    };
    let args = given.collect();
    syntax(Expr::Call(CallExpr {
        func_name: func_name.to_string(),
        target: target.map(Box::new),
        args,
    }))
}

fn syntax(expr: Expr) -> Syntax {
    Syntax { id: 0, expr }
}

/// Evaluates a [`library_call`]. A panic of the library counts as an error.
pub(super) fn call_library(call: &Syntax, arguments: Vec<Value>) -> Result<Value, String> {
    let evaluate = || {
        let mut scope = LIBRARY.new_inner_scope();
        for (name, value) in ARGUMENTS.iter().zip(arguments) {
            scope.add_variable_from_value(*name, value);
        }
        Value::resolve(call, &scope).map_err(|error| explain(&error))
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(evaluate))
        .unwrap_or_else(|_| Err("the function failed on these arguments".to_string()))
}

/// The library's error in our words, with no more of the values than fits a line.
pub(super) fn explain(error: &ExecutionError) -> String {
    let text = match error {
        ExecutionError::FunctionError { function, message } => format!("{function}: {message}"),
        ExecutionError::UnexpectedType { .. } | ExecutionError::NoSuchOverload => {
            "the function has no overload for these types".to_string()
        }
        ExecutionError::UnsupportedBinaryOperator(name, left, right) => {
            format!(
                "{name} has no overload for {} and {}",
                super::json::type_name(left),
                super::json::type_name(right)
            )
        }
        ExecutionError::Overflow(name, ..) => format!("{name} overflows"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_string(),
        other => other.to_string(),
    };
    text.chars().take(200).collect()
}
