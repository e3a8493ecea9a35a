//! Values that can be known without running the code.

use std::cell::Cell;

use ruff_python_ast::{Expr, ExprCall, InterpolatedStringElement, Number, Operator};

use super::names::{Binding, Names, Scope};
use super::syntax::line_of;
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
    /// A number, list or the like, of which only the type matters: its name.
    Other(&'static str),
    Dict(Vec<Entry>),
}

/// An entry of a dictionary, with the line of its key.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub key: String,
    pub value: Value,
    pub line: u32,
}

impl Value {
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Bool(_) => "a boolean",
            Self::None => "None",
            Self::Other(name) => name,
            Self::Dict(_) => "a dictionary",
        }
    }
}

/// Why a value cannot be known.
#[derive(Debug)]
pub(super) struct Unknown {
    pub line: u32,
    pub reason: String,
}

/// Evaluates expressions in the scope of a class body within its module.
pub(super) struct Evaluator<'a> {
    pub names: &'a Names<'a>,
    pub class: &'a Scope<'a>,
    pub lines: &'a Lines,
    pub steps: Cell<usize>,
}

impl<'a> Evaluator<'a> {
    pub fn new(names: &'a Names<'a>, class: &'a Scope<'a>, lines: &'a Lines) -> Self {
        Self { names, class, lines, steps: Cell::new(0) }
    }

    /// The value of an expression.
    pub fn value(&self, expr: &Expr) -> Result<Value, Unknown> {
        self.steps.set(0);
        self.eval(expr, 0)
    }

