//! The environment's skeleton: what makes a folder of distributions a virtual environment of the base's interpreter.

use super::locks::Locked;
use crate::base::Python;
use crate::layer::{FileEntry, FileKind, FileSource, PREFIX};
use crate::model::PythonMinor;

/// The skeleton of a locked environment: `pyvenv.cfg` and the links in `bin/`, as `python -m venv` would make them, without
/// activation scripts: images put the environment on `PATH` instead. An open one sees what is installed for the base's
/// interpreter.
pub fn of(locked: &Locked<'_>, python: &Python) -> Vec<FileEntry> {
    let open = locked.unit.open;
    let PythonMinor { major, minor } = python.minor;
    let home = python.executable.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let version = python.version.clone().unwrap_or_else(|| format!("{major}.{minor}"));
    let config = format!(
        "home = {home}\nimplementation = CPython\nversion_info = {version}\ninclude-system-site-packages = {open}\n"
    );
    let link = |path: &str, target: &str| FileEntry {
        path: format!("{PREFIX}/{path}"),
        kind: FileKind::Symlink { target: target.to_owned() },
    };
    vec![
        FileEntry {
            path: format!("{PREFIX}/pyvenv.cfg"),
            kind: FileKind::File { source: FileSource::Bytes(config.into_bytes()), executable: false },
        },
        FileEntry {
            path: format!("{PREFIX}/lib/python{major}.{minor}/site-packages"),
            kind: FileKind::Directory,
        },
        link("lib64", "lib"),
        link("bin/python", &python.executable),
        link("bin/python3", "python"),
        link(&format!("bin/python{major}.{minor}"), "python"),
    ]
}

/// The commands of what the base has installed, made again so that they run with what is installed here as well. They go
/// below the distributions, whose own commands count where the names are the same.
pub fn base_commands(locked: &Locked<'_>) -> Vec<FileEntry> {
    let mut entries: Vec<FileEntry> = Vec::new();
    for script in &locked.unit.installed.scripts(&locked.lock) {
        let path = format!("{PREFIX}/bin/{}", script.name);
        // Of two commands of one name there is one.
        if entries.iter().all(|entry| entry.path != path) {
            let source = FileSource::Bytes(script.script(&format!("/{PREFIX}/bin/python")).into_bytes());
            entries.push(FileEntry { path, kind: FileKind::File { source, executable: true } });
        }
    }
    entries
}
