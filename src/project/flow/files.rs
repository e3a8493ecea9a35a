//! Other files of the project that the values of a flow come from: modules, and the files of configurations.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::names::{Names, Scope};
use super::syntax::with_module;
use super::value::{Evaluator, Unknown, Value};
use crate::model::Origin;
use crate::project::Error;
use crate::project::source::Root;

/// How many modules may import each other in a row.
const MAX_IMPORTS: usize = 16;
/// How many bytes are parsed for the values of one flow.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The files that the values of one flow may come from.
pub(super) struct Files<'r> {
    pub root: &'r Root,
    /// The flow's folder.
    pub folder: &'r str,
    /// Files that the project chooses for configurations, by the configurations' names.
    pub configs: &'r BTreeMap<String, (String, Origin)>,
    known: Mutex<BTreeMap<(String, String), Result<Value, Unknown>>>,
    /// Bytes parsed.
    parsed: Mutex<usize>,
}

impl<'r> Files<'r> {
    pub fn new(root: &'r Root, folder: &'r str, configs: &'r BTreeMap<String, (String, Origin)>) -> Self {
        Self { root, folder, configs, known: Mutex::default(), parsed: Mutex::default() }
    }

    /// The file of a module of the project, and how many parts of the dotted name lead to it. Modules are looked for as
    /// the platform runs a flow: beside it, in the project, in `src/`.
    pub fn module(&self, from: &str, level: u32, dotted: &[&str]) -> Option<(String, usize)> {
        let mut folders = vec![self.folder, "", "src"];
        if level > 0 {
            let mut package = from;
            for _ in 0..level {
                package = package.rsplit_once('/')?.0;
            }
            folders = vec![package];
        }
        let is_name = |part: &&str| part.chars().all(|c| c.is_alphanumeric() || c == '_') && !part.is_empty();
        let usable = dotted.iter().take_while(|part| is_name(part)).count();
        for folder in folders {
            let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            for used in (usize::from(level == 0)..=usable).rev() {
                let path = dotted[..used].join("/");
                let package = if path.is_empty() { String::new() } else { format!("{path}/") };
                let files = [format!("{start}{package}__init__.py"), format!("{start}{path}.py")];
                if let Some(file) = files.into_iter().find(|file| self.root.is_file(file)) {
                    return Some((file, used));
                }
            }
        }
        None
    }

    /// The value of a constant of a module.
    pub fn constant(
        &self,
        file: &str,
        name: &str,
        imports: usize,
        named: impl Fn() -> Origin,
    ) -> Result<Value, Unknown> {
        if imports > MAX_IMPORTS {
            return Err(Unknown {
                origin: named(),
                reason: "modules import each other without end".to_owned(),
            });
        }
        let at = named();
        self.remembered((file.to_owned(), name.to_owned()), || {
            let text = self.text(file, &at)?;
            let found = with_module(file, &text, |module, lines| {
                let names = Names::of(module, lines);
                let class = Scope::default();
                let mut evaluator = Evaluator::new(file, &names, &class, &[], lines, self);
                evaluator.imports = imports;
                Ok(evaluator.name(name, || at.clone(), 0))
            });
            found.map_err(|error| unknown(&error, &at))?
        })
    }

    /// What was found for a key before, or now.
    pub fn remembered(
        &self,
        key: (String, String),
        find: impl FnOnce() -> Result<Value, Unknown>,
    ) -> Result<Value, Unknown> {
        if let Some(value) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return value.clone();
        }
        let value = find();
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        value
    }

    /// The text of a file.
    pub fn text(&self, file: &str, named: &Origin) -> Result<String, Unknown> {
        let text = self.root.read(file, Some(named)).map_err(|error| unknown(&error, named))?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        *parsed += text.len();
        if *parsed > MAX_BYTES {
            let reason = format!("more than {MAX_BYTES} bytes would have to be parsed");
            return Err(Unknown { origin: named.clone(), reason });
        }
        Ok(text)
    }
}

/// An error in another file, as the reason why a value is not known.
pub(super) fn unknown(error: &Error, named: &Origin) -> Unknown {
    // What is wrong with the naming itself is told at its own place already.
    let text = error.to_string();
    let reason = text.strip_prefix(&format!("{named}: ")).unwrap_or(&text).to_owned();
    Unknown { origin: named.clone(), reason }
}
