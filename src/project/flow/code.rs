//! What `flow.py` says: its class with everything that it inherits, its steps and decorators.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr};
use ruff_python_ast::{Expr, ModModule, Stmt, StmtClassDef};

use super::ancestry::{Ancestor, ClassId};
use super::class::{ClassCode, Member, StepCode};
use super::decorator::{Ask, Effect};
use super::evaluator::Evaluator;
use super::files::Files;
use super::names::{Names, Scope};
use super::reader::Reader;
use super::syntax::with_module;
use crate::model::{Origin, Warning};
use crate::project::Error;

/// Modules outside of projects whose decorators and classes bring no packages.
const KNOWN_OUTSIDE: [&str; 9] = [
    "metaflow",
    "obproject",
    "abc",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "functools",
    "typing",
];

/// A flow as its code states it.
#[derive(Debug)]
pub(super) struct FlowCode {
    /// The line of its class.
    pub line: u32,
    /// The class's name.
    pub class: String,
    /// Whether it subclasses `ProjectFlow`; otherwise `FlowSpec`.
    pub is_project_flow: bool,
    /// `@pypi_base`.
    pub pypi_base: Option<Ask>,
    /// `@conda_base` or `@anaconda_base`.
    pub conda_base: Option<Ask>,
    /// Why the decorators of its classes cannot be known, if so.
    pub unknown: Option<Error>,
    /// Its steps: `start`, then the others in source order, those that it inherits first.
    pub steps: Vec<Step>,
    /// The files that are read for its configurations and included files, relative to the project.
    pub reads: BTreeSet<String>,
}

/// One step.
#[derive(Debug)]
pub(super) struct Step {
    pub name: String,
    /// `@pypi`.
    pub pypi: Option<Ask>,
    /// `@conda` or `@anaconda`.
    pub conda: Option<Ask>,
    /// `image` of `@kubernetes`, or else of `@batch`.
    pub image: Option<(String, Origin)>,
    /// Why its decorators cannot be known, if so.
    pub unknown: Option<Error>,
}

/// Reads the one flow of a file.
pub(super) fn read(file: &str, text: &str, files: &Files<'_>) -> Result<FlowCode, Error> {
    let (class, ancestry, mut classes) = with_module(file, text, |module, lines| {
        let names = Names::of(module, lines);
        let reader = Reader { file, text, names: &names, lines, files, imports: 0 };
        let (class, ancestry) = reader.flow_class(module)?;
        let classes = reader.classes(&ancestry);
        Ok((class, ancestry, classes))
    })?;
    let origin = Origin { file: file.to_owned(), line: files.head(&class).map(|head| head.line) };
    let mut inherited: Vec<&str> = Vec::new();
    for ancestor in &ancestry {
        match ancestor {
            Ancestor::Class(id) if id.file != file && !inherited.contains(&id.file.as_str()) => {
                inherited.push(&id.file);
                classes.extend(files.open(&id.file, &origin, 1, |reader, _| Ok(reader.classes(&ancestry)))?);
            }
            Ancestor::Outside(dotted) => warn_of_outside(files, &origin, &class.name, dotted),
            _ => {}
        }
    }
    if let Some(error) = files.broken() {
        return Err(error);
    }
    // The modules in the order in which Python finishes reading them: the furthest base first.
    let mut modules = inherited;
    modules.reverse();
    modules.push(file);
    assemble(&class, &ancestry, classes, &modules, files, origin)
}

