//! The body of a class: its steps, and what decorates it and them.

use std::sync::PoisonError;

use ruff_python_ast::{Decorator, Expr, Stmt, StmtClassDef, StmtFunctionDef};

use super::decorator::{Decorated, Effect, Use};
use super::evaluator::Evaluator;
use super::files::Files;
use super::names::Binding;
use super::reader::{Reader, Target, called};
use super::syntax::line_of;
use crate::model::Origin;
use crate::project::Error;

/// What a class says.
#[derive(Debug)]
pub(super) struct ClassCode {
    /// What its decorators do; an error matters only if nothing stands in for them.
    pub effects: Vec<Result<Effect, Error>>,
    /// The names that its body binds, with their lines.
    pub members: Vec<(String, u32, Member)>,
}

/// What a name of a class is.
#[derive(Debug)]
pub(super) enum Member {
    Step(StepCode),
    /// A configuration or an included file: the file that is read for it, relative to the project.
    File(String),
    Other,
}

/// A step as its decorators state it.
#[derive(Debug)]
pub(super) struct StepCode {
    pub origin: Origin,
    pub effects: Vec<Result<Effect, Error>>,
}

impl<'a> Reader<'a> {
    /// A class of this module.
    pub fn class(&self, name: &str) -> Option<&'a StmtClassDef> {
        match self.names.scope.get(name) {
            Some(Binding::Class(class)) => Some(class),
            _ => None,
        }
    }

    /// The contents of a class: `inside` evaluates in its body, `outside` in the module.
    pub fn contents(
        &self,
        class: &StmtClassDef,
        inside: &Evaluator<'_>,
        outside: &Evaluator<'_>,
    ) -> ClassCode {
        let place = Decorated::Flow(&class.name);
        let effects = self.all_effects(&class.decorator_list, place, outside);
        let mut members = Vec::new();
        for stmt in &class.body {
            let line = line_of(self.lines, stmt);
            match stmt {
                Stmt::FunctionDef(function) => {
                    let line = self.lines.at(function.name.range.start().to_usize());
                    let name = function.name.as_str();
                    members.push((name.to_owned(), line, self.member(name, function, inside)));
                }
                // `train = shared_train`
                Stmt::Assign(assign) => {
                    let read = inside.file_of(&assign.value);
                    for target in &assign.targets {
                        if let (Expr::Name(name), Some(file)) = (target, &read) {
                            members.push((name.id.to_string(), line, Member::File(file.clone())));
                        } else if let Expr::Name(name) = target {
                            let target = match &*assign.value {
                                value @ (Expr::Name(_) | Expr::Attribute(_)) => self.target(value).ok(),
                                _ => None,
                            };
                            let member = self.foreign(&name.id, target, &self.at(stmt));
                            members.push((name.id.to_string(), line, member));
                        }
                    }
                }
                Stmt::AnnAssign(assign) => {
                    if let (Expr::Name(name), Some(value)) = (&*assign.target, &assign.value) {
                        let member = inside.file_of(value).map_or(Member::Other, Member::File);
                        members.push((name.id.to_string(), line, member));
                    }
                }
                // `from steps import train`
                Stmt::ImportFrom(import) => {
                    let module = import.module.as_ref().map_or("", |module| module.as_str());
                    for alias in &import.names {
                        let name = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
                        let dotted = format!("{module}.{}", alias.name.as_str());
                        let dotted = dotted.trim_start_matches('.').to_owned();
                        let import = super::names::Import { dotted, level: import.level, unclear: false };
                        let target = self.imported(&import);
                        members.push((
                            name.to_owned(),
                            line,
                            self.foreign(name, Some(target), &self.at(stmt)),
                        ));
                    }
                }
                _ => {}
            }
        }
        ClassCode { effects, members }
    }

    /// What a method is.
    fn member(&self, name: &str, function: &StmtFunctionDef, evaluator: &Evaluator<'_>) -> Member {
        if !self.is_step(function) {
            return Member::Other;
        }
        let effects = self.all_effects(&function.decorator_list, Decorated::Step(name), evaluator);
        Member::Step(StepCode { origin: self.at(&function.name), effects })
    }

    /// What a name of a class is that stands for something from elsewhere.
    fn foreign(&self, name: &str, target: Option<Target<'_>>, named: &Origin) -> Member {
        match target {
            Some(Target::Function(function)) => self.member(name, function, &self.evaluator()),
            Some(Target::Project { file, name: theirs }) => {
                let found = self.files.open(&file, named, self.imports + 1, |reader, _| {
                    Ok(reader.foreign(name, Some(reader.name(&theirs, named)?), named))
                });
                found.unwrap_or_else(|error| {
                    // Whether it is a step is not known; that the module cannot be read is.
                    let mut broken = self.files.broken.lock().unwrap_or_else(PoisonError::into_inner);
                    broken.get_or_insert(error);
                    Member::Other
                })
            }
            _ => Member::Other,
        }
    }

    /// Whether a function has `@step`, directly or by a wrapper of the project.
    fn is_step(&self, function: &StmtFunctionDef) -> bool {
        let evaluator = self.evaluator();
        function.decorator_list.iter().any(|decorator| {
            let (called, _) = called(&decorator.expression);
            match self.names.imported(called) {
                Some("step") => return true,
                // The platform's own decorators, which are the most of all.
                Some("pypi" | "conda" | "kubernetes" | "resources" | "retry" | "card" | "batch") => {
                    return false;
                }
                _ => {}
            }
            let origin = self.at(decorator);
            let of = Use { place: Decorated::Step(&function.name), origin: &origin, name: "", depth: 0 };
            let effects = self.effects(&decorator.expression, of, &evaluator);
            effects.is_ok_and(|effects| effects.iter().any(|effect| matches!(effect, Effect::Step)))
        })
    }

    /// What all decorators of something do.
    fn all_effects(
        &self,
        decorators: &[Decorator],
        place: Decorated<'_>,
        evaluator: &Evaluator<'_>,
    ) -> Vec<Result<Effect, Error>> {
        let mut all = Vec::new();
        for decorator in decorators {
            let (function, _) = called(&decorator.expression);
            let name = &self.text[ruff_text_size::Ranged::range(function)];
            let name: String = name.chars().take(60).collect();
            let origin = self.at(decorator);
            let of = Use { place, origin: &origin, name: &name, depth: 0 };
            match self.effects(&decorator.expression, of, evaluator) {
                Ok(effects) => all.extend(effects.into_iter().map(Ok)),
                Err(error) => all.push(Err(error)),
            }
        }
        all
    }
}

impl Files<'_> {
    /// What went wrong with a module of which it is not known whether it matters.
    pub fn broken(&self) -> Option<Error> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
