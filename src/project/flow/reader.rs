//! A module being read, and what its names stand for as decorators and base classes.

use ruff_python_ast::{Expr, ExprCall, StmtClassDef, StmtFunctionDef};

use super::decorator::Decorated;
use super::evaluator::Evaluator;
use super::files::{Files, Place};
use super::names::{Binding, Import, Names};
use super::syntax::line_of;
use super::value::Value;
use crate::model::Origin;
use crate::project::Error;
use crate::project::source::Lines;

/// A module being read.
pub(super) struct Reader<'a> {
    pub file: &'a str,
    pub text: &'a str,
    pub names: &'a Names<'a>,
    pub lines: &'a Lines,
    pub files: &'a Files<'a>,
    /// How many imports led here.
    pub imports: usize,
}

/// What a name of a module stands for.
pub(super) enum Target<'a> {
    /// The value of an assignment.
    Value(&'a Expr),
    Class(&'a StmtClassDef),
    Function(&'a StmtFunctionDef),
    /// Something of another module of the project.
    Project {
        file: String,
        name: String,
    },
    /// Something that is not in the project, by its dotted name.
    Outside(String),
    /// Nothing that can be told without running the code.
    Unclear,
}

impl<'a> Reader<'a> {
    /// The place of something in this file.
    pub fn at(&self, node: &impl ruff_text_size::Ranged) -> Origin {
        Origin::line(self.file, line_of(self.lines, node))
    }

    /// An evaluator for expressions of this module, outside of classes.
    pub fn evaluator(&self) -> Evaluator<'_> {
        Evaluator::new(self)
    }

    /// What an expression stands for: a name, or an attribute of a module.
    pub fn target(&self, expr: &Expr) -> Result<Target<'a>, Error> {
        match (self.names.reference(expr), expr) {
            (Some(import), _) => Ok(self.imported(&import)),
            (None, Expr::Name(name)) => self.name(&name.id, &self.at(expr)),
            (None, _) => Ok(Target::Unclear),
        }
    }

    /// What a name of this module stands for, be it imported or defined here.
    pub fn name(&self, name: &str, named: &Origin) -> Result<Target<'a>, Error> {
        if let Some(import) = self.names.import(name) {
            return Ok(self.imported(import));
        }
        match self.names.scope.get(name) {
            Some(Binding::Value(value)) => return Ok(Target::Value(value)),
            Some(Binding::Class(class)) => return Ok(Target::Class(class)),
            Some(Binding::Function(function)) => return Ok(Target::Function(function)),
            Some(Binding::Unclear(_)) => return Ok(Target::Unclear),
            None => {}
        }
        let mut outside = None;
        for star in &self.names.stars {
            let import = Import { dotted: format!("{}.{name}", star.dotted), ..star.clone() };
            match self.files.place(self.file, &import) {
                Place::Project { file, name }
                    if self.files.gives(&file, &name, named, self.imports + 1)? =>
                {
                    return Ok(Target::Project { file, name });
                }
                // What several modules outside may give is most likely the platform's.
                Place::Outside(dotted) if outside.is_none() || dotted.starts_with("metaflow.") => {
                    outside = Some(dotted);
                }
                _ => {}
            }
        }
        Ok(outside.map_or(Target::Unclear, Target::Outside))
    }

    /// What an import stands for.
    pub fn imported(&self, import: &Import) -> Target<'a> {
        match self.files.place(self.file, import) {
            Place::Project { file, name } => Target::Project { file, name },
            Place::Outside(dotted) => Target::Outside(dotted),
            Place::Other => Target::Unclear,
        }
    }

    /// Whether a name is imported or defined here.
    pub fn knows(&self, name: &str) -> Result<bool, Error> {
        if self.names.import(name).is_some() || self.names.scope.get(name).is_some() {
            return Ok(true);
        }
        for star in &self.names.stars {
            let import = Import { dotted: format!("{}.{name}", star.dotted), ..star.clone() };
            if let Place::Project { file, name } = self.files.place(self.file, &import)
                && self.files.gives(&file, &name, &Origin::file(self.file), self.imports + 1)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The value of an expression. `what` says what it is for.
    pub fn value(
        &self,
        expr: &Expr,
        what: &str,
        place: Decorated<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Result<Value, Error> {
        let value = evaluator.value(expr);
        value.map_err(|unknown| self.not_static(place, unknown.origin, what.to_owned(), unknown.reason))
    }

    /// The error of something that only running the code could tell.
    pub fn not_static(&self, place: Decorated<'_>, origin: Origin, what: String, reason: String) -> Error {
        let flow = self.files.folder.rsplit('/').next().unwrap_or(self.files.folder);
        let table = match place {
            Decorated::Flow(_) => format!("bakehouse.flows.{flow}"),
            Decorated::Step(step) => format!("bakehouse.flows.{flow}.steps.{step}"),
        };
        Error::NotStatic { origin, what, reason, table }
    }
}

/// The function of a call, and the call; any other expression itself.
pub(super) fn called(expr: &Expr) -> (&Expr, Option<&ExprCall>) {
    match expr {
        Expr::Call(call) => (&call.func, Some(call)),
        other => (other, None),
    }
}

/// The last part of a dotted name.
pub(super) fn last_part(dotted: &str) -> &str {
    dotted.rsplit('.').next().unwrap_or(dotted)
}
