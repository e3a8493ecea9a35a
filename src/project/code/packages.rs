//! Python packages: what can be imported from a folder, and which of it the platform brings along.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use ruff_python_ast::{Expr, Stmt};

use super::ignore::Ignore;
use super::walk::{Found, Rules, Walk, join};
use super::{LeftOut, Reason, SOURCE};
use crate::model::{Origin, Warning};
use crate::project::Error;
use crate::project::flow::with_module;

/// The variable by which a package asks to be brought along, and its value.
const POLICY: (&str, &str) = ("METAFLOW_PACKAGE_POLICY", "include");
/// The most bytes of a module that is read.
const MAX_MODULE: u64 = 1024 * 1024;
/// How deep, and among how many entries, Python files are looked for in a folder without `__init__.py`.
const MAX_DEPTH: usize = 6;
const MAX_ENTRIES: usize = 10_000;

/// Something that can be imported by one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Importable {
    pub name: String,
    /// The folder or file in its folder.
    pub file_name: String,
    /// The file that would have the policy, in the same folder.
    pub module: String,
    /// Whether it, or if it is no regular package something in it, has the policy.
    pub has_policy: bool,
}

/// The packages and modules of `src/`, with all their files. The platform brings those with the policy to flows; the
/// others are taken too, for with them a flow runs that would not without.
pub(super) fn source(root: &Path, ignore: &Ignore) -> Result<Found, Error> {
    let folder = root.join(SOURCE);
    let mut rules = Rules { hidden: true, ..Rules::default() };
    let mut skipped = Vec::new();
    let mut warnings = Vec::new();
    if !folder.join("__init__.py").is_file() {
        for name in names(&folder) {
            let path = join(SOURCE, &name);
            match importable(&folder, &name) {
                Some(importable) if !importable.has_policy => {
                    warnings.push(no_policy(&join(SOURCE, &importable.module)));
                }
                Some(_) => {}
                None => {
                    skipped.push(path.clone());
                }
            }
        }
    }
    rules.skipped = skipped.into_iter().collect();
    let mut found = Walk::run(root, SOURCE, ignore, &rules)?;
    found.warnings.extend(warnings);
    let data: Vec<&LeftOut> = found.left_out.iter().filter(|out| out.reason == Reason::NoPackage).collect();
    if let Some(first) = data.iter().find(|out| out.path.ends_with('/')) {
        let message = "it holds no Python module: it is left out, as the platform's client leaves it out";
        found.warnings.push(Warning::at(Origin::file(first.path.trim_end_matches('/')), message));
    }
    Ok(found)
}

/// The warning that the platform does not bring a package or module, by the file that would say so.
pub(super) fn no_policy(file: &str) -> Warning {
    let message = "it has no METAFLOW_PACKAGE_POLICY = 'include': it is in the image, but the platform's client does not \
                   bring it to flows";
    Warning::at(Origin::file(file), message)
}

/// The names in a folder that are UTF-8, sorted; none if there is no such folder.
pub(super) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What an entry of a folder can be imported as, if it can be.
pub(super) fn importable(folder: &Path, file_name: &str) -> Option<Importable> {
    let path = folder.join(file_name);
    let (name, module) = match file_name.strip_suffix(".py") {
        Some(name) if path.is_file() => (name, file_name.to_owned()),
        _ if !path.is_dir() => return None,
        _ if path.join("__init__.py").is_file() => (file_name, format!("{file_name}/__init__.py")),
        _ => (file_name, file_name.to_owned()),
    };
    let is_name = name
        .chars()
        .enumerate()
        .all(|(at, c)| c == '_' || if at == 0 { c.is_alphabetic() } else { c.is_alphanumeric() });
    if name.is_empty() || !is_name || name == "__pycache__" {
        return None;
    }
    let has_policy = if module == file_name && path.is_dir() {
        let mut left = MAX_ENTRIES;
        // No package of its own: what is in it counts.
        namespace(&path, 0, &mut left)?
    } else {
        facts(&folder.join(&module)).is_some_and(|facts| facts.has_policy)
    };
    Some(Importable { name: name.to_owned(), file_name: file_name.to_owned(), module, has_policy })
}

