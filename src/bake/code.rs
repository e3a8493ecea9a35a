//! Code layers: what the project's shared packages and a component's own files come to in the image.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Error;
use super::assemble::wheels;
use super::context::Context;
use super::locks::Locked;
use super::report::{CodeLayer, CodeReport, FileReport, LeftOutReport, LibraryReport, Report};
use super::settings::Running;
use crate::layer::{FileEntry, FileKind, FileSource, Layer, PREFIX};
use crate::model::{Key, Origin, PackageName, Warning};
use crate::project::{CodeFile, CodeFileKind, CodeFiles, CodeReader, Component, Library, Reason};

/// The files of one code layer. Images with the same files have it in common: they are read and hashed once in a run.
pub struct Part {
    pub entries: Arc<Vec<FileEntry>>,
    /// The layer's key, the layer if the store has it, and about how large it becomes.
    pub planned: OnceCell<(Key, Option<Arc<Layer>>, u64)>,
    /// The layer, and whether it had to be made.
    pub made: OnceCell<(Arc<Layer>, bool)>,
}

/// The code layers of a run.
#[derive(Default)]
pub struct Parts(Mutex<HashMap<usize, Known>>);

/// A list of files, kept so that no other list takes its place in memory, and what was made of it: with what directories.
struct Known {
    _files: Arc<Vec<CodeFile>>,
    parts: Vec<Arc<Part>>,
}

impl Parts {
    /// The layer of a list of files and what is added to it.
    fn get(&self, files: &Arc<Vec<CodeFile>>, more: Vec<FileEntry>) -> Arc<Part> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all
            .entry(Arc::as_ptr(files) as usize)
            .or_insert_with(|| Known { _files: Arc::clone(files), parts: Vec::new() });
        if let Some(part) = known.parts.iter().find(|part| part.entries[files.len()..] == more[..]) {
            return Arc::clone(part);
        }
        let entries = Arc::new(files.iter().map(entry).chain(more).collect());
        let part = Arc::new(Part { entries, planned: OnceCell::new(), made: OnceCell::new() });
        known.parts.push(Arc::clone(&part));
        part
    }
}

/// The files of the two code layers of an image.
pub struct Code {
    /// The project's shared packages.
    pub shared: Arc<Part>,
    /// The component's own files.
    pub own: Arc<Part>,
    /// The directory of libraries from outside the project, if there are any.
    pub library_path: Option<String>,
    /// What can be imported by one name, with its file.
    modules: Arc<BTreeMap<String, String>>,
}

impl Code {
    /// Warns of modules that hide those of locked distributions. What a distribution brings is known where the store has
    /// it; otherwise it is taken to bring a module of its own name.
    pub fn warn_of_hidden(
        &self,
        context: &Context<'_>,
        locked: &Locked<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Error> {
        let site = format!("{PREFIX}/lib/python{}/site-packages/", locked.lock.target.python);
        for wheel in wheels(&locked.lock, context.options.compression)? {
            let names = context.fragments.modules(&context.store, &wheel.key, &site)?;
            let names =
                names.unwrap_or_else(|| Arc::new([wheel.pin.name.as_dist_info_name().into_owned()].into()));
            for (name, path) in names.iter().filter_map(|name| self.modules.get_key_value(name)) {
                let message =
                    format!("its name hides `{name}` of the distribution {}: rename it", wheel.pin.name);
                let path = path.strip_prefix("app/").unwrap_or(path);
                warnings.push(Warning::at(Origin::file(path), message));
            }
        }
        Ok(())
    }
}

/// Lists the files; their bytes are read later.
pub fn files(
    context: &Context<'_>,
    locked: &Locked<'_>,
    running: &Running,
    warnings: &mut Vec<Warning>,
) -> Result<Code, Error> {
    let component = locked.unit.component;
    let mut files = context.code.files(component)?;
    let pins = &locked.lock.pins;
    files.without_installed(|name| {
        PackageName::from_str(name).is_ok_and(|name| pins.iter().any(|pin| pin.name == name))
    });
    warnings.append(&mut files.warnings);
    let mut more = Vec::new();
    if let Some(package) = &component.package {
        more.extend(super::installed::entries(package, locked.lock.target.python)?);
    }
    // The working directory is there even if no file is in it.
    more.extend(running.directories());
    Ok(Code {
        shared: context.parts.get(&files.shared, Vec::new()),
        own: context.parts.get(&files.own, more),
        library_path: files.library_path(),
        modules: files.modules(component),
    })
}

/// Tells of each component what goes into its code layers and what does not. Those that fail are left out, and their
/// errors go to `failures`.
pub fn list(
    code: &CodeReader<'_>,
    components: &[&Component],
    report: &mut Report,
    failures: &mut Vec<Error>,
) {
    let listed = report.code.insert(Vec::new());
    for component in components {
        match code.files(component) {
            Ok(files) => {
                report.warnings.extend(files.warnings.iter().map(Into::into));
                listed.push(code_report(component, &files));
            }
            Err(error) => failures.push(error.into()),
        }
    }
}

fn code_report(component: &Component, files: &CodeFiles) -> CodeReport {
    let shared = files.shared.iter().map(|file| (CodeLayer::Shared, file));
    let own = files.own.iter().map(|file| (CodeLayer::Own, file));
    let mut all: Vec<FileReport> = shared.chain(own).map(|(layer, file)| file_report(layer, file)).collect();
    all.sort_by(|a, b| a.path.cmp(&b.path));
    let left_out = files.left_out.iter().map(|out| LeftOutReport {
        path: out.path.clone(),
        reason: out.reason.code(),
        message: out.reason.to_string(),
        file: match &out.reason {
            Reason::Ignored(origin) => Some(origin.file.clone()),
            _ => None,
        },
        line: match &out.reason {
            Reason::Ignored(origin) => origin.line,
            _ => None,
        },
    });
    CodeReport {
        project: String::new(),
        component: component.name.clone(),
        kind: component.kind.to_string(),
        size: all.iter().filter_map(|file| file.size).sum(),
        files: all,
        libraries: files.libraries.iter().map(library_report).collect(),
        left_out: left_out.collect(),
    }
}

fn library_report(library: &Library) -> LibraryReport {
    LibraryReport {
        name: library.name.clone(),
        path: library.path.to_string_lossy().into_owned(),
        origin: library.origin.to_string(),
        distribution: library.distribution.clone(),
    }
}

fn file_report(layer: CodeLayer, file: &CodeFile) -> FileReport {
    let (size, link) = match &file.kind {
        CodeFileKind::File { size, .. } => (Some(*size), None),
        CodeFileKind::Symlink { target } => (None, Some(target.clone())),
    };
    let source = file.source.to_string_lossy().into_owned();
    FileReport { path: file.path.clone(), size, link, layer, source }
}

fn entry(file: &CodeFile) -> FileEntry {
    let kind = match &file.kind {
        CodeFileKind::File { executable, .. } => {
            FileKind::File { source: FileSource::Path(file.source.clone()), executable: *executable }
        }
        CodeFileKind::Symlink { target } => FileKind::Symlink { target: target.clone() },
    };
    FileEntry { path: file.path.clone(), kind }
}
