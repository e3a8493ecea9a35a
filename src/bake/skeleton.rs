//! The environment's skeleton: what makes a folder of distributions a virtual environment of the base's interpreter.

use crate::base::Python;
use crate::layer::{FileEntry, FileKind, FileSource, PREFIX};
use crate::model::PythonMinor;

/// `pyvenv.cfg` and the links in `bin/`, as `python -m venv` would make them, without activation scripts: images put the
/// environment on `PATH` instead.
pub fn entries(python: &Python) -> Vec<FileEntry> {
    let PythonMinor { major, minor } = python.minor;
    let home = python.executable.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let version = python.version.clone().unwrap_or_else(|| format!("{major}.{minor}"));
    let config = format!(
        "home = {home}\nimplementation = CPython\nversion_info = {version}\ninclude-system-site-packages = false\n"
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
