//! The values of expressions, as far as they can be known without running the code.

use std::cell::Cell;

use ruff_python_ast::{
    BoolOp, CmpOp, Comprehension, DictItem, Expr, ExprCompare, ExprFString, ExprSubscript, FStringPart,
    InterpolatedStringElement, Number, Operator, UnaryOp,
};
use ruff_text_size::Ranged;

use super::ancestry::ClassId;
use super::names::Scope;
use super::reader::Reader;
use super::syntax::line_of;
use super::value::{Entry, Frame, Given, Unknown, Value, bounded, entry, put};
use crate::model::Origin;

/// How deep expressions, names that stand for each other, and functions that call each other may nest.
const MAX_DEPTH: usize = 200;
/// How many entries of a dictionary are looked through at the price of one part.
pub(super) const ENTRIES: usize = 50;

/// Evaluates expressions of a module, outside of classes or in the body of one.
pub(super) struct Evaluator<'a> {
    pub reader: &'a Reader<'a>,
    /// The class body around, if there is one.
    pub class: Option<&'a Scope<'a>>,
    /// The class bodies whose configurations `config_expr` names: the flow's own and those of its bases.
    pub flow: &'a [Scope<'a>],
    /// The flow's classes in other modules, whose configurations `config_expr` names too.
    pub inherited: &'a [ClassId],
    /// Names that go before all others: what the functions and comprehensions around bind.
    pub given: Option<&'a Frame<'a>>,
    /// Whether names are first those of configurations, as in `config_expr`.
    pub by_config_name: bool,
    /// The line of the expression, where it is not part of the file's own tree.
    pub line: Cell<Option<u32>>,
}

impl<'a> Evaluator<'a> {
    pub fn new(reader: &'a Reader<'a>) -> Self {
        let line = Cell::new(None);
        Self { reader, class: None, flow: &[], inherited: &[], given: None, by_config_name: false, line }
    }

    /// The same with names that go before all others. Those of a class body are not seen from inside of it.
    pub fn within(&self, given: &'a Frame<'a>) -> Self {
        Self { given: Some(given), class: None, line: self.line.clone(), ..*self }
    }

    /// The value of an expression.
    pub fn value(&self, expr: &Expr) -> Result<Value, Unknown> {
        self.eval(expr, 0)
    }

    /// Where an expression is.
    pub fn origin(&self, expr: &impl Ranged) -> Origin {
        let line = self.line.get().unwrap_or_else(|| line_of(self.reader.lines, expr));
        Origin::line(self.reader.file, line)
    }

    pub fn unknown(&self, at: &impl Ranged, reason: impl Into<String>) -> Unknown {
        Unknown { origin: self.origin(at), reason: reason.into() }
    }

    /// Counts parts of values and expressions: constants that are made of constants could double at every step.
    pub fn spend(&self, parts: usize, at: &impl Ranged) -> Result<(), Unknown> {
        if self.reader.files.spend(parts) { Ok(()) } else { Err(self.unknown(at, TOO_MUCH)) }
    }

    /// Counts the parts of a value that comes from elsewhere.
    pub fn charge(&self, value: Value, at: &impl Ranged) -> Result<Value, Unknown> {
        self.spend(value.size(), at)?;
        Ok(value)
    }

