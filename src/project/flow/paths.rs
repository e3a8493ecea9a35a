//! Paths that code makes from its own place: `os.path.join(os.path.dirname(__file__), "config.json")`,
//! `Path(__file__).parent / "config.json"`.

use ruff_python_ast::{Expr, ExprCall, Operator};

use super::evaluator::Evaluator;
use super::value::{Unknown, Value};
use crate::model::Origin;

impl Evaluator<'_> {
    /// The path that a call makes; `None` if it is a call of something else. Paths below the project begin with its root.
    pub(super) fn path_call(&self, call: &ExprCall, depth: usize) -> Result<Option<Value>, Unknown> {
        let arguments = &call.arguments.args;
        if !call.arguments.keywords.is_empty() {
            return Ok(None);
        }
        // `Path(…).resolve()`, `Path(…).joinpath("x")`.
        if let Expr::Attribute(method) = &*call.func
            && let Some(path) = self.path_of(&method.value, depth)?
        {
            return match (method.attr.as_str(), &**arguments) {
                ("resolve" | "absolute" | "as_posix", []) => Ok(Some(Value::Text(path))),
                ("joinpath", parts) => self.join(path, parts, depth).map(Some),
                ("with_name", [name]) => {
                    let parent = parent(&path).to_owned();
                    self.join(parent, std::slice::from_ref(name), depth).map(Some)
                }
                _ => Ok(None),
            };
        }
        let Some(function) = self.reader.names.dotted(&call.func) else { return Ok(None) };
        let [first, rest @ ..] = &**arguments else { return Ok(None) };
        let text = |expr| match self.eval(expr, depth)? {
            Value::Text(text) => Ok(text),
            other => Err(Unknown {
                origin: self.origin(expr),
                reason: format!("{} stands where a path is needed", other.type_name()),
            }),
        };
        Ok(match (function.as_str(), rest) {
            ("os.path.join", parts) => Some(self.join(text(first)?, parts, depth)?),
            ("os.path.dirname", []) => Some(Value::Text(parent(&text(first)?).to_owned())),
            ("os.path.abspath" | "os.path.realpath" | "os.path.normpath" | "str", [])
                if function != "str" || self.path_of(first, depth)?.is_some() =>
            {
                Some(Value::Text(match self.path_of(first, depth)? {
                    Some(path) => path,
                    None => text(first)?,
                }))
            }
            _ => None,
        })
    }

    /// `path / "x"`.
    pub(super) fn path_slash(
        &self,
        left: &Expr,
        operator: Operator,
        right: &Expr,
        depth: usize,
    ) -> Result<Option<Value>, Unknown> {
        if operator != Operator::Div {
            return Ok(None);
        }
        match self.path_of(left, depth)? {
            Some(path) => self.join(path, std::slice::from_ref(right), depth).map(Some),
            None => Ok(None),
        }
    }

    /// The path that an expression of `pathlib` stands for: `Path(__file__)`, its `.parent`, and what is made of them.
    pub(super) fn path_of(&self, expr: &Expr, depth: usize) -> Result<Option<String>, Unknown> {
        match expr {
            Expr::Call(call)
                if matches!(
                    self.reader.names.dotted(&call.func).as_deref(),
                    Some("pathlib.Path" | "pathlib.PurePath" | "pathlib.PosixPath")
                ) =>
            {
                match &*call.arguments.args {
                    [only] => match self.eval(only, depth)? {
                        Value::Text(path) => Ok(Some(path)),
                        _ => Ok(None),
                    },
                    _ => Ok(None),
                }
            }
            Expr::Call(call) => match &*call.func {
                Expr::Attribute(method)
                    if depth < 32 && self.path_of(&method.value, depth + 1)?.is_some() =>
                {
                    Ok(match self.path_call(call, depth + 1)? {
                        Some(Value::Text(path)) => Some(path),
                        _ => None,
                    })
                }
                _ => Ok(None),
            },
            Expr::Attribute(attribute) if attribute.attr.as_str() == "parent" && depth < 32 => {
                Ok(self.path_of(&attribute.value, depth + 1)?.map(|path| parent(&path).to_owned()))
            }
            Expr::BinOp(operation) if operation.op == Operator::Div && depth < 32 => {
                match self.path_slash(&operation.left, operation.op, &operation.right, depth + 1)? {
                    Some(Value::Text(path)) => Ok(Some(path)),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// The path of this module's own file.
    pub(super) fn own_path(&self) -> Value {
        Value::Text(format!("{}/{}", self.reader.files.root.path.display(), self.reader.file))
    }

    fn join(&self, mut path: String, parts: &[Expr], depth: usize) -> Result<Value, Unknown> {
        let origin =
            || parts.first().map_or_else(|| Origin::file(self.reader.file), |part| self.origin(part));
        for part in parts {
            let Value::Text(part) = self.eval(part, depth)? else {
                let reason = "a part of the path is not a string".to_owned();
                return Err(Unknown { origin: self.origin(part), reason });
            };
            if part.starts_with('/') {
                path = part;
            } else {
                if !path.is_empty() && !path.ends_with('/') {
                    path.push('/');
                }
                path.push_str(&part);
            }
        }
        super::value::bounded(path, origin)
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
