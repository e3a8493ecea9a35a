//! What the names of a module stand for: imports with their aliases, and constants that are bound exactly once.

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_stmt};
use ruff_python_ast::{Expr, ExprContext, ModModule, Stmt, StmtClassDef, StmtFunctionDef};

use super::syntax::line_of;
use crate::project::source::Lines;

/// Methods that change a dictionary or list in place.
const MUTATORS: [&str; 11] = [
    "update",
    "pop",
    "popitem",
    "setdefault",
    "clear",
    "append",
    "extend",
    "insert",
    "remove",
    "sort",
    "__setitem__",
];

/// What a name is bound to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Binding<'a> {
    /// An assignment of this value.
    Value(&'a Expr),
    Class(&'a StmtClassDef),
    Function(&'a StmtFunctionDef),
    /// Something else, or more than one thing; the line of the second.
    Unclear(u32),
}

/// What an imported name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The dotted name of a module or of something in it, without the dots of a relative import.
    pub dotted: String,
    /// How many dots a relative import begins with.
    pub level: u32,
    /// Whether other imports give the name another meaning.
    pub unclear: bool,
}

/// The names of one scope: a module's, or a class body's.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    bindings: BTreeMap<&'a str, Binding<'a>>,
    /// The values that are assigned to each name; `None` where it is bound to something else as well.
    values: BTreeMap<&'a str, Option<Vec<&'a Expr>>>,
}

impl<'a> Scope<'a> {
    /// The names that the statements of a class body bind.
    pub fn of(body: &'a [Stmt], lines: &Lines) -> Self {
        let mut collector = Collector {
            lines,
            scope: Self::default(),
            imports: BTreeMap::new(),
            stars: Vec::new(),
            nested: 0,
        };
        body.iter().for_each(|stmt| collector.visit_stmt(stmt));
        collector.scope
    }

    pub fn get(&self, name: &str) -> Option<Binding<'a>> {
        self.bindings.get(name).copied()
    }

    /// The values that a name may have; none where it may be something else as well.
    pub fn alternatives(&self, name: &str) -> &[&'a Expr] {
        self.values.get(name).and_then(Option::as_deref).unwrap_or_default()
    }

    /// The `Config("NAME", …)` of that name.
    pub fn config(&self, name: &str, names: &Names<'_>) -> Option<&'a Expr> {
        self.bindings.values().find_map(|binding| {
            let Binding::Value(expr @ Expr::Call(call)) = binding else { return None };
            let given = call.arguments.find_argument_value("name", 0)?.as_string_literal_expr()?;
            let is_config = names.imported(&call.func) == Some("Config");
            (is_config && given.value.to_str() == name).then_some(*expr)
        })
    }

    fn bind(&mut self, name: &'a str, binding: Binding<'a>, line: u32) {
        let values = self.values.entry(name).or_insert_with(|| Some(Vec::new()));
        match (binding, values) {
            (Binding::Value(value), Some(values)) => values.push(value),
            (_, values) => *values = None,
        }
        self.bindings.entry(name).and_modify(|known| *known = Binding::Unclear(line)).or_insert(binding);
    }

    /// Says that a name may have another value, or none.
    fn unsure(&mut self, name: &'a str, line: u32) {
        self.bindings.insert(name, Binding::Unclear(line));
    }
}