    pub fn eval(&self, expr: &Expr, depth: usize) -> Result<Value, Unknown> {
        if depth > MAX_DEPTH {
            return Err(self.unknown(expr, TOO_MUCH));
        }
        self.spend(1, expr)?;
        let depth = depth + 1;
        let origin = || self.origin(expr);
        let computed = || self.unknown(expr, "it is computed");
        Ok(match expr {
            Expr::StringLiteral(literal) => {
                self.charge(bounded(literal.value.to_str().to_owned(), origin)?, expr)?
            }
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::NoneLiteral(_) => Value::None,
            Expr::NumberLiteral(literal) => Value::Other(match literal.value {
                Number::Int(_) => "an integer",
                Number::Float(_) => "a float",
                Number::Complex { .. } => "a number",
            }),
            Expr::List(list) => Value::List(self.elements(&list.elts, depth)?),
            Expr::Tuple(tuple) => Value::Tuple(self.elements(&tuple.elts, depth)?),
            Expr::Set(_) => Value::Other("a set"),
            Expr::Dict(dict) => self.entries(&dict.items, depth)?,
            Expr::FString(text) => self.formatted(text, depth)?,
            Expr::BinOp(operation) => {
                let (left, right) = (&operation.left, &operation.right);
                match self.path_slash(left, operation.op, right, depth)? {
                    Some(path) => path,
                    None => {
                        let (left, right) = (self.eval(left, depth)?, self.eval(right, depth)?);
                        self.binary(left, operation.op, right, expr)?
                    }
                }
            }
            Expr::BoolOp(operation) => {
                let mut result = Value::None;
                for operand in &operation.values {
                    result = self.eval(operand, depth)?;
                    if self.is_true(&result, expr)? == (operation.op == BoolOp::Or) {
                        break;
                    }
                }
                result
            }
            Expr::UnaryOp(operation) => match (operation.op, self.eval(&operation.operand, depth)?) {
                (UnaryOp::Not, value) => Value::Bool(!self.is_true(&value, expr)?),
                (_, Value::Other(kind)) if is_number(kind) => Value::Other("a number"),
                _ => return Err(computed()),
            },
            Expr::Compare(compare) => self.compare(compare, depth)?,
            Expr::If(choice) => {
                let test = self.eval(&choice.test, depth)?;
                let chosen = if self.is_true(&test, &*choice.test)? { &choice.body } else { &choice.orelse };
                self.eval(chosen, depth)?
            }
            Expr::ListComp(comprehension) => {
                self.listed(&comprehension.generators, &comprehension.elt, depth)?
            }
            Expr::Generator(comprehension) => {
                self.listed(&comprehension.generators, &comprehension.elt, depth)?
            }
            Expr::DictComp(comprehension) => {
                let mut entries = Vec::new();
                self.each(&comprehension.generators, depth, &mut |inner| {
                    let Some(key) = &comprehension.key else { return Err(computed()) };
                    let (name, value) = (inner.eval(key, depth)?, inner.eval(&comprehension.value, depth)?);
                    self.put(&mut entries, name, value, &**key)
                })?;
                Value::Dict(entries)
            }
            Expr::Name(name) => self.name(&name.id, origin, depth)?,
            Expr::Attribute(attribute) => self.attribute(attribute, depth)?,
            Expr::Subscript(subscript) => self.subscript(subscript, depth)?,
            Expr::Call(call) => self.call(call, depth)?,
            _ => return Err(computed()),
        })
    }

    /// The elements of a list or tuple. One that is not known matters only to those who ask for it.
    fn elements(&self, elements: &[Expr], depth: usize) -> Result<Vec<Value>, Unknown> {
        let mut values = Vec::new();
        for element in elements {
            match element {
                Expr::Starred(starred) => values.extend(self.items(&starred.value, depth)?),
                element => values.push(self.eval(element, depth).unwrap_or(Value::Other("unknown"))),
            }
        }
        Ok(values)
    }

    fn entries(&self, items: &[DictItem], depth: usize) -> Result<Value, Unknown> {
        let mut entries = Vec::new();
        for item in items {
            match &item.key {
                Some(key) => {
                    let (name, value) = (self.eval(key, depth)?, self.eval(&item.value, depth)?);
                    self.put(&mut entries, name, value, key)?;
                }
                None => self.merge(&mut entries, self.dict(&item.value, depth)?, &item.value)?,
            }
        }
        Ok(Value::Dict(entries))
    }

    /// Puts a value into a dictionary.
    pub fn put(
        &self,
        entries: &mut Vec<Entry>,
        key: Value,
        value: Value,
        at: &impl Ranged,
    ) -> Result<(), Unknown> {
        let Value::Text(key) = key else { return Err(self.unknown(at, "a key is not a string")) };
        self.spend(1 + entries.len() / ENTRIES, at)?;
        put(entries, Entry { key, value, origin: self.origin(at) });
        Ok(())
    }

