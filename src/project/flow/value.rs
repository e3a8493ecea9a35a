//! Values that can be known without running the code.

use std::cell::Cell;

use ruff_python_ast::{
    BoolOp, Expr, ExprAttribute, ExprCall, InterpolatedStringElement, Number, Operator, UnaryOp,
};

use super::ancestry::ClassId;
use super::files::{Files, Place, unknown};
use super::names::{Binding, Import, Names, Scope};
use super::syntax::{expression, line_of};
use crate::model::Origin;
use crate::project::source::Lines;

/// Limits on evaluation: constants made of constants could otherwise double at every step.
const MAX_STEPS: usize = 20_000;
const MAX_DEPTH: usize = 200;
const MAX_TEXT: usize = 64 * 1024;

/// A known value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    None,
    /// A number or the like, of which only the type matters: its name.
    Other(&'static str),
    List(Vec<Value>),
    Dict(Vec<Entry>),
}

/// An entry of a dictionary, and where its key is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub value: Value,
    pub origin: Origin,
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::None => "None",
            Self::Other(name) => name,
            Self::List(_) => "a list",
            Self::Dict(_) => "a dictionary",
        }
    }

    /// Whether Python takes it for true; `None` where only its type is known.
    fn truth(&self) -> Option<bool> {
        match self {
            Self::Text(text) => Some(!text.is_empty()),
            Self::Bool(value) => Some(*value),
            Self::None => Some(false),
            Self::Dict(entries) => Some(!entries.is_empty()),
            Self::List(values) => Some(!values.is_empty()),
            Self::Other(_) => None,
        }
    }

    /// How many parts it is made of.
    fn size(&self) -> usize {
        match self {
            Self::Dict(entries) => 1 + entries.iter().map(|entry| entry.value.size()).sum::<usize>(),
            Self::List(values) => 1 + values.iter().map(Self::size).sum::<usize>(),
            _ => 1,
        }
    }
}

/// Why a value cannot be known.
#[derive(Debug, Clone)]
pub(super) struct Unknown {
    pub origin: Origin,
    pub reason: String,
}

/// A name with its value.
pub(super) type Given = (String, Result<Value, Unknown>);

/// Evaluates expressions in the scope of a class body within its module.
pub(super) struct Evaluator<'a> {
    pub file: &'a str,
    pub names: &'a Names<'a>,
    pub class: &'a Scope<'a>,
    /// The class bodies whose configurations `config_expr` names: the flow's own and those of its bases.
    pub flow: &'a [Scope<'a>],
    pub lines: &'a Lines,
    /// Modules and configuration files of the project.
    pub files: &'a Files<'a>,
    /// The flow's classes in other modules, whose configurations `config_expr` names too.
    pub inherited: &'a [ClassId],
    /// The values of names that go before all others: the parameters of a function that makes a decorator.
    pub given: &'a [Given],
    /// How many modules import each other on the way here.
    pub imports: usize,
    steps: Cell<usize>,
    /// Whether names are first those of configurations, as in `config_expr`.
    by_config_name: bool,
    /// The line of the expression, where it is not part of the file's own tree.
    line: Cell<Option<u32>>,
}

