//! `Config("name", default="config.json", parser=…)`: configurations with their default files.

use ruff_python_ast::{Expr, ExprCall, Parameters, Stmt};
use toml_edit::Item;

use super::arguments::Arguments;
use super::evaluator::Evaluator;
use super::files;
use super::names::{Binding, Import};
use super::reader::Target;
use super::value::{Entry, Unknown, Value};
use crate::model::Origin;
use crate::project::Error;
use crate::project::branch::UNSELECTED;
use crate::project::dependencies::{Dependencies, read_requirements};
use crate::project::pyproject::{Context, Pyproject};
use crate::project::scalar;
use crate::project::source::Root;
use crate::project::toml::Toml;
use crate::project::yaml::{self, Node, Type};

/// What reads the text of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Toml,
    Yaml,
    /// Metaflow's own parsers: `packages` and `python`.
    Requirements,
    Pyproject,
    /// The text itself.
    Plain,
}

impl Format {
    /// The format that a function reads, by its dotted name.
    fn of(function: &str) -> Option<Self> {
        let last = function.rsplit('.').next().unwrap_or(function);
        let module = function.split('.').next().unwrap_or(function);
        Some(match (module, last) {
            (_, "requirements_txt_parser") => Self::Requirements,
            (_, "pyproject_toml_parser") => Self::Pyproject,
            ("json" | "ujson" | "orjson" | "simplejson", "loads") => Self::Json,
            ("toml" | "tomllib" | "tomli" | "rtoml" | "pytoml", "loads") => Self::Toml,
            ("yaml" | "ruamel", "load" | "safe_load" | "full_load") => Self::Yaml,
            _ => return None,
        })
    }
}

/// What makes a value of the text of a configuration.
enum Parser<'p> {
    Format(Format),
    /// A function of the project.
    Function(Target<'p>),
}

