//! What `flow.py` says: its class, steps and decorators.

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Decorator, Expr, ExprCall, ModModule, Stmt, StmtClassDef, StmtFunctionDef};

use super::files::Files;
use super::names::{Binding, Names, Scope};
use super::syntax::{line_of, with_module};
use super::value::{Entry, Evaluator, Value};
use crate::model::Origin;
use crate::project::Error;
use crate::project::source::Lines;

/// How many classes a flow may inherit from.
const MAX_BASES: usize = 32;

/// A flow as its code states it.
#[derive(Debug)]
pub(super) struct FlowCode {
    /// The line of its class.
    pub line: u32,
    /// The class's name.
    pub class: String,
    /// Whether it subclasses `ProjectFlow`; otherwise `FlowSpec`.
    pub is_project_flow: bool,
    /// `@pypi_base`.
    pub pypi_base: Option<Ask>,
    /// `@conda_base` or `@anaconda_base`.
    pub conda_base: Option<Ask>,
    /// Its steps in source order.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub name: String,
    pub line: u32,
    /// `@pypi`.
    pub pypi: Option<Ask>,
    /// `@conda` or `@anaconda`.
    pub conda: Option<Ask>,
    /// `image` of `@kubernetes`, or else of `@batch`.
    pub image: Option<(String, Origin)>,
}

/// What one decorator asks for. For conda only `disabled` is read.
#[derive(Debug, Default)]
pub(super) struct Ask {
    pub line: u32,
    /// Names and versions, and where they are.
    pub packages: Vec<(String, String, Origin)>,
    pub python: Option<(String, Origin)>,
    pub disabled: Option<bool>,
}

/// Reads the one flow of a file.
pub(super) fn read(file: &str, text: &str, files: &Files<'_>) -> Result<FlowCode, Error> {
    with_module(file, text, |module, lines| {
        let names = Names::of(module, lines);
        Reader { file, text, names: &names, lines, files }.flow(module)
    })
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    names: &'a Names<'a>,
    lines: &'a Lines,
    files: &'a Files<'a>,
}

/// A keyword argument's value: an expression, or an entry of a dictionary that is unpacked.
enum Argument<'c> {
    Expr(&'c Expr),
    Value(Entry),
}

impl<'a> Reader<'a> {
    fn origin(&self, line: u32) -> Origin {
        Origin::line(self.file, line)
    }

    fn flow(&self, module: &'a ModModule) -> Result<FlowCode, Error> {
        let (class, is_project_flow) = self.flow_class(module)?;
        let line = self.lines.at(class.name.range.start().to_usize());
        let mut flow = FlowCode {
            line,
            class: class.name.to_string(),
            is_project_flow,
            pypi_base: None,
            conda_base: None,
            steps: Vec::new(),
        };
        // The flow's own class first: what it says hides what its bases say.
        let classes = self.with_bases(class)?;
        let scopes: Vec<_> = classes.iter().map(|class| Scope::of(&class.body, self.lines)).collect();
        let module_scope = Scope::default();
        for (class, scope) in classes.into_iter().zip(&scopes) {
            let within =
                |scope| Evaluator::new(self.file, self.names, scope, &scopes, self.lines, self.files);
            let (evaluator, outside) = (within(scope), within(&module_scope));
            let place = format!("flow `{}`", class.name);
            for decorator in &class.decorator_list {
                let (name, call, line) = self.decorator(decorator, &place)?;
                let slot = match name {
                    "pypi_base" => &mut flow.pypi_base,
                    "conda_base" | "anaconda_base" => &mut flow.conda_base,
                    _ => continue,
                };
                if slot.is_none() {
                    *slot = Some(self.ask(name, call, line, &place, &outside)?);
                }
            }
            for stmt in &class.body {
                if let Stmt::FunctionDef(function) = stmt
                    && flow.steps.iter().all(|step| step.name != function.name.as_str())
                {
                    flow.steps.extend(self.step(function, &evaluator)?);
                }
            }
        }
        flow.steps.sort_by_key(|step| step.line);
        if flow.steps.is_empty() {
            let problem = format!("flow `{}` has no steps (methods with @step)", flow.class);
            return Err(Error::Flow { origin: self.origin(line), problem });
        }
        Ok(flow)
    }

