//! What a function of the project returns, where it does nothing but make values: assignments, loops, conditions.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{self as ast, Expr, ExprCall, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::arguments::Arguments;
use super::evaluator::{ENTRIES, Evaluator};
use super::files;
use super::names::{Binding, stored};
use super::reader::{Reader, Target, called};
use super::value::{Entry, Frame, Given, Unknown, Value, put};
use crate::project::Error;

impl Evaluator<'_> {
    /// What a function of the project returns; `None` if the call is of something else.
    pub fn function(&self, call: &ExprCall, depth: usize) -> Result<Option<Value>, Unknown> {
        let origin = self.origin(call);
        let target = match (&*call.func, self.class) {
            (Expr::Name(name), Some(class)) if class.get(&name.id).is_some() => match class.get(&name.id) {
                Some(Binding::Function(function)) => Target::Function(function),
                _ => return Ok(None),
            },
            _ => self.reader.target(&call.func).map_err(|error| files::unknown(&error, &origin))?,
        };
        if !matches!(target, Target::Function(_) | Target::Project { .. }) {
            return Ok(None);
        }
        let arguments = Arguments::of(call, self, depth);
        let result = self.reader.result(target, &arguments, depth);
        result.map_err(|error| files::unknown(&error, &origin))?.transpose()
    }
}

impl Reader<'_> {
    /// What something returns when it is called; `None` where it is no function.
    pub(super) fn result(
        &self,
        target: Target<'_>,
        arguments: &Arguments,
        depth: usize,
    ) -> Result<Option<Result<Value, Unknown>>, Error> {
        match target {
            Target::Function(function) => Ok(Some(self.run(function, arguments, depth))),
            Target::Project { file, name } => {
                let named = &arguments.origin;
                self.files.open(&file, named, self.imports + 1, |reader, _| {
                    reader.result(reader.name(&name, named)?, arguments, depth)
                })
            }
            _ => Ok(None),
        }
    }

    /// What a function of this module returns for these arguments.
    fn run(&self, function: &StmtFunctionDef, arguments: &Arguments, depth: usize) -> Result<Value, Unknown> {
        let name = function.name.as_str();
        let only_cached = function.decorator_list.iter().all(|decorator| {
            let (decorator, _) = called(&decorator.expression);
            matches!(self.names.imported(decorator), Some("cache" | "lru_cache"))
        });
        if function.is_async || !only_cached {
            let reason = format!("it is the result of a call, and `{name}` is no simple function");
            return Err(Unknown { origin: arguments.origin.clone(), reason });
        }
        if arguments.are_refused(&function.parameters) {
            let reason = format!("`{name}` takes other arguments");
            return Err(Unknown { origin: arguments.origin.clone(), reason });
        }
        let mut body =
            Body { reader: self, name, locals: Vec::new(), own: BTreeSet::new(), depth: depth + 1 };
        for name in stored(function) {
            let reason = format!("`{name}` has no value yet");
            body.locals.push((name.to_owned(), Err(Unknown { origin: self.at(function), reason })));
        }
        for (name, value) in self.parameters(&function.parameters, Some(arguments)) {
            body.bind(name, value);
        }
        match body.all(&function.body)? {
            Flow::Return(value) => Ok(value),
            _ => Ok(Value::None),
        }
    }
}

/// Where a statement leads.
enum Flow {
    Next,
    Continue,
    Break,
    Return(Value),
}

/// The body of a function while it is followed.
struct Body<'b> {
    reader: &'b Reader<'b>,
    /// The function's name.
    name: &'b str,
    locals: Vec<Given>,
    /// The names whose lists and dictionaries are known by no other name: they may be changed in place.
    own: BTreeSet<String>,
    depth: usize,
}