impl<'a> Evaluator<'a> {
    pub fn new(
        file: &'a str,
        names: &'a Names<'a>,
        class: &'a Scope<'a>,
        flow: &'a [Scope<'a>],
        lines: &'a Lines,
        files: &'a Files<'a>,
    ) -> Self {
        let (steps, line) = (Cell::new(0), Cell::new(None));
        Self {
            file,
            names,
            class,
            flow,
            lines,
            files,
            inherited: &[],
            given: &[],
            imports: 0,
            steps,
            by_config_name: false,
            line,
        }
    }

    /// The value of an expression.
    pub fn value(&self, expr: &Expr) -> Result<Value, Unknown> {
        self.steps.set(0);
        self.eval(expr, 0)
    }

    /// Where an expression is.
    pub fn origin(&self, expr: &impl ruff_text_size::Ranged) -> Origin {
        Origin::line(self.file, self.line.get().unwrap_or_else(|| line_of(self.lines, expr)))
    }

    pub fn eval(&self, expr: &Expr, depth: usize) -> Result<Value, Unknown> {
        let origin = || self.origin(expr);
        let unknown = |reason: String| Err(Unknown { origin: origin(), reason });
        self.steps.set(self.steps.get() + 1);
        if depth > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return unknown("it is made of too many parts".to_owned());
        }
        let depth = depth + 1;
        Ok(match expr {
            Expr::StringLiteral(literal) => bounded(literal.value.to_str().to_owned(), origin)?,
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::NumberLiteral(literal) => Value::Other(match literal.value {
                Number::Int(_) => "an integer",
                Number::Float(_) => "a float",
                Number::Complex { .. } => "a number",
            }),
            // What a list holds matters only to those who ask for it.
            Expr::List(list) => {
                let values = list.elts.iter();
                Value::List(values.map(|v| self.eval(v, depth).unwrap_or(Value::Other("unknown"))).collect())
            }
            Expr::Tuple(_) => Value::Other("a tuple"),
            Expr::Set(_) => Value::Other("a set"),
            Expr::Dict(dict) => {
                let mut entries = Vec::new();
                for item in &dict.items {
                    match &item.key {
                        Some(key) => {
                            let origin = self.origin(key);
                            let Value::Text(key) = self.eval(key, depth)? else {
                                return Err(Unknown { origin, reason: "a key is not a string".to_owned() });
                            };
                            let value = self.eval(&item.value, depth)?;
                            put(&mut entries, Entry { key, value, origin });
                        }
                        None => self.dict(&item.value, depth)?.into_iter().for_each(|e| put(&mut entries, e)),
                    }
                }
                Value::Dict(entries)
            }
            Expr::FString(text) => {
                let mut out = String::new();
                for part in &text.value {
                    match part {
                        ruff_python_ast::FStringPart::Literal(literal) => out.push_str(literal.as_str()),
                        ruff_python_ast::FStringPart::FString(string) => {
                            for element in &string.elements {
                                self.element(element, &mut out, depth)?;
                            }
                        }
                    }
                }
                bounded(out, origin)?
            }
            Expr::BinOp(operation) => {
                let (left, right) = (&operation.left, &operation.right);
                if let Some(path) = self.path_slash(left, operation.op, right, depth)? {
                    return Ok(path);
                }
                let (left, right) = (self.eval(&operation.left, depth)?, self.eval(&operation.right, depth)?);
                match (operation.op, left, right) {
                    (Operator::Add, Value::Text(left), Value::Text(right)) => bounded(left + &right, origin)?,
                    (Operator::BitOr, Value::Dict(mut left), Value::Dict(right)) => {
                        right.into_iter().for_each(|entry| put(&mut left, entry));
                        Value::Dict(left)
                    }
                    // Of numbers only the type matters.
                    (_, Value::Other(left), Value::Other(right)) if is_number(left) && is_number(right) => {
                        Value::Other("a number")
                    }
                    _ => return unknown("it is computed".to_owned()),
                }
            }
            Expr::BoolOp(operation) => {
                let mut result = Value::None;
                for operand in &operation.values {
                    result = self.eval(operand, depth)?;
                    match result.truth() {
                        Some(truth) if truth == (operation.op == BoolOp::Or) => break,
                        Some(_) => {}
                        None => return unknown("it is computed".to_owned()),
                    }
                }
                result
            }
            Expr::UnaryOp(operation) => match self.eval(&operation.operand, depth)? {
                Value::Other(kind) if is_number(kind) && operation.op != UnaryOp::Not => {
                    Value::Other("a number")
                }
                _ => return unknown("it is computed".to_owned()),
            },
            Expr::Name(name) => self.name(&name.id, origin, depth)?,
            Expr::Attribute(attribute) => self.attribute(attribute, depth)?,
            Expr::Subscript(subscript) => {
                let entries = self.dict(&subscript.value, depth)?;
                let Value::Text(key) = self.eval(&subscript.slice, depth)? else {
                    return unknown("a key is not a string".to_owned());
                };
                entry(entries, &key, origin)?
            }
            Expr::Call(call) => self.call(call, depth)?,
            _ => return unknown("it is computed".to_owned()),
        })
    }

    /// `dict(…)` with keywords and dictionaries, copies, `X.get(…)`, configurations; every other call is unknown.
    fn call(&self, call: &ExprCall, depth: usize) -> Result<Value, Unknown> {
        if let Some(path) = self.path_call(call, depth)? {
            return Ok(path);
        }
        let arguments = &call.arguments;
        match &*call.func {
            Expr::Attribute(method)
                if matches!(method.attr.as_str(), "copy" | "to_dict") && arguments.is_empty() =>
            {
                return self.eval(&method.value, depth);
            }
            Expr::Attribute(method) if method.attr.as_str() == "get" && arguments.keywords.is_empty() => {
                let entries = self.dict(&method.value, depth)?;
                return match &*arguments.args {
                    [key, default @ ..] if default.len() <= 1 => {
                        let Value::Text(key) = self.eval(key, depth)? else {
                            let reason = "a key is not a string".to_owned();
                            return Err(Unknown { origin: self.origin(key), reason });
                        };
                        match (entries.into_iter().find(|entry| entry.key == key), default) {
                            (Some(entry), _) => Ok(entry.value),
                            (None, [default]) => self.eval(default, depth),
                            _ => Ok(Value::None),
                        }
                    }
                    _ => Err(Unknown {
                        origin: self.origin(call),
                        reason: "it is the result of a call".to_owned(),
                    }),
                };
            }
            Expr::Name(name) if name.id.as_str() == "dict" && self.names.scope.get("dict").is_none() => {
                let mut entries = Vec::new();
                for argument in &arguments.args {
                    self.dict(argument, depth)?.into_iter().for_each(|entry| put(&mut entries, entry));
                }
                for keyword in &arguments.keywords {
                    match &keyword.arg {
                        Some(key) => {
                            let (key, origin) = (key.as_str().to_owned(), self.origin(keyword));
                            let value = self.eval(&keyword.value, depth)?;
                            put(&mut entries, Entry { key, value, origin });
                        }
                        None => {
                            self.dict(&keyword.value, depth)?.into_iter().for_each(|e| put(&mut entries, e))
                        }
                    }
                }
                return Ok(Value::Dict(entries));
            }
            func => {
                match self.names.imported(func) {
                    Some("Config") => return self.charge(self.config(call, depth)?, call),
                    Some("config_expr") => return self.config_expr(call, depth),
                    _ => {}
                }
                let is_copy = matches!(self.names.imported(func), Some("copy" | "deepcopy"));
                if let ([only], true, true) = (&*arguments.args, is_copy, arguments.keywords.is_empty()) {
                    return self.eval(only, depth);
                }
            }
        }
        Err(Unknown { origin: self.origin(call), reason: "it is the result of a call".to_owned() })
    }

    /// `config_expr("config.a.b")`: an expression in which configurations go by the names they are given.
    fn config_expr(&self, call: &ExprCall, depth: usize) -> Result<Value, Unknown> {
        let origin = self.origin(call);
        let unknown = |reason: &str| Unknown { origin: origin.clone(), reason: reason.to_owned() };
        let [text] = &*call.arguments.args else {
            return Err(unknown("config_expr takes one string"));
        };
        let Value::Text(text) = self.eval(text, depth)? else {
            return Err(unknown("config_expr takes one string"));
        };
        let expr =
            expression(text.trim()).ok_or_else(|| unknown("the text of config_expr is no expression"))?;
        let inside = Self {
            steps: Cell::new(self.steps.get()),
            line: Cell::new(origin.line.or(Some(1))),
            by_config_name: true,
            ..*self
        };
        let value = inside.eval(&expr, depth);
        self.steps.set(inside.steps.get());
        value
    }

    /// Counts the parts of a value that comes from elsewhere.
    fn charge(&self, value: Value, at: &impl ruff_text_size::Ranged) -> Result<Value, Unknown> {
        self.steps.set(self.steps.get() + value.size());
        if self.steps.get() > MAX_STEPS {
            let reason = "it is made of too many parts".to_owned();
            return Err(Unknown { origin: self.origin(at), reason });
        }
        Ok(value)
    }

    pub fn dict(&self, expr: &Expr, depth: usize) -> Result<Vec<Entry>, Unknown> {
        match self.eval(expr, depth)? {
            Value::Dict(entries) => Ok(entries),
            other => {
                let reason = format!("{} stands where a dictionary is needed", other.type_name());
                Err(Unknown { origin: self.origin(expr), reason })
            }
        }
    }

    /// `module.NAME`, `config.key`.
    fn attribute(&self, attribute: &ExprAttribute, depth: usize) -> Result<Value, Unknown> {
        if attribute.attr.as_str() == "parent"
            && let Some(path) = self.path_of(&attribute.value, depth)?
        {
            return Ok(Value::Text(path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned()));
        }
        let mut names = vec![attribute.attr.as_str()];
        let mut base = &*attribute.value;
        while let Expr::Attribute(inner) = base {
            names.push(inner.attr.as_str());
            base = &inner.value;
        }
        if let Expr::Name(name) = base
            && self.bound(&name.id).is_none()
            && let Some(import) = self.names.import(&name.id)
        {
            names.reverse();
            let changed = self.names.mutated(&name.id).is_some();
            let found = if changed { None } else { self.imported(import, &names, attribute)? };
            let unknown = || Unknown { origin: self.origin(attribute), reason: "it is computed".to_owned() };
            return found.ok_or_else(unknown);
        }
        let entries = self.dict(&attribute.value, depth)?;
        entry(entries, attribute.attr.as_str(), || self.origin(attribute))
    }

    /// The value of something imported, if it is from a module of the project.
    fn imported(
        &self,
        import: &Import,
        names: &[&str],
        at: &impl ruff_text_size::Ranged,
    ) -> Result<Option<Value>, Unknown> {
        let origin = || self.origin(at);
        if import.unclear {
            let reason = format!("`{}` is imported in several ways", import.dotted);
            return Err(Unknown { origin: origin(), reason });
        }
        let dotted: Vec<&str> = import.dotted.split('.').chain(names.iter().copied()).collect();
        let Some((file, used)) = self.files.module(self.file, import.level, &dotted) else { return Ok(None) };
        let Some((name, keys)) = dotted[used..].split_first() else {
            let reason = format!("`{}` is a module", dotted.join("."));
            return Err(Unknown { origin: origin(), reason });
        };
        let mut value = self.files.constant(&file, name, self.imports + 1, origin)?;
        for key in keys {
            let Value::Dict(entries) = value else {
                let reason = format!("`{name}` is {}, without attributes", value.type_name());
                return Err(Unknown { origin: origin(), reason });
            };
            value = entry(entries, key, origin)?;
        }
        self.charge(value, at).map(Some)
    }

    /// The value of a name that `from … import *` of a module of the project gives.
    fn starred(&self, name: &str, origin: &Origin) -> Result<Option<Value>, Unknown> {
        for star in self.names.stars.iter().rev() {
            let import = Import { dotted: format!("{}.{name}", star.dotted), ..star.clone() };
            if let Place::Project { file, name } = self.files.place(self.file, &import) {
                let gives = self.files.gives(&file, &name, origin, self.imports + 1);
                if gives.map_err(|error| unknown(&error, origin))? {
                    return self.files.constant(&file, &name, self.imports + 1, || origin.clone()).map(Some);
                }
            }
        }
        Ok(None)
    }

    fn bound(&self, name: &str) -> Option<Binding<'a>> {
        self.class.get(name).or_else(|| self.names.scope.get(name))
    }

    fn element(
        &self,
        element: &InterpolatedStringElement,
        out: &mut String,
        depth: usize,
    ) -> Result<(), Unknown> {
        match element {
            InterpolatedStringElement::Literal(literal) => out.push_str(&literal.value),
            InterpolatedStringElement::Interpolation(part) => {
                let origin = self.origin(&*part.expression);
                let is_plain = part.debug_text.is_none()
                    && part.format_spec.is_none()
                    && part.conversion == ruff_python_ast::ConversionFlag::None;
                match self.eval(&part.expression, depth)? {
                    Value::Text(text) if is_plain => out.push_str(&text),
                    _ => return Err(Unknown { origin, reason: "it is formatted".to_owned() }),
                }
            }
        }
        Ok(())
    }

    /// The value of an expression in the file's own tree, which has its own line.
    fn elsewhere(&self, expr: &Expr, depth: usize) -> Result<Value, Unknown> {
        let outer = self.line.take();
        let value = self.eval(expr, depth);
        self.line.set(outer);
        value
    }

    /// The value of a name.
    pub fn name(&self, name: &str, origin: impl Fn() -> Origin, depth: usize) -> Result<Value, Unknown> {
        let not_known = |reason: String| Err(Unknown { origin: origin(), reason });
        if let Some((_, value)) = self.given.iter().find(|(known, _)| known == name) {
            return value.clone();
        }
        if self.by_config_name
            && let Some(config) = self.flow.iter().find_map(|scope| scope.config(name, self.names))
        {
            return self.elsewhere(config, depth);
        }
        if self.by_config_name {
            for class in self.inherited {
                if let Some(value) = self.files.configuration(class, name, &origin(), self.imports + 1) {
                    return value;
                }
            }
        }
        if name == "__file__" && self.bound(name).is_none() {
            return Ok(self.own_path());
        }
        if let Some(at) = self.names.mutated(name) {
            return not_known(format!("`{name}` is changed on line {at}"));
        }
        let import = self.names.import(name);
        match (self.bound(name), import) {
            (Some(_), Some(_)) => not_known(format!("`{name}` is both imported and assigned")),
            (Some(Binding::Value(value)), _) => self.elsewhere(value, depth),
            (Some(Binding::Unclear(at)), _) => {
                not_known(format!("`{name}` is bound more than once (line {at})"))
            }
            (Some(Binding::Class(_) | Binding::Function(_)), _) => {
                not_known(format!("`{name}` is no constant"))
            }
            (None, Some(import)) => match self.imported(import, &[], &ruff_text_size::TextRange::default()) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => not_known(format!("`{name}` is imported (`{}`)", import.dotted)),
                Err(mut error) => {
                    if error.origin.file == self.file {
                        error.origin = origin();
                    }
                    Err(error)
                }
            },
            (None, None) => match self.starred(name, &origin())? {
                Some(value) => Ok(value),
                None => not_known(format!("`{name}` is not a constant of this file")),
            },
        }
    }
}

fn is_number(kind: &str) -> bool {
    matches!(kind, "an integer" | "a float" | "a number")
}

/// The value of a key.
fn entry(entries: Vec<Entry>, key: &str, origin: impl Fn() -> Origin) -> Result<Value, Unknown> {
    match entries.into_iter().find(|entry| entry.key == key) {
        Some(entry) => Ok(entry.value),
        None => {
            let reason = format!("there is no key `{}`", key.escape_debug());
            Err(Unknown { origin: origin(), reason })
        }
    }
}

/// Puts an entry into a dictionary: a later value of a key replaces the earlier one in its place.
fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|known| known.key == entry.key) {
        Some(known) => *known = entry,
        None => entries.push(entry),
    }
}

pub(super) fn bounded(text: String, origin: impl Fn() -> Origin) -> Result<Value, Unknown> {
    if text.len() > MAX_TEXT {
        return Err(Unknown { origin: origin(), reason: "the text is too long".to_owned() });
    }
    Ok(Value::Text(text))
}