    /// The class that is the flow, and whether it is a `ProjectFlow`. Where classes inherit from each other, it is the
    /// last heir; where that leaves several, the one that the module calls (`if __name__ == "__main__": MyFlow()`).
    fn flow_class(&self, module: &'a ModModule) -> Result<(&'a StmtClassDef, bool), Error> {
        let classes = module.body.iter().filter_map(Stmt::as_class_def_stmt);
        let mut flows = Vec::new();
        for class in classes {
            if let Some(is_project_flow) = self.root_of(class)? {
                flows.push((class, is_project_flow));
            }
        }
        let all = flows.clone();
        flows.retain(|(class, _)| {
            let is_base = |heir: &StmtClassDef| {
                bases(heir).any(|base| base.as_name_expr().is_some_and(|name| name.id == class.name.id))
            };
            !all.iter().any(|(heir, _)| is_base(heir))
        });
        if flows.len() > 1 {
            let mut calls = Calls::default();
            module.body.iter().filter(|s| !s.is_class_def_stmt() && !s.is_function_def_stmt()).for_each(
                |stmt| {
                    calls.visit_stmt(stmt);
                },
            );
            if flows.iter().any(|(class, _)| calls.0.contains(&class.name.as_str())) {
                flows.retain(|(class, _)| calls.0.contains(&class.name.as_str()));
            }
        }
        let problem = match flows[..] {
            [only] => return Ok(only),
            [] => "no class here subclasses ProjectFlow or FlowSpec".to_owned(),
            _ => {
                let names: Vec<_> = flows.iter().map(|(class, _)| format!("`{}`", class.name)).collect();
                format!("several flows in one file: {}", names.join(", "))
            }
        };
        let line = flows.last().map(|(class, _)| line_of(self.lines, *class));
        Err(Error::Flow { origin: Origin { file: self.file.to_owned(), line }, problem })
    }