impl Body<'_> {
    fn all(&mut self, statements: &[Stmt]) -> Result<Flow, Unknown> {
        for stmt in statements {
            match self.one(stmt)? {
                Flow::Next => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::Next)
    }

    fn one(&mut self, stmt: &Stmt) -> Result<Flow, Unknown> {
        self.spend(1, stmt)?;
        match stmt {
            Stmt::Pass(_) => {}
            // `import json` means the same everywhere; whatever else is imported here is not followed.
            Stmt::Import(ast::StmtImport { names, .. })
            | Stmt::ImportFrom(ast::StmtImportFrom { names, .. }) => {
                for alias in names {
                    let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                    if stmt.is_import_stmt() && alias.asname.is_none() && self.is_free(name) {
                        continue;
                    }
                    let name = name.split('.').next().unwrap_or(name).to_owned();
                    let reason = format!("`{name}` is imported inside of a function");
                    self.bind(name, Err(Unknown { origin: self.reader.at(alias), reason }));
                }
            }
            Stmt::Continue(_) => return Ok(Flow::Continue),
            Stmt::Break(_) => return Ok(Flow::Break),
            Stmt::Return(end) => {
                let value = end.value.as_deref().map_or(Ok(Value::None), |value| self.eval(value))?;
                return Ok(Flow::Return(value));
            }
            Stmt::Expr(stmt) => match &*stmt.value {
                Expr::StringLiteral(_) | Expr::EllipsisLiteral(_) => {}
                Expr::Call(call) => self.change(call)?,
                _ => return Err(self.too_much(stmt)),
            },
            Stmt::Assign(assign) => {
                let value = self.eval(&assign.value)?;
                for target in &assign.targets {
                    self.assign(target, value.clone(), &assign.value, assign.targets.len() == 1)?;
                }
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.assign(&assign.target, self.eval(value)?, value, true)?;
                }
            }
            Stmt::AugAssign(assign) => {
                let Expr::Name(name) = &*assign.target else { return Err(self.too_much(stmt)) };
                let mut left = self.eval_name(&name.id, stmt)?;
                let right = self.eval(&assign.value)?;
                if matches!(left, Value::List(_) | Value::Dict(_)) {
                    left = self.mine(&name.id, stmt)?.clone();
                }
                self.shared(&assign.value);
                let value = self.evaluator(|evaluator| evaluator.binary(left, assign.op, right, stmt))?;
                *self.local(&name.id, stmt)? = Ok(value);
            }
            Stmt::Delete(delete) => {
                for target in &delete.targets {
                    let Expr::Subscript(subscript) = target else { return Err(self.too_much(stmt)) };
                    let Expr::Name(name) = &*subscript.value else { return Err(self.too_much(stmt)) };
                    self.remove(&name.id, &subscript.slice, false, stmt)?;
                }
            }
            Stmt::If(choice) => {
                if self.is_true(&choice.test)? {
                    return self.all(&choice.body);
                }
                for clause in &choice.elif_else_clauses {
                    if clause.test.as_ref().map_or(Ok(true), |test| self.is_true(test))? {
                        return self.all(&clause.body);
                    }
                }
            }
            Stmt::For(each) if each.orelse.is_empty() && !each.is_async => {
                let items = self.evaluator(|evaluator| evaluator.items(&each.iter, self.depth))?;
                self.shared(&each.iter);
                for item in items {
                    let mut names = Vec::new();
                    self.evaluator(|evaluator| evaluator.unpack(&each.target, item, &mut names))?;
                    names.into_iter().for_each(|(name, value)| self.bind(name, value));
                    match self.all(&each.body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        end @ Flow::Return(_) => return Ok(end),
                    }
                }
            }
            _ => return Err(self.too_much(stmt)),
        }
        Ok(Flow::Next)
    }

    fn evaluator<T>(&self, with: impl FnOnce(&Evaluator<'_>) -> T) -> T {
        let frame = Frame { names: &self.locals, outer: None };
        with(&self.reader.evaluator().within(&frame))
    }

    fn eval(&self, expr: &Expr) -> Result<Value, Unknown> {
        self.evaluator(|evaluator| evaluator.eval(expr, self.depth))
    }

    fn is_true(&self, expr: &Expr) -> Result<bool, Unknown> {
        self.evaluator(|evaluator| evaluator.is_true(&evaluator.eval(expr, self.depth)?, expr))
    }

    fn eval_name(&self, name: &str, at: &impl Ranged) -> Result<Value, Unknown> {
        self.evaluator(|evaluator| evaluator.name(name, || evaluator.origin(at), self.depth))
    }

    fn spend(&self, parts: usize, at: &impl Ranged) -> Result<(), Unknown> {
        self.evaluator(|evaluator| evaluator.spend(parts, at))
    }

    fn too_much(&self, at: &impl Ranged) -> Unknown {
        let reason = format!("`{}` does more here than to make a value of others", self.name);
        Unknown { origin: self.reader.at(at), reason }
    }

    /// Whether a name means nothing in this module, nor is it a module of the project.
    fn is_free(&self, name: &str) -> bool {
        let Reader { names, files, file, .. } = self.reader;
        let is_known =
            names.scope.get(name).is_some() || names.import(name).is_some_and(|known| known.dotted != name);
        !is_known && files.module(file, 0, &[name]).is_none()
    }

    /// Gives a name a value, which others may know too.
    fn bind(&mut self, name: String, value: Result<Value, Unknown>) {
        self.own.remove(&name);
        match self.locals.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.locals.push((name, value)),
        }
    }

    /// `targets = value`.
    fn assign(&mut self, target: &Expr, value: Value, from: &Expr, only: bool) -> Result<(), Unknown> {
        self.shared(from);
        match target {
            Expr::Subscript(subscript) => {
                let Expr::Name(name) = &*subscript.value else { return Err(self.too_much(target)) };
                let Value::Text(key) = self.eval(&subscript.slice)? else {
                    return Err(self.too_much(target));
                };
                let entry = Entry { key, value, origin: self.reader.at(target) };
                self.merge(&name.id, vec![entry], target)?;
            }
            _ => {
                let mut names = Vec::new();
                self.evaluator(|evaluator| evaluator.unpack(target, value, &mut names))?;
                names.into_iter().for_each(|(name, value)| self.bind(name, value));
                if let Expr::Name(name) = target
                    && only
                    && self.is_new(from)
                {
                    self.own.insert(name.id.to_string());
                }
            }
        }
        Ok(())
    }

    /// Whether an expression makes a new list or dictionary.
    fn is_new(&self, expr: &Expr) -> bool {
        match expr {
            Expr::Dict(_) | Expr::List(_) | Expr::DictComp(_) | Expr::ListComp(_) | Expr::BinOp(_) => true,
            Expr::Call(call) => {
                let is_builtin = |name| self.evaluator(|evaluator| evaluator.is_builtin(&call.func, name));
                let is_copy = call.func.as_attribute_expr().is_some_and(|f| f.attr.as_str() == "copy");
                is_builtin("dict") || is_builtin("list") || is_copy
            }
            _ => false,
        }
    }

    /// From now on, what these names stand for may go by other names too.
    fn shared(&mut self, expr: &Expr) {
        let mut mentioned = Mentioned(Vec::new());
        mentioned.visit_expr(expr);
        for name in mentioned.0 {
            self.own.remove(name);
        }
    }

    fn local(&mut self, name: &str, at: &impl Ranged) -> Result<&mut Result<Value, Unknown>, Unknown> {
        let unknown = self.too_much(at);
        self.locals.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value).ok_or(unknown)
    }

    /// A value that is about to be changed in place.
    fn mine(&mut self, name: &str, at: &impl Ranged) -> Result<&mut Value, Unknown> {
        if !self.own.contains(name) {
            let reason = format!("`{name}` is changed here, and may have other names");
            return Err(Unknown { origin: self.reader.at(at), reason });
        }
        self.local(name, at)?.as_mut().map_err(|unknown| unknown.clone())
    }

    /// A call for its effect: `packages.update(…)`, `names.append(…)`.
    fn change(&mut self, call: &ExprCall) -> Result<(), Unknown> {
        if self.evaluator(|evaluator| evaluator.is_builtin(&call.func, "print")) {
            return Ok(());
        }
        let Expr::Attribute(method) = &*call.func else { return Err(self.too_much(call)) };
        let Expr::Name(name) = &*method.value else { return Err(self.too_much(call)) };
        let (args, keywords) = (&*call.arguments.args, &*call.arguments.keywords);
        args.iter().for_each(|argument| self.shared(argument));
        match (method.attr.as_str(), args, keywords) {
            ("append", [only], []) => {
                let value = self.eval(only)?;
                match self.mine(&name.id, call)? {
                    Value::List(values) => values.push(value),
                    _ => return Err(self.too_much(call)),
                }
            }
            ("extend", [only], []) => {
                let more = self.evaluator(|evaluator| evaluator.items(only, self.depth))?;
                match self.mine(&name.id, call)? {
                    Value::List(values) => values.extend(more),
                    _ => return Err(self.too_much(call)),
                }
            }
            ("update", _, _) => {
                // As `dict(old, …)` has it.
                let more = self.evaluator(|evaluator| evaluator.dict_of(call, self.depth))?;
                self.merge(&name.id, more, call)?;
            }
            ("pop", [key], []) => self.remove(&name.id, key, false, call)?,
            ("pop", [key, _], []) => self.remove(&name.id, key, true, call)?,
            _ => return Err(self.too_much(call)),
        }
        Ok(())
    }

    /// Puts entries into a dictionary.
    fn merge(&mut self, name: &str, more: Vec<Entry>, at: &impl Ranged) -> Result<(), Unknown> {
        let unknown = self.too_much(at);
        let Value::Dict(entries) = self.mine(name, at)? else { return Err(unknown) };
        let mut cost = 0;
        for entry in more {
            cost += 1 + entries.len() / ENTRIES;
            put(entries, entry);
        }
        self.spend(cost, at)
    }

    /// Takes a key out of a dictionary.
    fn remove(
        &mut self,
        name: &str,
        key: &Expr,
        may_be_missing: bool,
        at: &impl Ranged,
    ) -> Result<(), Unknown> {
        let (key, unknown) = (self.eval(key)?, self.too_much(at));
        match (self.mine(name, at)?, key) {
            (Value::Dict(entries), Value::Text(key)) => {
                match entries.iter().position(|entry| entry.key == key) {
                    Some(place) => drop(entries.remove(place)),
                    None if may_be_missing => {}
                    None => return Err(unknown),
                }
                Ok(())
            }
            _ => Err(unknown),
        }
    }
}

/// The names whose values may become part of an expression's own.
struct Mentioned<'a>(Vec<&'a str>);

impl<'a> Visitor<'a> for Mentioned<'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) => self.0.push(&name.id),
            // Something in it, not itself.
            Expr::Subscript(subscript) if subscript.value.is_name_expr() => self.visit_expr(&subscript.slice),
            Expr::Attribute(attribute)
                if attribute.value.is_name_expr() && ["get", "copy"].contains(&attribute.attr.as_str()) => {}
            _ => walk_expr(self, expr),
        }
    }
}