/// The names of a module.
pub(super) struct Names<'a> {
    pub scope: Scope<'a>,
    /// Imported names and what they stand for.
    imports: BTreeMap<&'a str, Import>,
    /// The modules of `from … import *`, in order.
    pub stars: Vec<Import>,
    /// Names whose values are changed in place, with a line that does so.
    mutated: BTreeMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    pub fn of(module: &'a ModModule, lines: &Lines) -> Self {
        let mut collector = Collector {
            lines,
            scope: Scope::default(),
            imports: BTreeMap::new(),
            stars: Vec::new(),
            nested: 0,
        };
        let mut mutations = Mutations { lines, found: BTreeMap::new(), locals: Vec::new() };
        for stmt in &module.body {
            collector.visit_stmt(stmt);
            mutations.visit_stmt(stmt);
        }
        let Collector { scope, imports, stars, .. } = collector;
        Self { scope, imports, stars, mutated: mutations.found }
    }

    /// The last part of the name that an expression stands for, imports and aliases followed: `mf.pypi` after `import
    /// metaflow as mf` is `pypi`. `None` for what this module defines itself.
    pub fn imported<'e: 'o, 'o>(&'o self, expr: &'e Expr) -> Option<&'o str> {
        match expr {
            Expr::Name(name) => match self.imports.get(name.id.as_str()) {
                Some(import) => import.dotted.rsplit('.').next(),
                None if !self.stars.is_empty() && self.scope.get(&name.id).is_none() => Some(&name.id),
                None => None,
            },
            // Any attribute of something imported.
            Expr::Attribute(attribute) => self.imported(&attribute.value).map(|_| attribute.attr.as_str()),
            _ => None,
        }
    }

    /// The line that changes the value of `name` in place, if one does.
    pub fn mutated(&self, name: &str) -> Option<u32> {
        self.mutated.get(name).copied()
    }

    /// The imported module or object a name stands for.
    pub fn import(&self, name: &str) -> Option<&Import> {
        self.imports.get(name)
    }

    /// The import that an expression leads to, attributes appended: `mf.pypi` after `import metaflow as mf` is
    /// `metaflow.pypi`. `None` for what this module defines itself.
    pub fn reference(&self, expr: &Expr) -> Option<Import> {
        match expr {
            Expr::Name(name) => self.imports.get(name.id.as_str()).cloned(),
            Expr::Attribute(attribute) => {
                let mut import = self.reference(&attribute.value)?;
                import.dotted.push('.');
                import.dotted.push_str(&attribute.attr);
                Some(import)
            }
            _ => None,
        }
    }

    /// The dotted name of an expression, imports and aliases followed; as written where nothing is imported.
    pub fn dotted(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Name(name) => Some(match self.imports.get(name.id.as_str()) {
                Some(import) => import.dotted.clone(),
                None => name.id.to_string(),
            }),
            Expr::Attribute(attribute) => {
                self.dotted(&attribute.value).map(|base| format!("{base}.{}", attribute.attr))
            }
            _ => None,
        }
    }
}

/// Collects bindings and imports, not entering functions and classes.
struct Collector<'a, 'l> {
    lines: &'l Lines,
    scope: Scope<'a>,
    imports: BTreeMap<&'a str, Import>,
    stars: Vec<Import>,
    /// How many conditional statements are around.
    nested: usize,
}

impl<'a> Collector<'a, '_> {
    fn import(&mut self, name: &'a str, dotted: String, level: u32) {
        let known = self.imports.get(name);
        let unclear =
            known.is_some_and(|known| known.unclear || known.dotted != dotted || known.level != level);
        self.imports.insert(name, Import { dotted, level, unclear });
    }

    fn target(&mut self, target: &'a Expr, binding: Binding<'a>) {
        let line = line_of(self.lines, target);
        match target {
            Expr::Name(name) => {
                self.scope.bind(&name.id, binding, line);
                if self.nested > 0 {
                    self.scope.unsure(&name.id, line);
                }
            }
            Expr::Tuple(tuple) => {
                tuple.elts.iter().for_each(|element| self.target(element, Binding::Unclear(line)));
            }
            Expr::List(list) => {
                list.elts.iter().for_each(|element| self.target(element, Binding::Unclear(line)))
            }
            Expr::Starred(starred) => self.target(&starred.value, Binding::Unclear(line)),
            _ => {}
        }
    }
}

