//! Code that is not followed: decorators and mutators that do more than to apply others. It matters only where it may be
//! about packages or images.

use std::collections::BTreeSet;

use ruff_python_ast::visitor::{Visitor, walk_expr, walk_keyword, walk_stmt};
use ruff_python_ast::{Expr, Keyword, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::arguments::Arguments;
use super::decorator::{Effect, Meaning, Use};
use super::names::stored;
use super::reader::{Reader, Target, last_part};
use crate::project::Error;

/// The platform's decorators that choose packages or images.
pub(super) const MATTERS: [&str; 5] = ["pypi", "conda", "anaconda", "kubernetes", "batch"];

/// Whether a decorator of the platform chooses packages or images.
pub(super) fn matters(name: &str) -> bool {
    MATTERS.iter().any(|known| name.starts_with(known))
}

/// What is not followed.
#[derive(Clone, Copy)]
pub(super) enum Hidden<'h> {
    Value(&'h Expr),
    Function(&'h StmtFunctionDef),
    Class(&'h StmtClassDef),
}

impl Reader<'_> {
    /// Something whose effect is known only when it runs: an error if it seems to be about environments.
    pub(super) fn hidden(&self, hidden: Hidden<'_>, of: Use<'_>) -> Result<Meaning, Error> {
        let locals = BTreeSet::new();
        let mut search = Search { reader: self, of, packages: false, runs: false, image: false, locals };
        let (what, range) = match hidden {
            Hidden::Value(value) => {
                search.visit_expr(value);
                ("value", value.range())
            }
            Hidden::Function(function) => {
                search.inside(function);
                ("function", function.range)
            }
            Hidden::Class(class) => {
                let bases = class.arguments.iter().flat_map(|arguments| &arguments.args);
                bases.for_each(|base| search.applied(base));
                search.visit_body(&class.body);
                ("class", class.range)
            }
        };
        let about = match search {
            Search { packages: true, .. } => "uses @pypi or @conda itself",
            Search { runs: true, image: true, .. } => "names an image for @kubernetes or @batch itself",
            _ => return Ok(Meaning::Effects(Vec::new())),
        };
        let line = self.lines.at(range.start().to_usize());
        let at = if self.file == of.origin.file {
            format!("line {line}")
        } else {
            format!("{}:{line}", self.file)
        };
        let what_it_does = format!("what `@{}` does to {}", of.name, of.place);
        let reason = format!("the {what} at {at} {about}");
        Err(self.not_static(of.place, of.origin.clone(), what_it_does, reason))
    }
}

/// A search for what may be about environments.
struct Search<'s> {
    reader: &'s Reader<'s>,
    of: Use<'s>,
    /// Something about packages.
    packages: bool,
    /// Something about where steps run, and an image.
    runs: bool,
    image: bool,
    /// The names that the functions bind which were looked into.
    locals: BTreeSet<&'s str>,
}

impl<'s> Search<'s> {
    fn inside(&mut self, function: &'s StmtFunctionDef) {
        self.locals.extend(stored(function));
        self.locals.extend(function.parameters.iter().map(|parameter| parameter.name().as_str()));
        self.visit_body(&function.body);
    }

    fn word(&mut self, word: &str) {
        self.packages |= word.contains("pypi") || word.contains("conda");
        self.runs |= matches!(word, "kubernetes" | "batch");
        self.image |= word == "image";
    }

    /// A decorator that is applied, or a class that is inherited from.
    fn applied(&mut self, decorator: &Expr) {
        let is_harmless = match decorator {
            Expr::StringLiteral(name) => !matters(name.value.to_str()),
            Expr::Name(name) if self.locals.contains(name.id.as_str()) => false,
            _ => match self.reader.target(decorator) {
                Ok(Target::Outside(dotted)) => !matters(last_part(&dotted)),
                Ok(Target::Unclear) | Err(_) => false,
                Ok(target) => {
                    let arguments = Arguments::none(self.of.origin.clone());
                    match self.reader.meaning(target, Some(&arguments), self.of) {
                        Ok(Meaning::Known(dotted, _)) => !matters(last_part(&dotted)),
                        Ok(Meaning::Effects(effects)) => {
                            effects.iter().all(|effect| matches!(effect, Effect::Step | Effect::Foreign(_)))
                        }
                        Err(_) => false,
                    }
                }
            },
        };
        self.packages |= !is_harmless;
    }
}

impl<'s> Visitor<'s> for Search<'s> {
    fn visit_stmt(&mut self, stmt: &'s Stmt) {
        match stmt {
            // A docstring.
            Stmt::Expr(stmt) if stmt.value.is_string_literal_expr() => {}
            Stmt::FunctionDef(function) => {
                function.decorator_list.iter().for_each(|decorator| self.visit_decorator(decorator));
                self.inside(function);
            }
            Stmt::ImportFrom(import) => import.names.iter().for_each(|alias| self.word(&alias.name)),
            _ => walk_stmt(self, stmt),
        }
    }

    fn visit_keyword(&mut self, keyword: &'s Keyword) {
        if let Some(name) = &keyword.arg {
            self.word(name);
        }
        walk_keyword(self, keyword);
    }

    fn visit_expr(&mut self, expr: &'s Expr) {
        match expr {
            // `step.add_decorator(retry, …)`
            Expr::Call(call) => {
                let method = call.func.as_attribute_expr().map(|method| method.attr.as_str());
                if matches!(method, Some("add_decorator" | "remove_decorator")) {
                    match call.arguments.find_argument_value("deco_type", 0) {
                        Some(decorator) => self.applied(decorator),
                        None => self.packages = true,
                    }
                }
            }
            Expr::Name(name) => {
                self.word(&name.id);
                let imported = self.reader.names.imported(expr).map(str::to_owned);
                imported.into_iter().for_each(|imported| self.word(&imported));
            }
            Expr::Attribute(attribute) => self.word(&attribute.attr),
            Expr::StringLiteral(text) => self.word(text.value.to_str()),
            _ => {}
        }
        walk_expr(self, expr);
    }
}