    /// Puts the entries of one dictionary into another.
    pub fn merge(&self, entries: &mut Vec<Entry>, more: Vec<Entry>, at: &impl Ranged) -> Result<(), Unknown> {
        for entry in more {
            self.spend(1 + entries.len() / ENTRIES, at)?;
            put(entries, entry);
        }
        Ok(())
    }

    pub fn dict(&self, expr: &Expr, depth: usize) -> Result<Vec<Entry>, Unknown> {
        match self.eval(expr, depth)? {
            Value::Dict(entries) => Ok(entries),
            other => {
                let reason = format!("{} stands where a dictionary is needed", other.type_name());
                Err(self.unknown(expr, reason))
            }
        }
    }

    /// What an operator makes of two values.
    pub fn binary(
        &self,
        left: Value,
        operator: Operator,
        right: Value,
        at: &impl Ranged,
    ) -> Result<Value, Unknown> {
        Ok(match (operator, left, right) {
            (Operator::Add, Value::Text(left), Value::Text(right)) => {
                self.charge(bounded(left + &right, || self.origin(at))?, at)?
            }
            (Operator::Add, Value::List(left), Value::List(right)) => {
                self.charge(Value::List([left, right].concat()), at)?
            }
            (Operator::BitOr, Value::Dict(mut left), Value::Dict(right)) => {
                self.merge(&mut left, right, at)?;
                Value::Dict(left)
            }
            // Of numbers only the type matters.
            (_, Value::Other(left), Value::Other(right)) if is_number(left) && is_number(right) => {
                Value::Other("a number")
            }
            _ => return Err(self.unknown(at, "it is computed")),
        })
    }

    pub fn is_true(&self, value: &Value, at: &impl Ranged) -> Result<bool, Unknown> {
        value.truth().ok_or_else(|| self.unknown(at, "it is computed"))
    }

    /// `==`, `in`, `is None` and their contraries.
    fn compare(&self, compare: &ExprCompare, depth: usize) -> Result<Value, Unknown> {
        let computed = || self.unknown(compare, "it is computed");
        let ([operator], [right]) = (&*compare.ops, &*compare.comparators) else { return Err(computed()) };
        let (left, right) = (self.eval(&compare.left, depth)?, self.eval(right, depth)?);
        let is_single = |value: &Value| matches!(value, Value::None | Value::Bool(_));
        let result = match operator {
            CmpOp::Eq | CmpOp::NotEq => left.equals(&right),
            CmpOp::Is | CmpOp::IsNot if is_single(&left) || is_single(&right) => left.equals(&right),
            CmpOp::In | CmpOp::NotIn => {
                self.spend(right.size() / ENTRIES, compare)?;
                right.contains(&left)
            }
            _ => None,
        };
        let is_contrary = matches!(operator, CmpOp::NotEq | CmpOp::IsNot | CmpOp::NotIn);
        Ok(Value::Bool(result.ok_or_else(computed)? != is_contrary))
    }

    /// `X["key"]`, `X[0]`.
    fn subscript(&self, subscript: &ExprSubscript, depth: usize) -> Result<Value, Unknown> {
        let base = self.eval(&subscript.value, depth)?;
        match (base, index(&subscript.slice)) {
            (Value::List(mut values) | Value::Tuple(mut values), Some(index)) => {
                let place = if index < 0 {
                    values.len().checked_add_signed(index)
                } else {
                    Some(index.unsigned_abs())
                };
                match place.filter(|place| *place < values.len()) {
                    Some(place) => Ok(values.swap_remove(place)),
                    None => Err(self.unknown(subscript, "there is no such element")),
                }
            }
            (Value::Dict(entries), _) => match self.eval(&subscript.slice, depth)? {
                Value::Text(key) => entry(entries, &key, || self.origin(subscript)),
                _ => Err(self.unknown(subscript, "a key is not a string")),
            },
            (other, _) => {
                let reason = format!("{} stands where a dictionary is needed", other.type_name());
                Err(self.unknown(&*subscript.value, reason))
            }
        }
    }