/// Lays the classes over each other as Python does.
fn assemble(
    class: &ClassId,
    ancestry: &[Ancestor],
    mut classes: BTreeMap<ClassId, ClassCode>,
    modules: &[&str],
    files: &Files<'_>,
    origin: Origin,
) -> Result<FlowCode, Error> {
    let mut flow = FlowCode {
        line: origin.line.unwrap_or(1),
        class: class.name.clone(),
        is_project_flow: ancestry.contains(&Ancestor::ProjectFlow),
        pypi_base: None,
        conda_base: None,
        unknown: None,
        steps: Vec::new(),
        reads: BTreeSet::new(),
    };
    let mut seen = BTreeSet::new();
    let mut steps = Vec::new();
    for ancestor in ancestry {
        let Ancestor::Class(id) = ancestor else { continue };
        let Some(ClassCode { effects, members }) = classes.remove(id) else { continue };
        for effect in effects {
            match effect {
                Err(error) => drop(flow.unknown.get_or_insert(error)),
                Ok(Effect::Ask(name, ask)) => match name.as_str() {
                    "pypi_base" => once(&mut flow.pypi_base, &name, ask)?,
                    "conda_base" | "anaconda_base" => once(&mut flow.conda_base, &name, ask)?,
                    _ => {
                        let problem = format!(
                            "@{name} is for steps, and decorates the class `{}`: the platform refuses it too",
                            id.name
                        );
                        let hint = Some("write @pypi_base or @conda_base, or decorate each step");
                        flow.unknown.get_or_insert(Error::Invalid { origin: ask.origin, problem, hint });
                    }
                },
                Ok(Effect::Foreign(dotted)) => warn_of_outside(files, &origin, &id.name, &dotted),
                Ok(_) => {}
            }
        }
        let module = modules.iter().position(|module| *module == id.file);
        // Of one name in one class, the last counts.
        for (name, line, member) in members.into_iter().rev() {
            if !seen.insert(name.clone()) {
                continue;
            }
            match member {
                Member::Step(code) => steps.push(((module, line), step(name, code, files)?)),
                Member::File(file) => drop(flow.reads.insert(file)),
                Member::Other => {}
            }
        }
    }
    // Every flow begins with `start`, wherever that stands: its environment is the flow's own.
    steps.sort_by_key(|(place, step)| (step.name != "start", *place));
    flow.steps = steps.into_iter().map(|(_, step)| step).collect();
    if flow.steps.is_empty() {
        let problem = format!("flow `{}` has no steps (methods with @step)", flow.class);
        return Err(Error::Flow { origin, problem });
    }
    Ok(flow)
}

fn step(name: String, code: StepCode, files: &Files<'_>) -> Result<Step, Error> {
    let mut step = Step { name, pypi: None, conda: None, image: None, unknown: None };
    let mut batch = None;
    for effect in code.effects {
        match effect {
            Err(error) => drop(step.unknown.get_or_insert(error)),
            Ok(Effect::Ask(name, ask)) => match name.as_str() {
                "pypi" => once(&mut step.pypi, &name, ask)?,
                "conda" | "anaconda" => once(&mut step.conda, &name, ask)?,
                _ => {}
            },
            Ok(Effect::Image(name, image)) if name == "batch" => batch = image,
            Ok(Effect::Image(_, image)) => step.image = image,
            Ok(Effect::Foreign(dotted)) => {
                warn_of_outside(files, &code.origin, &step.name, &dotted);
            }
            Ok(Effect::Step) => {}
        }
    }
    step.image = step.image.or(batch);
    Ok(step)
}

/// A decorator that may be there once.
fn once(slot: &mut Option<Ask>, name: &str, ask: Ask) -> Result<(), Error> {
    match slot {
        Some(first) => {
            // What comes later in the file is the one too many.
            let (origin, other) = if first.origin.file == ask.origin.file && first.origin > ask.origin {
                (first.origin.clone(), ask.origin)
            } else {
                (ask.origin, first.origin.clone())
            };
            Err(Error::DuplicateDecorator { origin, name: name.to_owned(), other })
        }
        None => {
            *slot = Some(ask);
            Ok(())
        }
    }
}

/// Warns of a class or decorator that cannot be read.
fn warn_of_outside(files: &Files<'_>, origin: &Origin, user: &str, dotted: &str) {
    let root = dotted.split('.').next().unwrap_or(dotted);
    if !KNOWN_OUTSIDE.contains(&root) {
        let message = format!(
            "`{user}` uses `{dotted}`, which is not in the project: steps or packages that it adds are not seen"
        );
        files.warn(Warning::at(origin.clone(), message));
    }
}

