//! Calls of functions: which function is meant, whether it takes these arguments, and its pattern if that is a literal.

use kube_cel::cel::Value;
use kube_cel::cel::common::ast::{CallExpr, Expr};
use kube_cel::cel::parser::Expression as Syntax;

use super::functions::{self, Function, MACROS, library_call};
use super::lower::{Lowering, Result};
use super::native::native;
use super::pattern;
use super::tree::{Call, Node};
use crate::names::hint;

impl Lowering<'_> {
    pub(super) fn function(&mut self, call: &CallExpr) -> Result<Node> {
        let mut arguments = Vec::with_capacity(call.args.len() + 1);
        let (function, method) = match (self.qualified(call), &call.target) {
            (Some(function), _) => (function, false),
            (None, Some(target)) => {
                let function = unqualified(call, target)?;
                arguments.push(self.lower(target)?);
                (function, true)
            }
            (None, None) => (
                functions::find(&call.func_name).ok_or_else(|| unknown(&call.func_name))?,
                false,
            ),
        };
        for argument in &call.args {
            arguments.push(self.lower(argument)?);
        }
        check_arguments(function, arguments.len(), method)?;
        let pattern = match arguments.get(1) {
            Some(Node::Literal(Value::String(pattern))) if pattern::FUNCTIONS.contains(&function.name) => {
                Some(pattern::compile(pattern)?)
            }
            _ => None,
        };
        let library = !matches!(function.name, "quote" | "dyn" | "bool");
        let library = library.then(|| library_call(function.name, arguments.len(), method));
        Ok(Node::Call(Box::new(Call {
            name: function.name,
            arguments,
            native: native(function.name),
            library,
            pattern,
        })))
    }

    /// `math.abs(…)`: the target is the first part of a name, unless a variable of that name hides it.
    fn qualified(&self, call: &CallExpr) -> Option<Function> {
        match call.target.as_deref() {
            Some(Syntax {
                expr: Expr::Ident(prefix),
                ..
            }) if !self.locals.contains(prefix) => functions::find(&format!("{prefix}.{}", call.func_name)),
            _ => None,
        }
    }
}

fn unqualified(call: &CallExpr, target: &Syntax) -> Result<Function> {
    let found = functions::find(&call.func_name);
    match &target.expr {
        // `maths.abs(1)`: the whole name is what is wrong.
        Expr::Ident(prefix)
            if found.is_none() && functions::all().any(|f| f.name.starts_with(&format!("{prefix}."))) =>
        {
            Err(unknown(&format!("{prefix}.{}", call.func_name)))
        }
        _ => found.ok_or_else(|| unknown(&call.func_name)),
    }
}

fn unknown(name: &str) -> String {
    if let Some((_, usage)) = MACROS.iter().find(|(known, _)| *known == name) {
        return format!("{name} is written {usage}");
    }
    let names = functions::all()
        .map(|function| function.name)
        .chain(MACROS.iter().map(|(name, _)| *name));
    format!("unknown function {name:?}{}", hint(name, names))
}

fn check_arguments(function: Function, given: usize, method: bool) -> Result<()> {
    if (function.least..=function.most).contains(&given) {
        return Ok(());
    }
    let receiver = usize::from(method);
    let (least, most) = (
        function.least.saturating_sub(receiver),
        function.most.saturating_sub(receiver),
    );
    let wanted = if least == most {
        least.to_string()
    } else {
        format!("{least} to {most}")
    };
    Err(format!(
        "{} takes {wanted} arguments, not {}",
        function.name,
        given - receiver.min(given)
    ))
}