impl Evaluator<'_> {
    /// The value of a `Config(…)`.
    pub(super) fn config(&self, call: &ExprCall, depth: usize) -> Result<Value, Unknown> {
        let unknown = |expr: &Expr, reason: String| Unknown { origin: self.origin(expr), reason };
        let argument = |name: &str, position: usize| match call.arguments.find_argument_value(name, position)
        {
            Some(Expr::NoneLiteral(_)) | None => None,
            given => given,
        };
        let keyword = |name: &str| argument(name, usize::MAX);
        let func = &*call.func;
        let Some(Value::Text(name)) = argument("name", 0).map(|name| self.eval(name, depth)).transpose()?
        else {
            return Err(unknown(func, "a configuration has no name".to_owned()));
        };
        let name = name.escape_debug().to_string();
        let plain =
            matches!(keyword("plain").map(|p| self.eval(p, depth)).transpose()?, Some(Value::Bool(true)));
        let parser = match keyword("parser") {
            Some(parser) => self.parser(parser, depth).ok_or_else(|| {
                unknown(parser, format!("the parser of configuration `{name}` is not one that is known"))
            })?,
            None if plain => Parser::Format(Format::Plain),
            None => Parser::Format(Format::Json),
        };
        let (file, at) = match (self.reader.files.chosen(&name), argument("default", 1)) {
            (Some(chosen), _) => chosen,
            (None, Some(default)) => match self.eval(default, depth) {
                Ok(Value::Text(file)) => (self.reader.files.relative(&file), self.origin(default)),
                _ => {
                    let reason = format!("the default of configuration `{name}` is not a file's name");
                    return Err(unknown(default, reason));
                }
            },
            (None, None) => {
                let Some(default) = keyword("default_value") else {
                    let reason = format!(
                        "the configuration `{name}` has no default: it is known only when the flow is deployed"
                    );
                    return Err(unknown(func, reason));
                };
                return match self.eval(default, depth)? {
                    Value::Text(text) => self.parse(parser, "", text, &self.origin(default), depth),
                    value => Ok(value),
                };
            }
        };
        let how = match (&parser, keyword("parser")) {
            (Parser::Function(_), Some(function)) => self.origin(function).to_string(),
            (Parser::Format(format), _) => format!("{format:?}"),
            _ => return Err(unknown(func, "a configuration has no parser".to_owned())),
        };
        self.reader.files.remembered((how, file.clone()), || {
            let text = self.reader.files.text(&file, &at)?;
            self.parse(parser, &file, text, &at, depth)
        })
    }

    /// What a parser makes of a text: that of a file, or one in the code if the file has no name.
    fn parse(
        &self,
        parser: Parser<'_>,
        file: &str,
        text: String,
        at: &Origin,
        depth: usize,
    ) -> Result<Value, Unknown> {
        let function = match parser {
            Parser::Format(format) => return self.reader.files.parse(format, file, text, at),
            Parser::Function(function) => function,
        };
        let positional = vec![Ok(Value::Text(text))];
        let arguments = Arguments { positional, ..Arguments::none(at.clone()) };
        let result = self.reader.result(function, &arguments, depth);
        let result = result.map_err(|error| files::unknown(&error, at))?;
        let mut value = result.ok_or_else(|| Unknown {
            origin: at.clone(),
            reason: "the parser of a configuration is no function".to_owned(),
        })??;
        // What it says is said in the file, not by the parser.
        relocate(&mut value, &if file.is_empty() { at.clone() } else { Origin::file(file) });
        Ok(value)
    }

    /// The file that is read for a `Config(…)` or an `IncludeFile(…)`, relative to the project; `None` where it is neither,
    /// or where nobody knows.
    pub(super) fn file_of(&self, value: &Expr) -> Option<String> {
        let call = value.as_call_expr()?;
        let text = |name: &str, position: usize| {
            let argument = call.arguments.find_argument_value(name, position)?;
            match self.value(argument) {
                Ok(Value::Text(text)) => Some(text),
                _ => None,
            }
        };
        let file = match self.reader.names.imported(&call.func)? {
            "Config" => match text("name", 0).and_then(|name| self.reader.files.chosen(&name)) {
                Some((file, _)) => file,
                None => self.reader.files.relative(&text("default", 1)?),
            },
            "IncludeFile" => self.reader.files.relative(&text("default", usize::MAX)?),
            _ => return None,
        };
        let is_inside = !file.is_empty() && !file.starts_with(['/', '.']) && !file.contains("://");
        is_inside.then_some(file)
    }

    fn parser(&self, parser: &Expr, depth: usize) -> Option<Parser<'_>> {
        if let Some(format) = self.format(parser, depth) {
            return Some(Parser::Format(format));
        }
        let target = match parser {
            Expr::StringLiteral(text) => {
                let dotted = text.value.to_str().to_owned();
                self.reader.imported(&Import { dotted, level: 0, unclear: false })
            }
            _ => self.reader.target(parser).ok()?,
        };
        matches!(target, Target::Function(_) | Target::Project { .. }).then_some(Parser::Function(target))
    }

    /// The format that a parser reads: a known function, its name as a string, or a function that only calls one.
    fn format(&self, parser: &Expr, depth: usize) -> Option<Format> {
        let only_call = |body: &Expr, parameters: &Parameters| {
            let call = body.as_call_expr()?;
            let text = parameters.iter().next()?.name();
            let is_text = call.arguments.args.first().and_then(Expr::as_name_expr)?.id == text.id;
            let format = self.reader.names.dotted(&call.func).as_deref().and_then(Format::of);
            format.filter(|_| is_text)
        };
        match parser {
            Expr::StringLiteral(text) => Format::of(text.value.to_str()),
            Expr::Lambda(lambda) => only_call(&lambda.body, lambda.parameters.as_deref()?),
            Expr::Name(name) => match self.reader.names.scope.get(&name.id) {
                Some(Binding::Function(function)) => match function.body.last()? {
                    // Nothing but a docstring and imports may stand before it.
                    Stmt::Return(end)
                        if function.body.iter().rev().skip(1).all(|stmt| {
                            matches!(stmt, Stmt::Import(_) | Stmt::ImportFrom(_))
                                || stmt.as_expr_stmt().is_some_and(|e| e.value.is_string_literal_expr())
                        }) =>
                    {
                        only_call(end.value.as_deref()?, &function.parameters)
                    }
                    _ => None,
                },
                Some(Binding::Value(value)) if depth < 8 => self.format(value, depth + 1),
                // `try: … parser = "tomllib.loads"`, `except ImportError: parser = "toml.loads"`
                Some(Binding::Unclear(_)) if depth < 8 => {
                    let values = self.reader.names.scope.alternatives(&name.id);
                    let mut formats = values.iter().map(|value| self.format(value, depth + 1));
                    let first = formats.next()??;
                    formats.all(|format| format == Some(first)).then_some(first)
                }
                Some(_) => None,
                None => self.reader.names.dotted(parser).as_deref().and_then(Format::of),
            },
            _ => self.reader.names.dotted(parser).as_deref().and_then(Format::of),
        }
    }

    /// What `json.loads(…)` and its like make of a text in the code; `None` if the call is of something else.
    pub(super) fn loaded(&self, call: &ExprCall, depth: usize) -> Result<Option<Value>, Unknown> {
        let format = self.reader.names.dotted(&call.func).as_deref().and_then(Format::of);
        let (Some(format @ (Format::Json | Format::Toml | Format::Yaml)), [text]) =
            (format, &*call.arguments.args)
        else {
            return Ok(None);
        };
        match self.eval(text, depth)? {
            Value::Text(text) => {
                let value = self.reader.files.parse(format, "", text, &self.origin(call))?;
                self.charge(value, call).map(Some)
            }
            _ => Ok(None),
        }
    }
}

