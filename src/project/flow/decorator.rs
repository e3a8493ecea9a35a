//! Decorators: what `@pypi`, `@conda` and `@kubernetes` say, directly or wrapped by the project's own names.

use std::fmt;

use ruff_python_ast::{Expr, ExprCall};

use super::arguments::Arguments;
use super::evaluator::Evaluator;
use super::hidden::Hidden;
use super::names::Binding;
use super::reader::{Reader, Target, called, last_part};
use super::value::{Entry, Value, put};
use crate::model::Origin;
use crate::project::Error;

/// How many names and functions may wrap each other.
const MAX_WRAPPERS: usize = 16;

/// What a decorator does.
#[derive(Debug)]
pub(super) enum Effect {
    /// It makes a step.
    Step,
    /// It asks for packages: `pypi`, `conda_base` and their like.
    Ask(String, Ask),
    /// It names an image: `kubernetes`, `batch`.
    Image(String, Option<(String, Origin)>),
    /// Nobody here knows: it is from outside of the project. The dotted name.
    Foreign(String),
}

/// What one decorator asks for.
#[derive(Debug)]
pub(super) struct Ask {
    pub origin: Origin,
    pub disabled: Option<bool>,
    /// What it says besides; an error matters only where it is not disabled.
    pub content: Result<Content, Error>,
}

/// The packages that a decorator names.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Names and versions, and where they are.
    pub packages: Vec<(String, String, Origin)>,
    pub python: Option<(String, Origin)>,
    /// Conda channels.
    pub channels: Option<Vec<String>>,
}

/// What is decorated: a flow's class, or a step.
#[derive(Clone, Copy)]
pub(super) enum Decorated<'u> {
    Flow(&'u str),
    Step(&'u str),
}

impl fmt::Display for Decorated<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow(name) => write!(f, "flow `{name}`"),
            Self::Step(name) => write!(f, "step `{name}`"),
        }
    }
}

/// What is decorated, and where.
#[derive(Clone, Copy)]
pub(super) struct Use<'u> {
    pub place: Decorated<'u>,
    pub origin: &'u Origin,
    /// The decorator as it is written there.
    pub name: &'u str,
    /// How many wrappers were followed.
    pub depth: usize,
}

/// How a decorator is written: `@gpu`, or `@gpu(memory=1)` with its arguments.
pub(super) type Called<'c> = Option<&'c Arguments>;

/// What the function of a decorator is.
pub(super) enum Meaning {
    /// Something that is not of the project, by its dotted name; and the arguments that it is given already.
    Known(String, Vec<Entry>),
    /// A wrapper that does this.
    Effects(Vec<Effect>),
}

