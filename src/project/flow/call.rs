//! Calls whose result is known without making them: `dict(…)`, copies, methods of dictionaries and strings,
//! configurations; and functions of the project, in `function.rs`.

use ruff_python_ast::{Expr, ExprCall};

use super::evaluator::Evaluator;
use super::syntax::expression;
use super::value::{Entry, PART, Unknown, Value, bounded};

impl Evaluator<'_> {
    pub fn call(&self, call: &ExprCall, depth: usize) -> Result<Value, Unknown> {
        if !self.is_local(&call.func) {
            if let Some(path) = self.path_call(call, depth)? {
                return Ok(path);
            }
            if let Some(found) = self.builtin(call, depth)? {
                return Ok(found);
            }
            match self.reader.names.imported(&call.func) {
                Some("Config") => return self.charge(self.config(call, depth)?, call),
                Some("config_expr") => return self.config_expr(call, depth),
                _ => {}
            }
            if let Some(found) = self.loaded(call, depth)? {
                return Ok(found);
            }
            if let Some(found) = self.function(call, depth)? {
                return Ok(found);
            }
        }
        self.method(call, depth)?.ok_or_else(|| self.unknown(call, "it is the result of a call"))
    }

    /// Whether the first name of an expression is one that a function or comprehension around binds.
    fn is_local(&self, mut expr: &Expr) -> bool {
        while let Expr::Attribute(attribute) = expr {
            expr = &attribute.value;
        }
        expr.as_name_expr().is_some_and(|name| self.local(&name.id).is_some())
    }

    /// Whether an expression is this builtin function.
    pub fn is_builtin(&self, expr: &Expr, builtin: &str) -> bool {
        let names = self.reader.names;
        expr.as_name_expr().is_some_and(|name| name.id.as_str() == builtin)
            && names.scope.get(builtin).is_none()
            && names.import(builtin).is_none()
            && self.local(builtin).is_none()
    }

    /// `dict(…)`, `list(…)`, `tuple(…)`, `zip(…)`, `copy(…)`; `None` if the call is of something else.
    fn builtin(&self, call: &ExprCall, depth: usize) -> Result<Option<Value>, Unknown> {
        let (args, keywords) = (&*call.arguments.args, &*call.arguments.keywords);
        let is = |name| self.is_builtin(&call.func, name);
        let is_copy =
            matches!(self.reader.names.dotted(&call.func).as_deref(), Some("copy.copy" | "copy.deepcopy"));
        Ok(Some(match args {
            _ if is("dict") => Value::Dict(self.dict_of(call, depth)?),
            // The same object still, where nobody changes either of them.
            [only] if keywords.is_empty() && is_copy => self.eval(only, depth)?,
            [only] if keywords.is_empty() && is("list") => Value::List(self.items(only, depth)?),
            [only] if keywords.is_empty() && is("tuple") => Value::Tuple(self.items(only, depth)?),
            [one, other] if keywords.is_empty() && is("zip") => {
                let pairs = self.items(one, depth)?.into_iter().zip(self.items(other, depth)?);
                Value::List(pairs.map(|(one, other)| Value::Tuple(vec![one, other])).collect())
            }
            _ => return Ok(None),
        }))
    }

    /// What `dict(…)` makes of the arguments of a call.
    pub fn dict_of(&self, call: &ExprCall, depth: usize) -> Result<Vec<Entry>, Unknown> {
        let mut entries = Vec::new();
        for argument in &call.arguments.args {
            match self.eval(argument, depth)? {
                Value::Dict(more) => self.merge(&mut entries, more, argument)?,
                Value::List(pairs) => {
                    for pair in pairs {
                        let (key, value) =
                            pair.pair().ok_or_else(|| self.unknown(argument, "it is computed"))?;
                        self.put(&mut entries, key, value, argument)?;
                    }
                }
                other => {
                    let reason = format!("{} stands where a dictionary is needed", other.type_name());
                    return Err(self.unknown(argument, reason));
                }
            }
        }
        for keyword in &call.arguments.keywords {
            match &keyword.arg {
                Some(key) => {
                    let value = self.eval(&keyword.value, depth)?;
                    self.put(&mut entries, Value::Text(key.to_string()), value, keyword)?;
                }
                None => {
                    let more = self.dict(&keyword.value, depth)?;
                    self.merge(&mut entries, more, keyword)?;
                }
            }
        }
        Ok(entries)
    }

    /// Methods that change nothing; `None` if it is another.
    fn method(&self, call: &ExprCall, depth: usize) -> Result<Option<Value>, Unknown> {
        let Expr::Attribute(method) = &*call.func else { return Ok(None) };
        let (name, arguments) = (method.attr.as_str(), &*call.arguments.args);
        if !call.arguments.keywords.is_empty() || !METHODS.contains(&name) {
            return Ok(None);
        }
        let base = self.eval(&method.value, depth)?;
        // The same object still, where nobody changes either of them.
        if matches!((name, arguments), ("copy" | "to_dict", [])) {
            return Ok(Some(base));
        }
        if name == "get" && !matches!(base, Value::Dict(_)) {
            let reason = format!("{} stands where a dictionary is needed", base.type_name());
            return Err(self.unknown(&*method.value, reason));
        }
        Ok(Some(match (base, name, arguments) {
            (Value::Dict(entries), "get", [key, default @ ..]) if default.len() <= 1 => {
                let Value::Text(key) = self.eval(key, depth)? else {
                    return Err(self.unknown(key, "a key is not a string"));
                };
                match (entries.into_iter().find(|entry| entry.key == key), default) {
                    (Some(entry), _) => entry.value,
                    (None, [default]) => self.eval(default, depth)?,
                    _ => Value::None,
                }
            }
            (Value::Dict(entries), "keys", []) => {
                Value::List(entries.into_iter().map(|entry| Value::Text(entry.key)).collect())
            }
            (Value::Dict(entries), "values", []) => {
                Value::List(entries.into_iter().map(|entry| entry.value).collect())
            }
            (Value::Dict(entries), "items", []) => {
                let pair = |Entry { key, value, .. }| Value::Tuple(vec![Value::Text(key), value]);
                Value::List(entries.into_iter().map(pair).collect())
            }
            (Value::Text(text), "strip", []) => Value::Text(text.trim().to_owned()),
            (Value::Text(text), "lower", []) => Value::Text(text.to_lowercase()),
            (Value::Text(text), "split", []) => {
                Value::List(text.split_whitespace().map(|part| Value::Text(part.to_owned())).collect())
            }
            (Value::Text(text), "split" | "startswith" | "endswith" | "join", [only]) => {
                match (name, self.eval(only, depth)?) {
                    ("split", Value::Text(by)) if !by.is_empty() => {
                        let parts = text.split(by.as_str()).map(|part| Value::Text(part.to_owned()));
                        self.charge(Value::List(parts.collect()), call)?
                    }
                    ("startswith", Value::Text(start)) => Value::Bool(text.starts_with(start.as_str())),
                    ("endswith", Value::Text(end)) => Value::Bool(text.ends_with(end.as_str())),
                    ("join", Value::List(parts) | Value::Tuple(parts)) => {
                        let parts = parts.into_iter().map(|part| match part {
                            Value::Text(part) => Ok(part),
                            _ => Err(self.unknown(only, "it is computed")),
                        });
                        let parts: Vec<String> = parts.collect::<Result<_, _>>()?;
                        self.spend(parts.len() * (1 + text.len() / PART), call)?;
                        bounded(parts.join(&text), || self.origin(call))?
                    }
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        }))
    }

    /// `config_expr("config.a.b")`: an expression in which configurations go by the names they are given.
    fn config_expr(&self, call: &ExprCall, depth: usize) -> Result<Value, Unknown> {
        let [text] = &*call.arguments.args else {
            return Err(self.unknown(call, "config_expr takes one string"));
        };
        let Value::Text(text) = self.eval(text, depth)? else {
            return Err(self.unknown(call, "config_expr takes one string"));
        };
        let expr = expression(text.trim())
            .ok_or_else(|| self.unknown(call, "the text of config_expr is no expression"))?;
        let line = self.origin(call).line.or(Some(1)).into();
        Self { line, by_config_name: true, ..*self }.eval(&expr, depth)
    }
}

const METHODS: [&str; 12] = [
    "copy",
    "to_dict",
    "get",
    "keys",
    "values",
    "items",
    "strip",
    "lower",
    "split",
    "startswith",
    "endswith",
    "join",
];
