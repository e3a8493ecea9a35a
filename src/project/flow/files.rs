//! Other files of the project that the values of a flow come from: modules, and the files of configurations.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ruff_python_ast::ModModule;

use super::ancestry::{ClassId, Head};
use super::evaluator::Evaluator;
use super::names::{Import, Names, Scope};
use super::reader::Reader;
use super::syntax::with_module;
use super::value::{Unknown, Value};
use crate::model::{Origin, Warning};
use crate::project::Error;
use crate::project::source::Root;

/// How many modules may import each other in a row.
const MAX_IMPORTS: usize = 16;
/// How many bytes are parsed for the values of one flow.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// How many parts of values and expressions are looked at for one flow.
const MAX_WORK: usize = 2_000_000;

/// The files that the values of one flow may come from.
pub(super) struct Files<'r> {
    pub root: &'r Root,
    /// The directory of several projects that holds this one, and how its files are named: its modules can be imported.
    above: Option<(Root, String)>,
    /// The flow's folder.
    pub folder: &'r str,
    /// Files that the project chooses for configurations, by the configurations' names.
    configs: &'r BTreeMap<String, (String, Origin)>,
    /// The text of `flow.py`, where the platform's tool looks for the names of configurations.
    flow: &'r str,
    known: Mutex<BTreeMap<(String, String), Result<Value, Unknown>>>,
    /// Bytes parsed.
    parsed: Mutex<usize>,
    /// Parts of values and expressions looked at.
    work: AtomicUsize,
    /// The classes that others inherit from, as far as they were looked at.
    pub heads: Mutex<BTreeMap<ClassId, Head>>,
    /// What the flow's author should know.
    pub warnings: Mutex<Vec<Warning>>,
    /// The first error in a module of which it is not known whether it matters.
    pub broken: Mutex<Option<Error>>,
}

/// Where something that is imported comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A module of the project, in which it has this name.
    Project { file: String, name: String },
    /// Elsewhere, by its dotted name.
    Outside(String),
    /// A module as a whole, or part of an object.
    Other,
}

impl<'r> Files<'r> {
    pub fn new(
        root: &'r Root,
        folder: &'r str,
        configs: &'r BTreeMap<String, (String, Origin)>,
        flow: &'r str,
    ) -> Self {
        Self {
            root,
            above: root.above(),
            folder,
            configs,
            flow,
            known: Mutex::default(),
            parsed: Mutex::default(),
            work: AtomicUsize::default(),
            heads: Mutex::default(),
            warnings: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// The file that the project chooses for a configuration, and where it does. The platform's tool gives it only to
    /// flows in whose own text it finds the configuration's name.
    pub fn chosen(&self, config: &str) -> Option<(String, Origin)> {
        let (file, origin) = self.configs.get(config)?;
        if declares(self.flow, config) {
            return Some((file.clone(), origin.clone()));
        }
        let message = format!(
            "`{file}` is not given to the flow in {}, whose own text has no Config(\"{config}\": the platform's tool looks \
             nowhere else, so that the default is taken",
            self.folder
        );
        let warning = Warning::at(origin.clone(), message);
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
        None
    }

    /// The file of a module of the project, and how many parts of the dotted name lead to it. Modules are looked for as
    /// the platform runs a flow: beside it, in the project, in `src/`, and beside the projects where there are several.
    pub fn module(&self, from: &str, level: u32, dotted: &[&str]) -> Option<(String, usize)> {
        let mut folders = vec![self.folder, "", "src"];
        folders.extend(self.above.as_ref().map(|(_, up)| up.trim_end_matches('/')));
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
                if let Some(file) = files.into_iter().find(|file| self.is_file(file)) {
                    return Some((file, used));
                }
            }
        }
        None
    }

