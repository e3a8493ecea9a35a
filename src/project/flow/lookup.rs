//! The values that names and attributes stand for: what is bound here, and what is imported from modules of the project.

use ruff_python_ast::{Expr, ExprAttribute};
use ruff_text_size::{Ranged, TextRange};

use super::evaluator::Evaluator;
use super::files::{Place, unknown};
use super::names::{Binding, Import};
use super::value::{Unknown, Value, entry};
use crate::model::Origin;

impl<'a> Evaluator<'a> {
    /// The value of a name.
    pub fn name(&self, name: &str, origin: impl Fn() -> Origin, depth: usize) -> Result<Value, Unknown> {
        let not_known = |reason: String| Err(Unknown { origin: origin(), reason });
        let (names, files) = (self.reader.names, self.reader.files);
        if let Some(value) = self.local(name) {
            return self
                .charge(value.clone()?, &TextRange::default())
                .map_err(|error| self.moved(error, origin));
        }
        if self.by_config_name {
            if let Some(config) = self.flow.iter().find_map(|scope| scope.config(name, names)) {
                return self.elsewhere(config, depth);
            }
            for class in self.inherited {
                if let Some(value) = files.configuration(class, name, &origin(), self.reader.imports + 1) {
                    return value;
                }
            }
        }
        if name == "__file__" && self.bound(name).is_none() {
            return Ok(self.own_path());
        }
        if let Some(at) = names.mutated(name) {
            return not_known(format!("`{name}` is changed on line {at}"));
        }
        let import = names.import(name);
        match (self.bound(name), import) {
            (Some(_), Some(_)) => not_known(format!("`{name}` is both imported and assigned")),
            (Some(Binding::Value(value)), _) => self.elsewhere(value, depth),
            (Some(Binding::Unclear(at)), _) => {
                not_known(format!("`{name}` is bound more than once (line {at})"))
            }
            (Some(Binding::Class(_) | Binding::Function(_)), _) => {
                not_known(format!("`{name}` is no constant"))
            }
            (None, Some(import)) => match self.imported(import, &[], &TextRange::default()) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => not_known(format!("`{name}` is imported (`{}`)", import.dotted)),
                Err(error) => Err(self.moved(error, origin)),
            },
            (None, None) => match self.starred(name, &origin())? {
                Some(value) => Ok(value),
                None => not_known(format!("`{name}` is not a constant of this file")),
            },
        }
    }

    /// What a function or comprehension around binds a name to.
    pub fn local(&self, name: &str) -> Option<&'a Result<Value, Unknown>> {
        self.given.and_then(|given| given.get(name))
    }

    /// `module.NAME`, `config.key`.
    pub fn attribute(&self, attribute: &ExprAttribute, depth: usize) -> Result<Value, Unknown> {
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
            && self.local(&name.id).is_none()
            && self.bound(&name.id).is_none()
            && let Some(import) = self.reader.names.import(&name.id)
        {
            names.reverse();
            let reason = match self.reader.names.mutated(&name.id) {
                Some(line) => format!("`{}` is changed on line {line}", name.id),
                None => match self.imported(import, &names, attribute)? {
                    Some(value) => return Ok(value),
                    None => format!("`{}` is imported (`{}`)", name.id, import.dotted),
                },
            };
            return Err(self.unknown(attribute, reason));
        }
        let entries = self.dict(&attribute.value, depth)?;
        entry(entries, attribute.attr.as_str(), || self.origin(attribute))
    }

    /// The value of something imported, if it is from a module of the project.
    fn imported(&self, import: &Import, names: &[&str], at: &impl Ranged) -> Result<Option<Value>, Unknown> {
        let origin = || self.origin(at);
        if import.unclear {
            return Err(self.unknown(at, format!("`{}` is imported in several ways", import.dotted)));
        }
        let files = self.reader.files;
        let dotted: Vec<&str> = import.dotted.split('.').chain(names.iter().copied()).collect();
        let Some((file, used)) = files.module(self.reader.file, import.level, &dotted) else {
            return Ok(None);
        };
        let Some((name, keys)) = dotted[used..].split_first() else {
            return Err(self.unknown(at, format!("`{}` is a module", dotted.join("."))));
        };
        let mut value = files.constant(&file, name, self.reader.imports + 1, origin)?;
        for key in keys {
            let Value::Dict(entries) = value else {
                let reason = format!("`{name}` is {}, without attributes", value.type_name());
                return Err(self.unknown(at, reason));
            };
            value = entry(entries, key, origin)?;
        }
        self.charge(value, at).map(Some)
    }

    /// The value of a name that `from … import *` of a module of the project gives.
    fn starred(&self, name: &str, origin: &Origin) -> Result<Option<Value>, Unknown> {
        let (files, imports) = (self.reader.files, self.reader.imports + 1);
        for star in self.reader.names.stars.iter().rev() {
            let import = Import { dotted: format!("{}.{name}", star.dotted), ..star.clone() };
            if let Place::Project { file, name } = files.place(self.reader.file, &import) {
                let gives = files.gives(&file, &name, origin, imports);
                if gives.map_err(|error| unknown(&error, origin))? {
                    let value = files.constant(&file, &name, imports, || origin.clone())?;
                    let charged = self.charge(value, &TextRange::default());
                    return charged.map(Some).map_err(|error| self.moved(error, || origin.clone()));
                }
            }
        }
        Ok(None)
    }

    fn bound(&self, name: &str) -> Option<Binding<'a>> {
        let in_class = self.class.and_then(|class| class.get(name));
        in_class.or_else(|| self.reader.names.scope.get(name))
    }

    /// The value of an expression in the file's own tree, which has its own line; what a function around binds is not
    /// seen from there.
    fn elsewhere(&self, expr: &Expr, depth: usize) -> Result<Value, Unknown> {
        let outside = Self { given: None, by_config_name: false, line: None.into(), ..*self };
        outside.eval(expr, depth)
    }

    /// An error that has no place of its own in this file, told at another.
    fn moved(&self, mut error: Unknown, origin: impl Fn() -> Origin) -> Unknown {
        if error.origin.file == self.reader.file {
            error.origin = origin();
        }
        error
    }
}