impl Reader<'_> {
    /// What a decorator does; several things if it is a wrapper of several.
    pub fn effects(&self, expr: &Expr, of: Use<'_>, evaluator: &Evaluator<'_>) -> Result<Vec<Effect>, Error> {
        let (function, call) = called(expr);
        // `base = pypi(…)` in the class itself, used as `@base`.
        if let (Expr::Name(name), None) = (function, call)
            && let Some(Binding::Value(value)) = evaluator.class.and_then(|class| class.get(&name.id))
        {
            let of = self.deeper(of)?;
            return self.effects(value, of, evaluator);
        }
        let target = self.target(function)?;
        let given = match (&target, call) {
            // Whatever the platform's own decorators are given is read by their names.
            (Target::Outside(_), Some(_)) => Some(Arguments::none(of.origin.clone())),
            (_, call) => call.map(|call| Arguments::of(call, evaluator, 0)),
        };
        match self.meaning(target, given.as_ref(), of)? {
            Meaning::Effects(effects) => Ok(effects),
            Meaning::Known(dotted, given) => self.known(&dotted, given, call, of, evaluator),
        }
    }

    pub(super) fn meaning(
        &self,
        target: Target<'_>,
        called: Called<'_>,
        of: Use<'_>,
    ) -> Result<Meaning, Error> {
        let of = self.deeper(of)?;
        match target {
            Target::Outside(dotted) => Ok(Meaning::Known(dotted, Vec::new())),
            Target::Project { file, name } => {
                self.files.open(&file, of.origin, self.imports + 1, |reader, _| {
                    reader.meaning(reader.name(&name, of.origin)?, called, of)
                })
            }
            // `base = pypi(…)`, used as `@base`.
            Target::Value(value) if called.is_none() => {
                self.effects(value, of, &self.evaluator()).map(Meaning::Effects)
            }
            Target::Value(value @ (Expr::Name(_) | Expr::Attribute(_))) => {
                self.meaning(self.target(value)?, called, of)
            }
            // `base = partial(pypi, …)`, used as `@base(…)`.
            Target::Value(value @ Expr::Call(call)) if self.is_partial(call) => self.partial(value, call, of),
            Target::Value(value) => self.hidden(Hidden::Value(value), of),
            Target::Function(function) => self.wrapper(function, called, of),
            Target::Class(class) => match self.mutator(class, of) {
                Some(effects) => effects.map(Meaning::Effects),
                None => self.hidden(Hidden::Class(class), of),
            },
            Target::Unclear => Ok(Meaning::Effects(Vec::new())),
        }
    }

    fn is_partial(&self, call: &ExprCall) -> bool {
        self.names.reference(&call.func).is_some_and(|import| import.dotted == "functools.partial")
    }

    fn partial(&self, value: &Expr, call: &ExprCall, of: Use<'_>) -> Result<Meaning, Error> {
        let [function] = &*call.arguments.args else { return self.hidden(Hidden::Value(value), of) };
        match self.meaning(self.target(function)?, Some(&Arguments::none(of.origin.clone())), of)? {
            Meaning::Known(dotted, mut given) => {
                let evaluator = self.evaluator();
                let more = self.keywords(last_part(&dotted), Some(call), of.place, &evaluator, 1)?;
                more.into_iter().for_each(|entry| put(&mut given, entry));
                Ok(Meaning::Known(dotted, given))
            }
            effects => Ok(effects),
        }
    }

    /// One of the platform's own decorators.
    pub(super) fn known(
        &self,
        dotted: &str,
        given: Vec<Entry>,
        call: Option<&ExprCall>,
        of: Use<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Result<Vec<Effect>, Error> {
        let name = last_part(dotted);
        Ok(vec![match name {
            "step" => Effect::Step,
            "pypi" | "pypi_base" | "conda" | "conda_base" | "anaconda" | "anaconda_base" => {
                let origin = match call {
                    Some(call) => Origin::line(self.file, evaluator.origin(call).line.unwrap_or(1)),
                    None => of.origin.clone(),
                };
                Effect::Ask(name.to_owned(), self.ask(name, given, call, origin, of.place, evaluator)?)
            }
            "kubernetes" | "batch" => {
                let found = match self.image(name, call, of.place, evaluator)? {
                    None => self.given_image(name, &given, of.place)?,
                    found => found,
                };
                Effect::Image(name.to_owned(), found)
            }
            _ => Effect::Foreign(dotted.to_owned()),
        }])
    }

    /// The arguments of `@pypi` and its like.
    fn ask(
        &self,
        name: &str,
        given: Vec<Entry>,
        call: Option<&ExprCall>,
        origin: Origin,
        place: Decorated<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Result<Ask, Error> {
        // Whether it is disabled matters even where the rest is not understood.
        let disabled = call.and_then(|call| call.arguments.find_keyword("disabled"));
        let disabled = disabled.and_then(|disabled| match evaluator.value(&disabled.value) {
            Ok(Value::Bool(disabled)) => Some(disabled),
            _ => None,
        });
        let mut entries = given;
        match self.keywords(name, call, place, evaluator, 0) {
            Ok(more) => more.into_iter().for_each(|entry| put(&mut entries, entry)),
            Err(error) => return Ok(Ask { origin, disabled, content: Err(error) }),
        }
        let mut ask = Ask { origin, disabled: None, content: Ok(Content::default()) };
        if let Some(at) = entries.iter().position(|entry| entry.key == "disabled") {
            let Entry { value, origin, .. } = entries.remove(at);
            ask.disabled = match value {
                Value::None => None,
                Value::Bool(disabled) => Some(disabled),
                other => {
                    let what = format!("`disabled` of @{name} of {place}");
                    let problem = format!("{what} is {}, not True or False", other.type_name());
                    return Err(Error::invalid(origin, problem));
                }
            };
        }
        ask.content = content(name, entries, place);
        Ok(ask)
    }

    fn image(
        &self,
        name: &str,
        call: Option<&ExprCall>,
        place: Decorated<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Result<Option<(String, Origin)>, Error> {
        let keyword = call.and_then(|call| call.arguments.find_keyword("image"));
        let Some(keyword) = keyword else {
            // Among unpacked values there may be one as well.
            for keyword in call.iter().flat_map(|call| &call.arguments.keywords).filter(|k| k.arg.is_none()) {
                let what = format!("the arguments of @{name} of {place}");
                if let Value::Dict(entries) = self.value(&keyword.value, &what, place, evaluator)?
                    && let Some(found) = self.given_image(name, &entries, place)?
                {
                    return Ok(Some(found));
                }
            }
            return Ok(None);
        };
        let what = format!("`image` of @{name} of {place}");
        let value = self.value(&keyword.value, &what, place, evaluator)?;
        image_of(value, evaluator.origin(keyword), &what)
    }

    fn given_image(
        &self,
        name: &str,
        given: &[Entry],
        place: Decorated<'_>,
    ) -> Result<Option<(String, Origin)>, Error> {
        match given.iter().find(|entry| entry.key == "image") {
            Some(entry) => {
                let what = format!("`image` of @{name} of {place}");
                image_of(entry.value.clone(), entry.origin.clone(), &what)
            }
            None => Ok(None),
        }
    }

    fn deeper<'u>(&self, of: Use<'u>) -> Result<Use<'u>, Error> {
        if of.depth >= MAX_WRAPPERS {
            let what = format!("what `@{}` does to {}", of.name, of.place);
            let reason = "too many names and functions stand for each other".to_owned();
            return Err(self.not_static(of.place, of.origin.clone(), what, reason));
        }
        Ok(Use { depth: of.depth + 1, ..of })
    }

    /// The keyword arguments of a call, dictionaries unpacked. Only the first `positional` others are allowed.
    fn keywords(
        &self,
        name: &str,
        call: Option<&ExprCall>,
        place: Decorated<'_>,
        evaluator: &Evaluator<'_>,
        positional: usize,
    ) -> Result<Vec<Entry>, Error> {
        let Some(call) = call else { return Ok(Vec::new()) };
        let what = format!("the arguments of @{name} of {place}");
        if let Some(first) = call.arguments.args.get(positional) {
            let reason = "they are not given by keyword".to_owned();
            return Err(self.not_static(place, evaluator.origin(first), what, reason));
        }
        let mut found = Vec::new();
        for keyword in &call.arguments.keywords {
            match &keyword.arg {
                Some(arg) => {
                    let what = format!("`{arg}` of @{name} of {place}");
                    let value = self.value(&keyword.value, &what, place, evaluator)?;
                    let origin = evaluator.origin(&keyword.value);
                    found.push(Entry { key: arg.to_string(), value, origin });
                }
                None => match self.value(&keyword.value, &what, place, evaluator)? {
                    Value::Dict(entries) => found.extend(entries),
                    other => {
                        let problem =
                            format!("{what} are unpacked from {}, not a dictionary", other.type_name());
                        return Err(Error::invalid(evaluator.origin(&keyword.value), problem));
                    }
                },
            }
        }
        Ok(found)
    }
}