impl files::Files<'_> {
    /// A path as the flow names it, relative to the project: the flow runs in its folder. One outside of the project stays
    /// absolute.
    fn relative(&self, path: &str) -> String {
        let root = self.root.path.to_string_lossy();
        match path.strip_prefix(&*root).and_then(|rest| rest.strip_prefix('/')) {
            Some(inside) => relative("", inside),
            None if path.starts_with('/') => path.to_owned(),
            None => relative(self.folder, path),
        }
    }

    fn parse(&self, format: Format, file: &str, text: String, at: &Origin) -> Result<Value, Unknown> {
        // A value that stands in the code has the place of the code.
        let (name, inline) = if file.is_empty() { (at.file.as_str(), true) } else { (file, false) };
        let value = match format {
            Format::Plain => Ok(Value::Text(text)),
            Format::Json => json(name, &text),
            Format::Toml => Toml::parse(name, text).map(|toml| toml_value(&toml, toml.root())),
            Format::Yaml => yaml::parse(name, &text).map(|node| yaml_value(name, node, false)),
            Format::Requirements if !inline => {
                packages(read_requirements(self.root, file, Some(at), &|_| None))
            }
            Format::Pyproject if !inline => pyproject(self.root, file, text),
            Format::Requirements | Format::Pyproject => {
                Err(Error::invalid(at.clone(), "this parser is for files only"))
            }
        };
        let mut value = value.map_err(|error| files::unknown(&error, at))?;
        if inline {
            relocate(&mut value, at);
        }
        Ok(value)
    }
}

fn json(file: &str, text: &str) -> Result<Value, Error> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| Error::Syntax {
        origin: Origin::line(file, u32::try_from(error.line()).unwrap_or(u32::MAX)),
        language: "JSON",
        problem: error.to_string(),
    })?;
    // JSON is YAML, nearly always; reading it as such gives the lines.
    Ok(match yaml::parse(file, text) {
        Ok(node) => yaml_value(file, node, true),
        Err(_) => json_value(file, value),
    })
}

fn json_value(file: &str, value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(value) => Value::Bool(value),
        serde_json::Value::Number(_) => Value::Other("a number"),
        serde_json::Value::String(text) => Value::Text(text),
        serde_json::Value::Array(values) => {
            Value::List(values.into_iter().map(|value| json_value(file, value)).collect())
        }
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter();
            Value::Dict(
                entries
                    .map(|(key, value)| Entry {
                        key,
                        value: json_value(file, value),
                        origin: Origin::file(file),
                    })
                    .collect(),
            )
        }
    }
}

