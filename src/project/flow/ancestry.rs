//! What a class inherits from, across the modules of the project, in the order in which Python looks things up.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use ruff_python_ast::{Expr, StmtClassDef};

use super::files::Files;
use super::reader::{Reader, Target, last_part};
use super::syntax::line_of;
use crate::model::Origin;
use crate::project::Error;

/// How many classes a flow may inherit from.
const MAX_ANCESTORS: usize = 64;
/// How many names may stand for each other in a row.
const MAX_ALIASES: usize = 16;

/// A class of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClassId {
    pub file: String,
    pub name: String,
}

/// Something that a class inherits from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ancestor {
    /// The platform's class of flows that it deploys.
    ProjectFlow,
    /// The platform's class of all flows.
    FlowSpec,
    /// A class of the project.
    Class(ClassId),
    /// A class from elsewhere, by its dotted name.
    Outside(String),
    /// Whatever the code makes of it.
    Computed(Origin),
}

/// The first lines of a class.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub line: u32,
    pub bases: Vec<Ancestor>,
}

impl Reader<'_> {
    /// The head of a class of this module.
    pub fn head(&self, class: &StmtClassDef) -> Result<Head, Error> {
        let line = self.lines.at(class.name.range.start().to_usize());
        let bases = class.arguments.iter().flat_map(|arguments| &arguments.args);
        let bases = bases.map(|base| self.ancestor(base, 0)).collect::<Result<_, _>>()?;
        Ok(Head { line, bases })
    }

    /// What a base class's expression stands for.
    fn ancestor(&self, expr: &Expr, aliases: usize) -> Result<Ancestor, Error> {
        let computed = || Ok(Ancestor::Computed(self.at(expr)));
        match expr {
            // `Generic[T]`
            Expr::Subscript(subscript) if aliases < MAX_ALIASES => {
                self.ancestor(&subscript.value, aliases + 1)
            }
            Expr::Name(_) | Expr::Attribute(_) => self.resolve(self.target(expr)?, &self.at(expr), aliases),
            _ => computed(),
        }
    }

    fn resolve(&self, target: Target<'_>, named: &Origin, aliases: usize) -> Result<Ancestor, Error> {
        Ok(match target {
            Target::Outside(dotted) => match last_part(&dotted) {
                "ProjectFlow" => Ancestor::ProjectFlow,
                "FlowSpec" => Ancestor::FlowSpec,
                _ => Ancestor::Outside(dotted),
            },
            Target::Class(class) => {
                let id = ClassId { file: self.file.to_owned(), name: class.name.to_string() };
                if self.files.head(&id).is_none() {
                    // There before its bases are looked at, which may lead back here.
                    let line = line_of(self.lines, class);
                    self.files.put_head(id.clone(), Head { line, bases: Vec::new() });
                    let head = self.head(class)?;
                    self.files.put_head(id.clone(), head);
                }
                Ancestor::Class(id)
            }
            Target::Project { file, name } => {
                self.files.open(&file, named, self.imports + 1, |reader, _| {
                    reader.resolve(reader.name(&name, named)?, named, aliases)
                })?
            }
            Target::Value(value @ (Expr::Name(_) | Expr::Attribute(_))) if aliases < MAX_ALIASES => {
                self.ancestor(value, aliases + 1)?
            }
            Target::Value(_) | Target::Function(_) | Target::Unclear => Ancestor::Computed(named.clone()),
        })
    }
}

impl Files<'_> {
    /// The head of a class that something inherits from.
    pub fn head(&self, id: &ClassId) -> Option<Head> {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    pub fn put_head(&self, id: ClassId, head: Head) {
        self.heads.lock().unwrap_or_else(PoisonError::into_inner).insert(id, head);
    }

    /// A class and everything that it inherits from, in Python's order of resolution (C3).
    pub fn ancestry(&self, class: &ClassId, origin: &Origin) -> Result<Vec<Ancestor>, Error> {
        let mut known = BTreeMap::new();
        self.linear(&Ancestor::Class(class.clone()), 0, &mut known)
            .map_err(|problem| Error::Flow { origin: origin.clone(), problem: problem.to_owned() })
    }

    fn linear(
        &self,
        class: &Ancestor,
        depth: usize,
        known: &mut BTreeMap<Ancestor, Vec<Ancestor>>,
    ) -> Result<Vec<Ancestor>, &'static str> {
        if let Some(found) = known.get(class) {
            return Ok(found.clone());
        }
        if depth > MAX_ANCESTORS || known.len() > MAX_ANCESTORS {
            return Err("it inherits from too many classes");
        }
        let bases = match class {
            Ancestor::ProjectFlow => vec![Ancestor::FlowSpec],
            Ancestor::Class(id) => self.head(id).map(|head| head.bases).unwrap_or_default(),
            _ => Vec::new(),
        };
        let mut lists = Vec::new();
        for base in &bases {
            lists.push(self.linear(base, depth + 1, known)?);
        }
        lists.push(bases);
        let mut order = vec![class.clone()];
        loop {
            lists.retain(|list| !list.is_empty());
            let heads = lists.iter().filter_map(|list| list.first());
            let next =
                heads.into_iter().find(|head| lists.iter().all(|list| !list[1..].contains(head))).cloned();
            match next {
                Some(next) => {
                    lists.iter_mut().for_each(|list| list.retain(|one| *one != next));
                    order.push(next);
                }
                None if lists.is_empty() => break,
                None => return Err("its base classes cannot be put in order: Python refuses it too"),
            }
        }
        known.insert(class.clone(), order.clone());
        Ok(order)
    }
}