    fn eval(&self, expr: &Expr, depth: usize) -> Result<Value, Unknown> {
        let line = line_of(self.lines, expr);
        let unknown = |reason: String| Err(Unknown { line, reason });
        self.steps.set(self.steps.get() + 1);
        if depth > MAX_DEPTH || self.steps.get() > MAX_STEPS {
            return unknown("it is made of too many parts".to_owned());
        }
        let depth = depth + 1;
        Ok(match expr {
            Expr::StringLiteral(literal) => bounded(literal.value.to_str().to_owned(), line)?,
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::NumberLiteral(literal) => Value::Other(match literal.value {
                Number::Int(_) => "an integer",
                Number::Float(_) => "a float",
                Number::Complex { .. } => "a number",
            }),
            Expr::List(_) => Value::Other("a list"),
            Expr::Tuple(_) => Value::Other("a tuple"),
            Expr::Set(_) => Value::Other("a set"),
            Expr::Dict(dict) => {
                let mut entries = Vec::new();
                for item in &dict.items {
                    match &item.key {
                        Some(key) => {
                            let line = line_of(self.lines, key);
                            let Value::Text(key) = self.eval(key, depth)? else {
                                return Err(Unknown { line, reason: "a key is not a string".to_owned() });
                            };
                            let value = self.eval(&item.value, depth)?;
                            put(&mut entries, Entry { key, value, line });
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
                bounded(out, line)?
            }
            Expr::BinOp(operation) => {
                let (left, right) = (self.eval(&operation.left, depth)?, self.eval(&operation.right, depth)?);
                match (operation.op, left, right) {
                    (Operator::Add, Value::Text(left), Value::Text(right)) => bounded(left + &right, line)?,
                    (Operator::BitOr, Value::Dict(mut left), Value::Dict(right)) => {
                        right.into_iter().for_each(|entry| put(&mut left, entry));
                        Value::Dict(left)
                    }
                    _ => return unknown("it is computed".to_owned()),
                }
            }
            Expr::Name(name) => self.name(&name.id, line, depth)?,
            Expr::Subscript(subscript) => {
                let entries = self.dict(&subscript.value, depth)?;
                let Value::Text(key) = self.eval(&subscript.slice, depth)? else {
                    return unknown("a key is not a string".to_owned());
                };
                match entries.into_iter().find(|entry| entry.key == key) {
                    Some(entry) => entry.value,
                    None => return unknown(format!("there is no key `{}`", key.escape_debug())),
                }
            }
            Expr::Call(call) => self.call(call, line, depth)?,
            _ => return unknown("it is computed".to_owned()),
        })
    }

    /// `dict(…)` with keywords and dictionaries, `X.copy()`, `copy(X)`, `deepcopy(X)`; every other call is unknown.
    fn call(&self, call: &ExprCall, line: u32, depth: usize) -> Result<Value, Unknown> {
        let arguments = &call.arguments;
        match &*call.func {
            Expr::Attribute(method) if method.attr.as_str() == "copy" && arguments.is_empty() => {
                return self.eval(&method.value, depth);
            }
            Expr::Name(name) if name.id.as_str() == "dict" && self.names.scope.get("dict").is_none() => {
                let mut entries = Vec::new();
                for argument in &arguments.args {
                    self.dict(argument, depth)?.into_iter().for_each(|entry| put(&mut entries, entry));
                }
                for keyword in &arguments.keywords {
                    match &keyword.arg {
                        Some(key) => {
                            let (key, line) = (key.as_str().to_owned(), line_of(self.lines, keyword));
                            let value = self.eval(&keyword.value, depth)?;
                            put(&mut entries, Entry { key, value, line });
                        }
                        None => {
                            self.dict(&keyword.value, depth)?.into_iter().for_each(|e| put(&mut entries, e))
                        }
                    }
                }
                return Ok(Value::Dict(entries));
            }
            func => {
                let is_copy = matches!(self.names.imported(func), Some("copy" | "deepcopy"));
                if let ([only], true, true) = (&*arguments.args, is_copy, arguments.keywords.is_empty()) {
                    return self.eval(only, depth);
                }
            }
        }
        Err(Unknown { line, reason: "it is the result of a call".to_owned() })
    }

    fn dict(&self, expr: &Expr, depth: usize) -> Result<Vec<Entry>, Unknown> {
        match self.eval(expr, depth)? {
            Value::Dict(entries) => Ok(entries),
            other => {
                let reason = format!("{} stands where a dictionary is needed", other.type_name());
                Err(Unknown { line: line_of(self.lines, expr), reason })
            }
        }
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
                let line = line_of(self.lines, &*part.expression);
                let is_plain = part.debug_text.is_none()
                    && part.format_spec.is_none()
                    && part.conversion == ruff_python_ast::ConversionFlag::None;
                match self.eval(&part.expression, depth)? {
                    Value::Text(text) if is_plain => out.push_str(&text),
                    _ => return Err(Unknown { line, reason: "it is formatted".to_owned() }),
                }
            }
        }
        Ok(())
    }

    fn name(&self, name: &str, line: u32, depth: usize) -> Result<Value, Unknown> {
        let unknown = |reason: String| Err(Unknown { line, reason });
        if let Some(at) = self.names.mutated(name) {
            return unknown(format!("`{name}` is changed on line {at}"));
        }
        match self.class.get(name).or_else(|| self.names.scope.get(name)) {
            Some(_) if self.names.import(name).is_some() => {
                unknown(format!("`{name}` is both imported and assigned"))
            }
            Some(Binding::Value(value)) => self.eval(value, depth),
            Some(Binding::Unclear(at)) => unknown(format!("`{name}` is bound more than once (line {at})")),
            Some(Binding::Class(_) | Binding::Function(_)) => unknown(format!("`{name}` is no constant")),
            None => match self.names.import(name) {
                Some(dotted) => unknown(format!("`{name}` is imported (`{dotted}`)")),
                None => unknown(format!("`{name}` is not a constant of this file")),
            },
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

fn bounded(text: String, line: u32) -> Result<Value, Unknown> {
    if text.len() > MAX_TEXT {
        return Err(Unknown { line, reason: "the text is too long".to_owned() });
    }
    Ok(Value::Text(text))
}