    /// The directory that a file is in, and its name there.
    fn place_of<'f>(&self, file: &'f str) -> (&Root, &'f str) {
        match &self.above {
            Some((above, up)) => {
                file.strip_prefix(up.as_str()).map_or((self.root, file), |file| (above, file))
            }
            None => (self.root, file),
        }
    }

    fn is_file(&self, file: &str) -> bool {
        let (root, file) = self.place_of(file);
        !file.starts_with("../") && root.is_file(file)
    }

    /// Where something comes from that the file `from` imports.
    pub fn place(&self, from: &str, import: &Import) -> Place {
        let dotted: Vec<&str> = import.dotted.split('.').collect();
        let is_platform = import.level == 0 && matches!(dotted[0], "metaflow" | "obproject");
        match (!is_platform).then(|| self.module(from, import.level, &dotted)).flatten() {
            Some((file, used)) => match dotted[used..] {
                [name] => Place::Project { file, name: name.to_owned() },
                _ => Place::Other,
            },
            None => Place::Outside(import.dotted.clone()),
        }
    }

    /// Parses a module of the project and hands it to `read`. `imports` counts how many imports led there.
    pub fn open<T: Send>(
        &self,
        file: &str,
        named: &Origin,
        imports: usize,
        read: impl FnOnce(&Reader<'_>, &ModModule) -> Result<T, Error> + Send,
    ) -> Result<T, Error> {
        if imports > MAX_IMPORTS {
            let problem = "modules import each other without end".to_owned();
            return Err(Error::Flow { origin: named.clone(), problem });
        }
        let text = self.source(file, named)?;
        with_module(file, &text, |module, lines| {
            let names = Names::of(module, lines);
            read(&Reader { file, text: &text, names: &names, lines, files: self, imports }, module)
        })
    }

    /// Whether a module of the project gives a name to whoever imports all of it.
    pub fn gives(&self, file: &str, name: &str, named: &Origin, imports: usize) -> Result<bool, Error> {
        self.open(file, named, imports, |reader, _| reader.knows(name))
    }

    /// Notes a warning.
    pub fn warn(&self, warning: Warning) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }

    /// The value of the configuration of that name in the body of a class, if there is one.
    pub fn configuration(
        &self,
        class: &ClassId,
        name: &str,
        named: &Origin,
        imports: usize,
    ) -> Option<Result<Value, Unknown>> {
        let found = self.open(&class.file, named, imports, |reader, _| {
            let Some(class) = reader.class(&class.name) else { return Ok(None) };
            let scope = Scope::of(&class.body, reader.lines);
            let evaluator = Evaluator { class: Some(&scope), ..reader.evaluator() };
            Ok(scope.config(name, reader.names).map(|config| evaluator.value(config)))
        });
        found.map_err(|error| unknown(&error, named)).transpose().map(Result::flatten)
    }

    /// The value of a constant of a module.
    pub fn constant(
        &self,
        file: &str,
        name: &str,
        imports: usize,
        named: impl Fn() -> Origin,
    ) -> Result<Value, Unknown> {
        let at = named();
        self.remembered((file.to_owned(), name.to_owned()), || {
            let found = self
                .open(file, &at, imports, |reader, _| Ok(reader.evaluator().name(name, || at.clone(), 0)));
            found.map_err(|error| unknown(&error, &at))?
        })
    }

    /// Counts parts of values and expressions that are looked at; false where they are too many for one flow.
    pub fn spend(&self, parts: usize) -> bool {
        self.work.fetch_add(parts, Ordering::Relaxed).saturating_add(parts) <= MAX_WORK
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
        self.source(file, named).map_err(|error| unknown(&error, named))
    }

    fn source(&self, file: &str, named: &Origin) -> Result<String, Error> {
        let (root, within) = self.place_of(file);
        let text = root.read(within, Some(named))?;
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        *parsed += text.len();
        if *parsed > MAX_BYTES {
            let problem = format!("more than {MAX_BYTES} bytes would have to be parsed");
            return Err(Error::invalid(named.clone(), problem));
        }
        Ok(text)
    }
}

/// Whether a text holds `Config("NAME"`, as the platform's tool looks for it.
fn declares(text: &str, name: &str) -> bool {
    text.match_indices("Config").any(|(at, word)| {
        let rest = text[at + word.len()..].trim_start().strip_prefix('(').map(str::trim_start);
        let quoted = rest.and_then(|rest| rest.strip_prefix(['"', '\'']));
        let after = quoted.and_then(|rest| rest.strip_prefix(name));
        after.is_some_and(|after| after.starts_with(['"', '\'']))
    })
}

/// An error in another file, as the reason why a value is not known.
pub(super) fn unknown(error: &Error, named: &Origin) -> Unknown {
    // What is wrong with the naming itself is told at its own place already.
    let text = error.to_string();
    let reason = text.strip_prefix(&format!("{named}: ")).unwrap_or(&text).to_owned();
    Unknown { origin: named.clone(), reason }
}
