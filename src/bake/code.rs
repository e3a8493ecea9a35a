//! Code layers: what the project's shared packages and a component's own files come to in the image.

use super::Error;
use super::context::Context;
use super::locks::Locked;
use super::report::{CodeLayer, CodeReport, FileReport, LeftOutReport, Report, WarningReport};
use crate::layer::{FileEntry, FileKind, FileSource};
use crate::project::{CodeFile, CodeFileKind, CodeFiles, CodeReader, Component, Reason};

/// The files of the two code layers of an image.
pub struct Code {
    /// The project's shared packages.
    pub shared: Vec<FileEntry>,
    /// The component's own files.
    pub own: Vec<FileEntry>,
}

/// Lists the files; their bytes are read later.
pub fn files(
    context: &Context<'_>,
    locked: &Locked<'_>,
    warnings: &mut Vec<WarningReport>,
) -> Result<Code, Error> {
    let component = locked.unit.component;
    let files = context.code.files(component)?;
    warnings.extend(files.warnings.iter().map(Into::into));
    let shared = files.shared.iter().map(entry).collect();
    let mut own: Vec<FileEntry> = files.own.iter().map(entry).collect();
    if let Some(package) = &component.package {
        own.extend(super::installed::entries(package, locked.lock.target.python)?);
    }
    // The working directory is there even if no file is in it.
    own.push(FileEntry {
        path: component.run.working_dir.trim_start_matches('/').to_owned(),
        kind: FileKind::Directory,
    });
    Ok(Code { shared, own })
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
        component: component.name.clone(),
        kind: component.kind.to_string(),
        size: all.iter().filter_map(|file| file.size).sum(),
        files: all,
        left_out: left_out.collect(),
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