/// `is_json`: what has no quotes and is none of JSON's words is a number.
fn yaml_value(file: &str, node: Node, is_json: bool) -> Value {
    let scalar = node.scalar().map(|(_, kind)| kind);
    match (node.value, scalar) {
        (yaml::Value::Scalar { text, plain }, kind) => match kind {
            Some(Type::Number) => Value::Other("a number"),
            Some(Type::Bool) => Value::Bool(scalar::truth(&text) == Some(true)),
            Some(Type::Null) => Value::None,
            _ if is_json && plain => Value::Other("a number"),
            Some(Type::Time) => Value::Other("a date"),
            _ => Value::Text(text),
        },
        (yaml::Value::List(nodes), _) => {
            Value::List(nodes.into_iter().map(|node| yaml_value(file, node, is_json)).collect())
        }
        (yaml::Value::Map(entries), _) => Value::Dict(
            entries
                .into_iter()
                .map(|(key, node)| {
                    let origin = Origin::line(file, node.line);
                    Entry { key, value: yaml_value(file, node, is_json), origin }
                })
                .collect(),
        ),
    }
}

fn toml_value(toml: &Toml, item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        let entries = table.iter().map(|(key, item)| {
            let span = item.span().or_else(|| table.get_key_value(key).and_then(|(key, _)| key.span()));
            Entry { key: key.to_owned(), value: toml_value(toml, item), origin: toml.at(span) }
        });
        return Value::Dict(entries.collect());
    }
    if let Some(array) = item.as_array() {
        let text = |value: &toml_edit::Value| value.as_str().map(|text| Value::Text(text.to_owned()));
        return Value::List(
            array.iter().map(|value| text(value).unwrap_or(Value::Other("a value"))).collect(),
        );
    }
    match (item.as_str(), item.as_bool()) {
        (Some(text), _) => Value::Text(text.to_owned()),
        (_, Some(value)) => Value::Bool(value),
        _ if item.is_integer() || item.is_float() => Value::Other("a number"),
        _ => Value::Other("a list"),
    }
}

fn pyproject(root: &Root, file: &str, text: String) -> Result<Value, Error> {
    let context = Context { root, selection: &UNSELECTED, variables: &|_| None, strict: false };
    let read = Pyproject::parse(file, text)?.dependencies(&context, &mut Vec::new())?;
    packages(Ok(read.unwrap_or_default()))
}

/// What Metaflow's parsers make of requirements: names with versions under `packages`, and `python`.
fn packages<I>(read: Result<(Dependencies, I), Error>) -> Result<Value, Error> {
    let (dependencies, _) = read?;
    let mut packages = Vec::new();
    for requirement in &dependencies.requirements {
        let text = requirement.normalized();
        let end = text.find(['<', '>', '=', '!', '~', ' ', ';']).unwrap_or(text.len());
        let (key, version) = text.split_at(end);
        let origin = requirement.origin.clone();
        if version.contains(';') {
            let problem = "a marker is not understood here by the platform's client";
            return Err(Error::invalid(origin, problem));
        }
        let value = Value::Text(version.trim().to_owned());
        packages.push(Entry { key: key.to_owned(), value, origin });
    }
    let origin = |entries: &[Entry]| entries.first().map_or_else(|| Origin::file(""), |e| e.origin.clone());
    let mut entries =
        vec![Entry { key: "packages".to_owned(), origin: origin(&packages), value: Value::Dict(packages) }];
    if let Some(python) = dependencies.python {
        let value = Value::Text(python.specifiers.to_string());
        entries.push(Entry { key: "python".to_owned(), value, origin: python.origin });
    }
    Ok(Value::Dict(entries))
}

fn relocate(value: &mut Value, at: &Origin) {
    if let Value::Dict(entries) = value {
        for entry in entries {
            entry.origin = at.clone();
            relocate(&mut entry.value, at);
        }
    }
}

/// A path in a folder, `.` and `..` resolved where that is possible.
fn relative(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