    /// Whether a class is a flow in the end: `Some(true)` for a `ProjectFlow`.
    fn root_of(&self, class: &'a StmtClassDef) -> Result<Option<bool>, Error> {
        let mut found = None;
        for class in self.with_bases(class)? {
            for base in bases(class) {
                match self.names.imported(base) {
                    Some("ProjectFlow") => found = Some(true),
                    Some("FlowSpec") => found = found.or(Some(false)),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// A class and all its bases in this file, nearest first.
    fn with_bases(&self, class: &'a StmtClassDef) -> Result<Vec<&'a StmtClassDef>, Error> {
        let mut found = vec![class];
        let mut next = 0;
        while let Some(&class) = found.get(next) {
            next += 1;
            for base in bases(class) {
                if let Expr::Name(name) = base
                    && let Some(Binding::Class(base)) = self.names.scope.get(&name.id)
                    && found.iter().all(|known| known.name.id != base.name.id)
                {
                    found.push(base);
                }
            }
            if found.len() > MAX_BASES {
                let origin = self.origin(line_of(self.lines, class));
                return Err(Error::Flow { origin, problem: "it inherits from too many classes".to_owned() });
            }
        }
        Ok(found)
    }

    /// A method as a step, if it is one.
    fn step(&self, function: &'a StmtFunctionDef, evaluator: &Evaluator<'_>) -> Result<Option<Step>, Error> {
        let mut step = Step {
            name: function.name.to_string(),
            line: self.lines.at(function.name.range.start().to_usize()),
            pypi: None,
            conda: None,
            image: None,
        };
        let is_step =
            |decorator: &Decorator| self.names.imported(called(&decorator.expression)) == Some("step");
        if !function.decorator_list.iter().any(is_step) {
            return Ok(None);
        }
        let place = format!("step `{}`", step.name);
        let mut batch_image = None;
        for decorator in &function.decorator_list {
            let (name, call, line) = self.decorator(decorator, &place)?;
            match name {
                "pypi" => step.pypi = Some(self.ask(name, call, line, &place, evaluator)?),
                "conda" | "anaconda" => step.conda = Some(self.ask(name, call, line, &place, evaluator)?),
                "kubernetes" => step.image = self.image(name, call, &place, evaluator)?,
                "batch" => batch_image = self.image(name, call, &place, evaluator)?,
                _ => {}
            }
        }
        step.image = step.image.or(batch_image);
        Ok(Some(step))
    }

    /// The name of a decorator, its call if it is one, and its line. One that this file defines, and that applies `@pypi`
    /// or `@conda` itself, is an error.
    fn decorator(
        &self,
        decorator: &'a Decorator,
        place: &str,
    ) -> Result<(&'a str, Option<&'a ExprCall>, u32), Error> {
        let line = line_of(self.lines, decorator);
        let mut expr = &decorator.expression;
        for _ in 0..MAX_BASES {
            let function = called(expr);
            if let Some(name) = self.names.imported(function) {
                return Ok((name, expr.as_call_expr(), line));
            }
            let Expr::Name(name) = function else { break };
            let (range, what) = match self.names.scope.get(&name.id) {
                // `base = pypi(…)`, used as `@base`.
                Some(Binding::Value(value)) if !expr.is_call_expr() => {
                    expr = value;
                    continue;
                }
                Some(Binding::Class(class)) => (class.range, "class"),
                Some(Binding::Function(function)) => (function.range, "function"),
                _ => break,
            };
            let code = &self.text[range];
            if code.contains("pypi") || code.contains("conda") {
                return Err(Error::NotStatic {
                    origin: self.origin(line),
                    what: format!("what `@{}` does to {place}", name.id),
                    reason: format!(
                        "the {what} at line {} uses @pypi or @conda itself",
                        self.lines.at(range.start().to_usize())
                    ),
                });
            }
            break;
        }
        Ok(("", None, line))
    }

    /// The arguments of `@pypi` and its like.
    fn ask(
        &self,
        name: &str,
        call: Option<&ExprCall>,
        line: u32,
        place: &str,
        evaluator: &Evaluator<'_>,
    ) -> Result<Ask, Error> {
        let mut ask = Ask { line, ..Ask::default() };
        let is_conda = name.contains("conda");
        for (key, argument) in self.keywords(name, call, place, evaluator)? {
            let what = format!("`{key}` of @{name} of {place}");
            if is_conda && key != "disabled" {
                continue;
            }
            let (origin, value) = match argument {
                Argument::Expr(expr) => {
                    (self.origin(line_of(self.lines, expr)), self.value(expr, &what, evaluator)?)
                }
                Argument::Value(entry) => (entry.origin, entry.value),
            };
            let wrong = |value: &Value, expected: &str| {
                Error::invalid(origin.clone(), format!("{what} is {}, not {expected}", value.type_name()))
            };
            match (key.as_str(), value) {
                ("disabled" | "packages" | "python", Value::None) => {}
                ("disabled", Value::Bool(disabled)) => ask.disabled = Some(disabled),
                ("disabled", other) => return Err(wrong(&other, "True or False")),
                ("packages", Value::Dict(entries)) => {
                    ask.packages =
                        entries.into_iter().map(|e| self.package(e, &what)).collect::<Result<_, _>>()?;
                }
                ("packages", other) => return Err(wrong(&other, "a dictionary")),
                ("python", Value::Text(python)) => ask.python = Some((python, origin)),
                ("python", other) => return Err(wrong(&other, "a string: put the version in quotes")),
                _ => {
                    let hint = "only `packages`, `python` and `disabled` are read";
                    return Err(Error::Unsupported { origin, what, hint });
                }
            }
        }
        Ok(ask)
    }

    fn package(&self, entry: Entry, what: &str) -> Result<(String, String, Origin), Error> {
        let Entry { key, value, origin } = entry;
        match value {
            Value::Text(version) => Ok((key, version, origin)),
            other => {
                let key = key.escape_debug();
                let problem =
                    format!("the version of `{key}` in {what} is {}, not a string", other.type_name());
                Err(Error::Invalid { origin, problem, hint: Some("put the version in quotes") })
            }
        }
    }

    fn image(
        &self,
        name: &str,
        call: Option<&ExprCall>,
        place: &str,
        evaluator: &Evaluator<'_>,
    ) -> Result<Option<(String, Origin)>, Error> {
        for keyword in call.iter().flat_map(|call| &call.arguments.keywords) {
            if keyword.arg.as_ref().is_some_and(|arg| arg.as_str() == "image") {
                let origin = self.origin(line_of(self.lines, keyword));
                let what = format!("`image` of @{name} of {place}");
                return image_of(self.value(&keyword.value, &what, evaluator)?, origin, &what);
            }
        }
        // Among unpacked values there may be one as well.
        for keyword in call.iter().flat_map(|call| &call.arguments.keywords).filter(|k| k.arg.is_none()) {
            let what = format!("the arguments of @{name} of {place}");
            if let Value::Dict(entries) = self.value(&keyword.value, &what, evaluator)?
                && let Some(entry) = entries.into_iter().find(|entry| entry.key == "image")
            {
                return image_of(entry.value, entry.origin, &format!("`image` of @{name} of {place}"));
            }
        }
        Ok(None)
    }

    /// The keyword arguments of a decorator, dictionaries unpacked; it takes no others.
    fn keywords<'c>(
        &self,
        name: &str,
        call: Option<&'c ExprCall>,
        place: &str,
        evaluator: &Evaluator<'_>,
    ) -> Result<Vec<(String, Argument<'c>)>, Error> {
        let Some(call) = call else { return Ok(Vec::new()) };
        let what = format!("the arguments of @{name} of {place}");
        if let Some(first) = call.arguments.args.first() {
            let origin = self.origin(line_of(self.lines, first));
            let reason = "they are not given by keyword".to_owned();
            return Err(Error::NotStatic { origin, what, reason });
        }
        let mut found = Vec::new();
        for keyword in &call.arguments.keywords {
            match &keyword.arg {
                Some(arg) => found.push((arg.to_string(), Argument::Expr(&keyword.value))),
                None => match self.value(&keyword.value, &what, evaluator)? {
                    Value::Dict(entries) => {
                        found.extend(entries.into_iter().map(|e| (e.key.clone(), Argument::Value(e))));
                    }
                    other => {
                        let origin = self.origin(line_of(self.lines, &keyword.value));
                        let problem =
                            format!("{what} are unpacked from {}, not a dictionary", other.type_name());
                        return Err(Error::invalid(origin, problem));
                    }
                },
            }
        }
        Ok(found)
    }

    fn value(&self, expr: &Expr, what: &str, evaluator: &Evaluator<'_>) -> Result<Value, Error> {
        evaluator.value(expr).map_err(|unknown| Error::NotStatic {
            origin: unknown.origin,
            what: what.to_owned(),
            reason: unknown.reason,
        })
    }
}

/// The image that a value names.
fn image_of(value: Value, origin: Origin, what: &str) -> Result<Option<(String, Origin)>, Error> {
    match value {
        Value::Text(image) => Ok(Some((image, origin))),
        Value::None => Ok(None),
        other => Err(Error::invalid(origin, format!("{what} is {}, not a string", other.type_name()))),
    }
}

/// The function of a call; any other expression itself.
fn called(expr: &Expr) -> &Expr {
    match expr {
        Expr::Call(call) => &call.func,
        other => other,
    }
}

fn bases(class: &StmtClassDef) -> impl Iterator<Item = &Expr> {
    class.arguments.iter().flat_map(|arguments| arguments.args.iter())
}

/// The names that are called.
#[derive(Default)]
struct Calls<'a>(Vec<&'a str>);

impl<'a> Visitor<'a> for Calls<'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Expr::Name(name) = &*call.func
        {
            self.0.push(&name.id);
        }
        walk_expr(self, expr);
    }
}
