//! Decorators of the project's own: functions and mutators that only apply others, read without running them.

use std::collections::BTreeMap;

use ruff_python_ast::{Expr, ExprCall, Stmt, StmtClassDef, StmtFunctionDef};

use super::arguments::Arguments;
use super::decorator::{Called, Effect, Meaning, Use};
use super::evaluator::Evaluator;
use super::hidden::{Hidden, MATTERS, matters};
use super::reader::{Reader, Target, last_part};
use super::value::{Frame, Given, Value};
use crate::project::Error;

impl Reader<'_> {
    /// A function that applies decorators and does nothing else: `def gpu(f): return pypi(…)(kubernetes(…)(f))`; one that
    /// makes such a function, `def gpu(memory=1): def apply(f): … return apply`; or `def gpu(): return pypi(…)`.
    pub(super) fn wrapper(
        &self,
        function: &StmtFunctionDef,
        called: Called<'_>,
        of: Use<'_>,
    ) -> Result<Meaning, Error> {
        let hidden = || self.hidden(Hidden::Function(function), of);
        let applied = |inner: &StmtFunctionDef, given: &[Given]| {
            let frame = Frame { names: given, outer: None };
            match self.applied(inner, of, &self.evaluator().within(&frame)) {
                Some(effects) => effects.map(Meaning::Effects),
                None => hidden(),
            }
        };
        let Some(arguments) = called else {
            return applied(function, &self.parameters(&function.parameters, None));
        };
        let mut given = self.parameters(&function.parameters, Some(arguments));
        let body: Vec<&Stmt> = function.body.iter().filter(|stmt| !says_nothing(stmt)).collect();
        match body[..] {
            [Stmt::Return(end)] => match end.value.as_deref() {
                Some(result @ Expr::Call(_)) => {
                    let frame = Frame { names: &given, outer: None };
                    self.effects(result, of, &self.evaluator().within(&frame)).map(Meaning::Effects)
                }
                _ => hidden(),
            },
            [Stmt::FunctionDef(inner), Stmt::Return(end)] => match end.value.as_deref() {
                Some(Expr::Name(name)) if name.id == inner.name.id => {
                    given.splice(..0, self.parameters(&inner.parameters, None));
                    applied(inner, &given)
                }
                _ => hidden(),
            },
            _ => hidden(),
        }
    }

    /// The effects of a function that takes one and gives it back decorated; `None` if it does anything else.
    fn applied(
        &self,
        function: &StmtFunctionDef,
        of: Use<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Option<Result<Vec<Effect>, Error>> {
        let mut parameters = function.parameters.iter();
        let (Some(decorated), None) = (parameters.next(), parameters.next()) else { return None };
        let decorated = decorated.name().as_str();
        // What is applied, one after the other; and lists of decorators by their names.
        let (mut applied, mut lists) = (Vec::new(), BTreeMap::new());
        let mut is_done = false;
        for stmt in function.body.iter().filter(|stmt| !says_nothing(stmt)) {
            match stmt {
                _ if is_done => return None,
                Stmt::Assign(assign) => match (&assign.targets[..], &*assign.value) {
                    // `f = pypi(…)(f)`
                    ([Expr::Name(name)], value) if name.id.as_str() == decorated => {
                        applied.extend(chain(value, decorated)?);
                    }
                    // `decorators = [pypi(…), kubernetes(…)]`
                    ([Expr::Name(name)], Expr::List(list)) => {
                        lists.insert(name.id.as_str(), &list.elts);
                    }
                    _ => return None,
                },
                // `for decorator in decorators: f = decorator(f)`
                Stmt::For(each) if each.orelse.is_empty() && !each.is_async => {
                    let list = match &*each.iter {
                        Expr::List(list) => &list.elts,
                        Expr::Name(name) => *lists.get(name.id.as_str())?,
                        _ => return None,
                    };
                    let [Stmt::Assign(assign)] = &each.body[..] else { return None };
                    let [Expr::Name(target)] = &assign.targets[..] else { return None };
                    let [Expr::Name(called)] = chain(&assign.value, decorated)?[..] else { return None };
                    let is_each = each.target.as_name_expr().is_some_and(|name| name.id == called.id);
                    if !is_each || target.id.as_str() != decorated || list.iter().any(Expr::is_starred_expr) {
                        return None;
                    }
                    applied.extend(list);
                }
                Stmt::Return(end) => {
                    is_done = true;
                    applied.extend(chain(end.value.as_deref()?, decorated)?);
                }
                _ => return None,
            }
        }
        let effects = |decorator: &Expr| self.effects(decorator, of, evaluator);
        let all = applied.into_iter().map(effects).collect::<Result<Vec<_>, _>>();
        is_done.then(|| all.map(|all| all.into_iter().flatten().collect()))
    }

    /// A mutator that adds decorators and does nothing else; `None` if it is another class, or does more.
    pub(super) fn mutator(&self, class: &StmtClassDef, of: Use<'_>) -> Option<Result<Vec<Effect>, Error>> {
        let bases = class.arguments.iter().flat_map(|arguments| &arguments.args);
        let is_mutator = |base: &Expr| matches!(self.target(base), Ok(Target::Outside(dotted)) if last_part(&dotted) == "StepMutator");
        if !bases.into_iter().any(is_mutator) {
            return None;
        }
        let mut effects = Vec::new();
        let methods = class.body.iter().filter_map(Stmt::as_function_def_stmt);
        for method in methods.filter(|method| ["mutate", "pre_mutate"].contains(&method.name.as_str())) {
            let parameters: Vec<&str> = method.parameters.iter().map(|p| p.name().as_str()).collect();
            let [_, step] = parameters[..] else { return None };
            for stmt in method.body.iter().filter(|stmt| !says_nothing(stmt) && !stmt.is_pass_stmt()) {
                let call = stmt.as_expr_stmt()?.value.as_call_expr()?;
                let Expr::Attribute(function) = &*call.func else { return None };
                let is_step = function.value.as_name_expr().is_some_and(|name| name.id.as_str() == step);
                if !is_step || function.attr.as_str() != "add_decorator" {
                    return None;
                }
                match self.added(call, of)? {
                    Ok(more) => effects.extend(more),
                    Err(error) => return Some(Err(error)),
                }
            }
        }
        Some(Ok(effects))
    }

    /// What `step.add_decorator(pypi, deco_kwargs={…})` does; `None` if that depends on what the step has already.
    fn added(&self, call: &ExprCall, of: Use<'_>) -> Option<Result<Vec<Effect>, Error>> {
        let evaluator = self.evaluator();
        let argument = |name, place| call.arguments.find_argument_value(name, place);
        let (dotted, name) = match argument("deco_type", 0)? {
            Expr::StringLiteral(text) => (None, text.value.to_str().to_owned()),
            decorator => match self.target(decorator).ok()? {
                Target::Outside(dotted) => {
                    let name = last_part(&dotted).to_owned();
                    (Some(dotted), name)
                }
                target => {
                    return Some(match self.meaning(target, Some(&Arguments::none(of.origin.clone())), of) {
                        Ok(Meaning::Effects(effects)) => Ok(effects),
                        Ok(Meaning::Known(..)) => return None,
                        Err(error) => Err(error),
                    });
                }
            },
        };
        if !matters(&name) {
            return Some(Ok(Vec::new()));
        }
        // Without it, what the step has already counts, if it has any.
        let is_error = argument("duplicates", 3)?.as_attribute_expr()?.attr.as_str() == "ERROR";
        if !is_error || !MATTERS.contains(&name.as_str()) || argument("deco_args", 1).is_some() {
            return None;
        }
        let given = match argument("deco_kwargs", 2) {
            Some(arguments) => {
                let what = format!("the arguments of @{name} of {}", of.place);
                match self.value(arguments, &what, of.place, &evaluator) {
                    Ok(Value::Dict(entries)) => entries,
                    Ok(_) => return None,
                    Err(error) => return Some(Err(error)),
                }
            }
            None => Vec::new(),
        };
        Some(self.known(&dotted.unwrap_or(name), given, None, of, &evaluator))
    }
}

/// The decorators in `pypi(…)(kubernetes(…)(f))`.
fn chain<'e>(expr: &'e Expr, decorated: &str) -> Option<Vec<&'e Expr>> {
    let (mut found, mut rest) = (Vec::new(), expr);
    loop {
        match rest {
            Expr::Name(name) if name.id.as_str() == decorated => return Some(found),
            Expr::Call(call) if call.arguments.keywords.is_empty() => {
                let [inner] = &*call.arguments.args else { return None };
                found.push(&*call.func);
                rest = inner;
            }
            _ => return None,
        }
    }
}

/// Whether a statement of a function's body does nothing that matters: an import, a docstring.
fn says_nothing(stmt: &Stmt) -> bool {
    matches!(stmt, Stmt::Import(_) | Stmt::ImportFrom(_))
        || stmt.as_expr_stmt().is_some_and(|stmt| stmt.value.is_string_literal_expr())
}