impl<'a> Reader<'a> {
    /// The class that is the flow, and what it inherits from. Where classes inherit from each other, it is the last heir;
    /// where that leaves several, the one that the module calls (`if __name__ == "__main__": MyFlow()`).
    fn flow_class(&self, module: &'a ModModule) -> Result<(ClassId, Vec<Ancestor>), Error> {
        let mut flows = Vec::new();
        let mut strange = None;
        for class in module.body.iter().filter_map(Stmt::as_class_def_stmt) {
            let id = ClassId { file: self.file.to_owned(), name: class.name.to_string() };
            let head = self.head(class)?;
            let origin = Origin::line(self.file, head.line);
            self.files.put_head(id.clone(), head);
            let ancestry = self.files.ancestry(&id, &origin)?;
            if ancestry.iter().any(|a| matches!(a, Ancestor::ProjectFlow | Ancestor::FlowSpec)) {
                flows.retain(|(known, _): &(ClassId, _)| *known != id);
                flows.push((id, ancestry));
            } else if let Some(outside) = ancestry.iter().find_map(|ancestor| match ancestor {
                Ancestor::Outside(dotted) => Some(format!("`{dotted}`, which is not in the project")),
                Ancestor::Computed(at) => Some(format!("what is known only when the code runs ({at})")),
                _ => None,
            }) {
                strange = Some((origin, class, outside));
            }
        }
        let inherited: BTreeSet<ClassId> = flows
            .iter()
            .flat_map(|(_, ancestry)| ancestry.iter().skip(1))
            .filter_map(|ancestor| match ancestor {
                Ancestor::Class(id) => Some(id.clone()),
                _ => None,
            })
            .collect();
        flows.retain(|(id, _)| !inherited.contains(id));
        if flows.len() > 1 {
            let mut calls = Calls::default();
            let statements =
                module.body.iter().filter(|s| !s.is_class_def_stmt() && !s.is_function_def_stmt());
            statements.for_each(|stmt| calls.visit_stmt(stmt));
            if flows.iter().any(|(id, _)| calls.0.contains(id.name.as_str())) {
                flows.retain(|(id, _)| calls.0.contains(id.name.as_str()));
            }
        }
        let line = flows.last().and_then(|(id, _)| self.files.head(id)).map(|head| head.line);
        let names: Vec<_> = flows.iter().map(|(id, _)| format!("`{}`", id.name)).collect();
        let mut origin = Origin { file: self.file.to_owned(), line };
        let problem = match (flows.pop(), names.len(), strange) {
            (Some(only), 1, _) => return Ok(only),
            (None, _, Some((at, class, outside))) => {
                origin = at;
                format!(
                    "no class here subclasses ProjectFlow or FlowSpec; `{}` inherits from {outside}",
                    class.name
                )
            }
            (None, ..) => "no class here subclasses ProjectFlow or FlowSpec".to_owned(),
            _ => format!("several flows in one file: {}", names.join(", ")),
        };
        Err(Error::Flow { origin, problem })
    }

    /// The contents of those of the classes that this module defines.
    fn classes(&self, ancestry: &[Ancestor]) -> BTreeMap<ClassId, ClassCode> {
        let here = ancestry.iter().filter_map(|ancestor| match ancestor {
            Ancestor::Class(id) if id.file == self.file => Some((id, self.class(&id.name)?)),
            _ => None,
        });
        let (ids, classes): (Vec<&ClassId>, Vec<&StmtClassDef>) = here.unzip();
        let scopes: Vec<_> = classes.iter().map(|class| Scope::of(&class.body, self.lines)).collect();
        let others = ancestry.iter().filter_map(|ancestor| match ancestor {
            Ancestor::Class(id) if id.file != self.file => Some(id.clone()),
            _ => None,
        });
        let others: Vec<ClassId> = others.collect();
        let code = classes.iter().zip(&scopes).map(|(class, scope)| {
            let outside = Evaluator { flow: &scopes, inherited: &others, ..self.evaluator() };
            let inside =
                Evaluator { class: Some(scope), flow: &scopes, inherited: &others, ..self.evaluator() };
            self.contents(class, &inside, &outside)
        });
        ids.into_iter().cloned().zip(code).collect()
    }
}

/// The names that are called.
#[derive(Default)]
struct Calls<'a>(BTreeSet<&'a str>);

impl<'a> Visitor<'a> for Calls<'a> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Expr::Name(name) = &*call.func
        {
            self.0.insert(&name.id);
        }
        walk_expr(self, expr);
    }
}