impl<'a> Visitor<'a> for Collector<'a, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let line = line_of(self.lines, stmt);
        match stmt {
            Stmt::Assign(assign) => {
                assign.targets.iter().for_each(|target| self.target(target, Binding::Value(&assign.value)));
            }
            Stmt::AnnAssign(assign) => {
                if let Some(value) = &assign.value {
                    self.target(&assign.target, Binding::Value(value));
                }
            }
            Stmt::AugAssign(assign) => {
                self.target(&assign.target, Binding::Unclear(line));
            }
            Stmt::FunctionDef(function) => {
                self.scope.bind(function.name.as_str(), Binding::Function(function), line);
            }
            Stmt::ClassDef(class) => self.scope.bind(class.name.as_str(), Binding::Class(class), line),
            Stmt::Import(import) => {
                for alias in &import.names {
                    let dotted = alias.name.as_str();
                    match &alias.asname {
                        Some(name) => self.import(name.as_str(), dotted.to_owned(), 0),
                        None => {
                            let first = dotted.split('.').next().unwrap_or(dotted);
                            self.import(first, first.to_owned(), 0);
                        }
                    }
                }
            }
            Stmt::ImportFrom(import) => {
                let module =
                    import.module.as_ref().map_or_else(String::new, |module| format!("{}.", module.as_str()));
                for alias in &import.names {
                    if alias.name.as_str() == "*" {
                        let dotted = module.trim_end_matches('.').to_owned();
                        self.stars.push(Import { dotted, level: import.level, unclear: false });
                        continue;
                    }
                    let name = alias.asname.as_ref().unwrap_or(&alias.name);
                    self.import(name.as_str(), format!("{module}{}", alias.name.as_str()), import.level);
                }
            }
            Stmt::For(each) => {
                self.target(&each.target, Binding::Unclear(line));
                self.nested += 1;
                walk_stmt(self, stmt);
                self.nested -= 1;
            }
            Stmt::Delete(delete) => {
                delete.targets.iter().for_each(|target| self.target(target, Binding::Unclear(line)));
            }
            Stmt::If(_) | Stmt::While(_) | Stmt::Try(_) | Stmt::With(_) | Stmt::Match(_) => {
                self.nested += 1;
                walk_stmt(self, stmt);
                self.nested -= 1;
            }
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        // `with … as NAME`, `(NAME := …)`.
        if let Expr::Name(name) = expr
            && name.ctx == ExprContext::Store
        {
            let line = line_of(self.lines, expr);
            self.scope.bind(&name.id, Binding::Unclear(line), line);
        }
        if !matches!(expr, Expr::Lambda(_)) {
            walk_expr(self, expr);
        }
    }
}

/// Finds names of the module whose values are changed in place, anywhere.
struct Mutations<'a, 'l> {
    lines: &'l Lines,
    found: BTreeMap<&'a str, u32>,
    /// The local names of the functions around: they hide the module's.
    locals: Vec<BTreeSet<&'a str>>,
}

impl<'a> Mutations<'a, '_> {
    fn note(&mut self, expr: &'a Expr, line: u32) {
        let mut expr = expr;
        loop {
            expr = match expr {
                Expr::Subscript(subscript) => &subscript.value,
                Expr::Attribute(attribute) => &attribute.value,
                _ => break,
            };
        }
        if let Expr::Name(name) = expr
            && self.locals.iter().all(|names| !names.contains(name.id.as_str()))
        {
            self.found.entry(&name.id).or_insert(line);
        }
    }

    fn target(&mut self, target: &'a Expr) {
        if matches!(target, Expr::Subscript(_) | Expr::Attribute(_)) {
            self.note(target, line_of(self.lines, target));
        }
    }
}

impl<'a> Visitor<'a> for Mutations<'a, '_> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        let line = line_of(self.lines, stmt);
        match stmt {
            Stmt::FunctionDef(function) => {
                let mut locals = Locals::default();
                function.body.iter().for_each(|stmt| locals.visit_stmt(stmt));
                let mut names = locals.stored;
                names.extend(function.parameters.iter().map(|p| p.name().as_str()));
                for (global, line) in &locals.globals {
                    names.remove(global);
                    self.found.entry(global).or_insert(line_of(self.lines, *line));
                }
                self.locals.push(names);
                walk_stmt(self, stmt);
                self.locals.pop();
                return;
            }
            Stmt::Assign(assign) => assign.targets.iter().for_each(|target| self.target(target)),
            Stmt::AugAssign(assign) => self.note(&assign.target, line),
            Stmt::Delete(delete) => delete.targets.iter().for_each(|target| self.target(target)),
            _ => {}
        }
        walk_stmt(self, stmt);
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Call(call) = expr
            && let Expr::Attribute(method) = &*call.func
            && MUTATORS.contains(&method.attr.as_str())
        {
            self.note(&method.value, line_of(self.lines, expr));
        }
        walk_expr(self, expr);
    }
}

/// The names that a function's body binds.
pub(super) fn stored(function: &StmtFunctionDef) -> BTreeSet<&str> {
    let mut locals = Locals::default();
    function.body.iter().for_each(|stmt| locals.visit_stmt(stmt));
    locals.stored
}

#[derive(Default)]
struct Locals<'a> {
    stored: BTreeSet<&'a str>,
    globals: Vec<(&'a str, &'a Stmt)>,
}

impl<'a> Visitor<'a> for Locals<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::Global(global) => {
                self.globals.extend(global.names.iter().map(|name| (name.as_str(), stmt)));
            }
            Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {}
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        if let Expr::Name(name) = expr
            && name.ctx == ExprContext::Store
        {
            self.stored.insert(&name.id);
        }
        walk_expr(self, expr);
    }
}
