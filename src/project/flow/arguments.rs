//! The arguments of a call, and what they give a function's parameters.

use ruff_python_ast::{Expr, ExprCall, Parameters};

use super::evaluator::Evaluator;
use super::reader::Reader;
use super::value::{Entry, Given, Unknown, Value, put};
use crate::model::Origin;

/// The arguments of a call, as far as they are known.
pub(super) struct Arguments {
    /// Where they are given.
    pub origin: Origin,
    pub positional: Vec<Result<Value, Unknown>>,
    pub keywords: Vec<Given>,
    /// Why some of them are not told, if so: they are unpacked.
    pub unpacked: Option<Unknown>,
}

impl Arguments {
    pub fn none(origin: Origin) -> Self {
        Self { origin, positional: Vec::new(), keywords: Vec::new(), unpacked: None }
    }

    /// The arguments of a call, evaluated where they stand.
    pub fn of(call: &ExprCall, evaluator: &Evaluator<'_>, depth: usize) -> Self {
        let mut found = Self::none(evaluator.origin(call));
        for argument in &call.arguments.args {
            match argument {
                Expr::Starred(starred) => match evaluator.items(&starred.value, depth) {
                    Ok(values) => found.positional.extend(values.into_iter().map(Ok)),
                    Err(unknown) => {
                        found.unpacked = Some(unknown);
                        break;
                    }
                },
                argument => found.positional.push(evaluator.eval(argument, depth)),
            }
        }
        for keyword in &call.arguments.keywords {
            match &keyword.arg {
                Some(name) => found.keywords.push((name.to_string(), evaluator.eval(&keyword.value, depth))),
                None => match evaluator.dict(&keyword.value, depth) {
                    Ok(entries) => {
                        found.keywords.extend(entries.into_iter().map(|entry| (entry.key, Ok(entry.value))));
                    }
                    Err(unknown) => found.unpacked = Some(unknown),
                },
            }
        }
        found
    }

    /// Whether Python would refuse them for these parameters.
    pub fn are_refused(&self, parameters: &Parameters) -> bool {
        let places = parameters.posonlyargs.len() + parameters.args.len();
        let is_known = |name: &str| {
            let named = parameters.args.iter().chain(&parameters.kwonlyargs);
            named.into_iter().any(|parameter| parameter.name().as_str() == name)
        };
        let too_many = self.positional.len() > places && parameters.vararg.is_none();
        let missing = parameters.iter_non_variadic_params().enumerate().any(|(place, parameter)| {
            let given = place < places && place < self.positional.len()
                || self.keywords.iter().any(|(name, _)| name == parameter.name().as_str());
            !given && parameter.default().is_none() && self.unpacked.is_none()
        });
        let unknown = parameters.kwarg.is_none() && self.keywords.iter().any(|(name, _)| !is_known(name));
        too_many || missing || unknown
    }
}

impl Reader<'_> {
    /// The values of a function's parameters; nobody knows those of a function that is called later.
    pub fn parameters(&self, parameters: &Parameters, given: Option<&Arguments>) -> Vec<Given> {
        let places = parameters.posonlyargs.len() + parameters.args.len();
        let unknown = |name: &str, at: &dyn Fn() -> Origin| Unknown {
            origin: at(),
            reason: format!("`{name}` is a parameter"),
        };
        let mut values: Vec<Given> = Vec::new();
        for (place, parameter) in parameters.iter_non_variadic_params().enumerate() {
            let name = parameter.name().to_string();
            let unknown = || unknown(&name, &|| self.at(&parameter.parameter));
            let value = given.map_or_else(
                || Err(unknown()),
                |given| {
                    let keyword = given.keywords.iter().find(|(known, _)| *known == name);
                    let placed = given.positional.get(place).filter(|_| place < places);
                    match (placed, keyword, &given.unpacked, parameter.default()) {
                        (Some(value), ..) => value.clone(),
                        (None, Some((_, value)), ..) => value.clone(),
                        (None, None, Some(unpacked), _) => Err(unpacked.clone()),
                        (None, None, None, Some(default)) => self.evaluator().value(default),
                        _ => Err(unknown()),
                    }
                },
            );
            values.push((name, value));
        }
        let rest = |name: &str, find: &dyn Fn(&Arguments) -> Result<Value, Unknown>| match given {
            None => Err(unknown(name, &|| self.at(parameters))),
            Some(Arguments { unpacked: Some(unpacked), .. }) => Err(unpacked.clone()),
            Some(given) => find(given),
        };
        if let Some(parameter) = &parameters.vararg {
            let value = rest(&parameter.name, &|given| {
                given.positional.iter().skip(places).cloned().collect::<Result<_, _>>().map(Value::Tuple)
            });
            values.push((parameter.name.to_string(), value));
        }
        if let Some(parameter) = &parameters.kwarg {
            let value = rest(&parameter.name, &|given| {
                let mut entries = Vec::new();
                for (key, value) in &given.keywords {
                    if values.iter().all(|(name, _)| name != key) {
                        let (key, value, origin) = (key.clone(), value.clone()?, given.origin.clone());
                        put(&mut entries, Entry { key, value, origin });
                    }
                }
                Ok(Value::Dict(entries))
            });
            values.push((parameter.name.to_string(), value));
        }
        values
    }
}