    fn formatted(&self, text: &ExprFString, depth: usize) -> Result<Value, Unknown> {
        let mut out = String::new();
        for part in &text.value {
            match part {
                FStringPart::Literal(literal) => out.push_str(literal.as_str()),
                FStringPart::FString(string) => {
                    for element in &string.elements {
                        self.element(element, &mut out, depth)?;
                    }
                }
            }
        }
        self.charge(bounded(out, || self.origin(text))?, text)
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
                let is_plain = part.debug_text.is_none()
                    && part.format_spec.is_none()
                    && part.conversion == ruff_python_ast::ConversionFlag::None;
                match self.eval(&part.expression, depth)? {
                    Value::Text(text) if is_plain => out.push_str(&text),
                    _ => return Err(self.unknown(&*part.expression, "it is formatted")),
                }
            }
        }
        Ok(())
    }

    /// The list that a comprehension or a generator makes.
    fn listed(&self, loops: &[Comprehension], element: &Expr, depth: usize) -> Result<Value, Unknown> {
        let mut values = Vec::new();
        self.each(loops, depth, &mut |inner| {
            values.push(inner.eval(element, depth)?);
            Ok(())
        })?;
        Ok(Value::List(values))
    }

    /// Every round of the loops of a comprehension.
    fn each(
        &self,
        loops: &[Comprehension],
        depth: usize,
        visit: &mut dyn FnMut(&Evaluator<'_>) -> Result<(), Unknown>,
    ) -> Result<(), Unknown> {
        let Some((first, inner_loops)) = loops.split_first() else { return visit(self) };
        if first.is_async || depth > MAX_DEPTH {
            return Err(self.unknown(&first.iter, "it is computed"));
        }
        'rounds: for item in self.items(&first.iter, depth)? {
            let mut names = Vec::new();
            self.unpack(&first.target, item, &mut names)?;
            let frame = Frame { names: &names, outer: self.given };
            let inner = Evaluator::within(self, &frame);
            for test in &first.ifs {
                if !inner.is_true(&inner.eval(test, depth)?, test)? {
                    continue 'rounds;
                }
            }
            inner.each(inner_loops, depth + 1, visit)?;
        }
        Ok(())
    }

    /// What a loop over the value of an expression goes through.
    pub fn items(&self, expr: &Expr, depth: usize) -> Result<Vec<Value>, Unknown> {
        match self.eval(expr, depth)? {
            Value::List(values) | Value::Tuple(values) => Ok(values),
            Value::Dict(entries) => Ok(entries.into_iter().map(|entry| Value::Text(entry.key)).collect()),
            other => {
                let reason = format!("{} stands where a list is needed", other.type_name());
                Err(self.unknown(expr, reason))
            }
        }
    }

    /// Binds a name, or several, to what they are assigned.
    pub fn unpack(&self, target: &Expr, value: Value, names: &mut Vec<Given>) -> Result<(), Unknown> {
        match (target, value) {
            (Expr::Name(name), value) => names.push((name.id.to_string(), Ok(value))),
            (Expr::Tuple(_) | Expr::List(_), Value::List(values) | Value::Tuple(values)) => {
                let targets = match target {
                    Expr::Tuple(tuple) => &tuple.elts,
                    Expr::List(list) => &list.elts,
                    _ => return Err(self.unknown(target, "it is computed")),
                };
                if targets.len() != values.len() {
                    let reason = format!("{} values are assigned to {} names", values.len(), targets.len());
                    return Err(self.unknown(target, reason));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.unpack(target, value, names)?;
                }
            }
            _ => return Err(self.unknown(target, "it is computed")),
        }
        Ok(())
    }
}

const TOO_MUCH: &str = "it is made of too many parts";

fn is_number(kind: &str) -> bool {
    matches!(kind, "an integer" | "a float" | "a number")
}

/// The number that an index is, where it is written as one.
fn index(expr: &Expr) -> Option<isize> {
    match expr {
        Expr::NumberLiteral(literal) => match &literal.value {
            Number::Int(number) => number.as_i32().and_then(|number| isize::try_from(number).ok()),
            _ => None,
        },
        Expr::UnaryOp(operation) if operation.op == UnaryOp::USub => index(&operation.operand).map(|n| -n),
        _ => None,
    }
}