/// Whether a folder without `__init__.py` holds something with the policy; `None` if it holds no module at all.
fn namespace(folder: &Path, depth: usize, left: &mut usize) -> Option<bool> {
    if depth > MAX_DEPTH {
        return None;
    }
    let mut found = None;
    for name in names(folder).iter().filter(|name| !name.starts_with('.')) {
        *left = left.checked_sub(1)?;
        let path = folder.join(name);
        let here = if name.ends_with(".py") && path.is_file() {
            Some(facts(&path).is_some_and(|facts| facts.has_policy))
        } else if !path.is_dir() {
            None
        } else if path.join("__init__.py").is_file() {
            Some(facts(&path.join("__init__.py")).is_some_and(|facts| facts.has_policy))
        } else {
            namespace(&path, depth + 1, left)
        };
        found = found.max(here);
    }
    found
}

/// What a module's text tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub has_policy: bool,
    /// The first names of what it imports, wherever in it.
    pub imports: BTreeSet<String>,
}

/// Reads a module; `None` if it cannot be read, or is no Python.
pub(super) fn facts(path: &Path) -> Option<Facts> {
    let text = read(path)?;
    if !text.contains("import") && !text.contains(POLICY.0) {
        return Some(Facts::default());
    }
    let file = path.to_string_lossy();
    with_module(&file, &text, |module, _| {
        let has_policy = module.body.iter().filter_map(policy).next_back() == Some(true);
        let mut imports = Imports::default();
        ruff_python_ast::statement_visitor::StatementVisitor::visit_body(&mut imports, &module.body);
        Ok(Facts { has_policy, imports: imports.0 })
    })
    .ok()
}

fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_MODULE + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= MAX_MODULE).then_some(text)
}

/// Whether a statement gives the policy its value, and the one that counts.
fn policy(statement: &Stmt) -> Option<bool> {
    let (targets, value): (&[Expr], &Expr) = match statement {
        Stmt::Assign(assign) => (&assign.targets, &assign.value),
        Stmt::AnnAssign(assign) => (std::slice::from_ref(&*assign.target), assign.value.as_deref()?),
        _ => return None,
    };
    let is_policy = |target: &Expr| target.as_name_expr().is_some_and(|name| name.id == POLICY.0);
    targets
        .iter()
        .any(is_policy)
        .then(|| value.as_string_literal_expr().is_some_and(|text| text.value.to_str() == POLICY.1))
}

#[derive(Default)]
struct Imports(BTreeSet<String>);

impl Imports {
    fn add(&mut self, dotted: &str) {
        self.0.extend(dotted.split('.').next().map(str::to_owned));
    }
}

impl ruff_python_ast::statement_visitor::StatementVisitor<'_> for Imports {
    fn visit_stmt(&mut self, statement: &Stmt) {
        match statement {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.add(&alias.name)),
            Stmt::ImportFrom(import) if import.level == 0 => {
                if let Some(module) = &import.module {
                    self.add(module);
                }
            }
            other => ruff_python_ast::statement_visitor::walk_stmt(self, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_and_imports_are_read_without_running() {
        let directory = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            let path = directory.path().join("m.py");
            fs::write(&path, text).unwrap();
            facts(&path).unwrap()
        };
        for text in [
            "METAFLOW_PACKAGE_POLICY = 'include'",
            "'''Doc.'''\nimport x\nMETAFLOW_PACKAGE_POLICY: str = \"include\"\n",
            "METAFLOW_PACKAGE_POLICY = 'exclude'\nMETAFLOW_PACKAGE_POLICY = 'include'",
        ] {
            assert!(read(text).has_policy, "{text}");
        }
        for text in [
            "",
            "# METAFLOW_PACKAGE_POLICY = 'include'",
            "METAFLOW_PACKAGE_POLICY = 'exclude'",
            "def f():\n  METAFLOW_PACKAGE_POLICY = 'include'",
        ] {
            assert!(!read(text).has_policy, "{text}");
        }
        let facts = read(
            "import a.b, c as d\nfrom e.f import g\nfrom . import h\ndef s(self):\n  if x:\n    from i import j\n",
        );
        assert_eq!(facts.imports.into_iter().collect::<Vec<_>>(), ["a", "c", "e", "i"]);
    }
}
