//! Code layers: what the project's shared packages and a component's own files come to in the image.

use super::Error;
use super::locks::Locked;
use crate::layer::{FileEntry, FileKind, FileSource};
use crate::model::Warning;
use crate::project::{self, CodeFile, CodeFileKind, Project};

/// The files of the two code layers of an image.
pub struct Code {
    /// The project's shared packages.
    pub shared: Vec<FileEntry>,
    /// The component's own files.
    pub own: Vec<FileEntry>,
}

/// Lists the files; their bytes are read later.
pub fn files(project: &Project, locked: &Locked<'_>, warnings: &mut Vec<Warning>) -> Result<Code, Error> {
    let component = locked.unit.component;
    let files = project::code_files(project, component)?;
    warnings.extend(files.warnings);
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

fn entry(file: &CodeFile) -> FileEntry {
    let kind = match &file.kind {
        CodeFileKind::File { executable, .. } => {
            FileKind::File { source: FileSource::Path(file.source.clone()), executable: *executable }
        }
        CodeFileKind::Symlink { target } => FileKind::Symlink { target: target.clone() },
    };
    FileEntry { path: file.path.clone(), kind }
}