fn image_of(value: Value, origin: Origin, what: &str) -> Result<Option<(String, Origin)>, Error> {
    match value {
        Value::Text(image) => Ok(Some((image, origin))),
        Value::None => Ok(None),
        other => Err(Error::invalid(origin, format!("{what} is {}, not a string", other.type_name()))),
    }
}

/// The packages, Python and channels among the arguments of a decorator.
fn content(name: &str, entries: Vec<Entry>, place: Decorated<'_>) -> Result<Content, Error> {
    let is_conda = name.contains("conda");
    let mut content = Content::default();
    let mut libraries = Vec::new();
    for Entry { key, value, origin } in entries {
        let what = format!("`{key}` of @{name} of {place}");
        let wrong = |value: &Value, expected: &str| {
            Error::invalid(origin.clone(), format!("{what} is {}, not {expected}", value.type_name()))
        };
        match (key.as_str(), value) {
            (_, Value::None) => {}
            ("packages", Value::Dict(entries)) => {
                content.packages =
                    entries.into_iter().map(|e| package(e, &what)).collect::<Result<_, _>>()?;
            }
            ("libraries", Value::Dict(entries)) if is_conda => {
                libraries = entries.into_iter().map(|e| package(e, &what)).collect::<Result<_, _>>()?;
            }
            ("packages" | "libraries", other) => return Err(wrong(&other, "a dictionary")),
            ("python", Value::Text(python)) => content.python = Some((python, origin)),
            ("python", other) => return Err(wrong(&other, "a string: put the version in quotes")),
            ("channels", Value::List(list)) if is_conda => {
                let texts = list.into_iter().map(|value| match value {
                    Value::Text(text) => Ok(text),
                    other => Err(wrong(&other, "a list of strings")),
                });
                content.channels = Some(texts.collect::<Result<_, _>>()?);
            }
            ("channels", other) if is_conda => return Err(wrong(&other, "a list")),
            ("extra_configs", _) if is_conda => {}
            _ => {
                let hint = if is_conda {
                    "only `packages`, `libraries`, `channels`, `python` and `disabled` are read"
                } else {
                    "only `packages`, `python` and `disabled` are read"
                };
                return Err(Error::Unsupported { origin, what, hint });
            }
        }
    }
    // Of one name, `packages` counts.
    libraries.retain(|(name, ..)| content.packages.iter().all(|(known, ..)| known != name));
    libraries.append(&mut content.packages);
    content.packages = libraries;
    Ok(content)
}

fn package(entry: Entry, what: &str) -> Result<(String, String, Origin), Error> {
    let Entry { key, value, origin } = entry;
    match value {
        Value::Text(version) => Ok((key, version, origin)),
        other => {
            let key = key.escape_debug();
            let problem = format!("the version of `{key}` in {what} is {}, not a string", other.type_name());
            Err(Error::Invalid { origin, problem, hint: Some("put the version in quotes") })
        }
    }
}
