//! Directories of this machine as sources: what is in them, but for what tools leave there, is copied and hashed.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use url::Url;

use super::Error;
use super::tree::blocking;
use crate::model::{BuiltFrom, Digest, Hasher, HashingReader};

/// The most bytes of all files.
const LARGEST: u64 = 2 << 30;
/// The most files.
const MOST: usize = 100_000;
/// How deep directories may be.
const DEEPEST: usize = 64;

/// Names that never belong to the sources, wherever they are.
const NEVER: [&str; 13] = [
    ".git",
    ".hg",
    ".svn",
    ".venv",
    ".tox",
    ".nox",
    ".eggs",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "node_modules",
    "pylock.toml",
];

/// A file of a directory.
struct FileOf {
    /// Relative to the directory, with `/` between its parts.
    name: String,
    path: PathBuf,
    executable: bool,
}

/// The sources in the directory that a `file:` URL names.
pub(super) async fn of_url(url: &Url) -> Result<BuiltFrom, Error> {
    let url = url.clone();
    blocking(move || {
        let unusable =
            |reason: &str| Error::Unusable { what: url.path().to_owned(), reason: reason.to_owned() };
        let path = url.to_file_path().map_err(|()| unusable("it is no local directory"))?;
        let path = path.canonicalize().map_err(Error::io("open", &path))?;
        Ok(BuiltFrom::Directory { content: content(&path)?, path })
    })
    .await
}

/// The hash of what is in a directory: names, bytes, and which files are executable. Blocks.
pub fn content(directory: &Path) -> Result<Digest, Error> {
    let mut hasher = Hasher::default();
    for file in files(directory)? {
        let mut reader = HashingReader::new(File::open(&file.path).map_err(Error::io("open", &file.path))?);
        std::io::copy(&mut reader, &mut std::io::sink()).map_err(Error::io("read", &file.path))?;
        let (_, digest, _) = reader.finish();
        let kind = if file.executable { 'x' } else { '-' };
        hasher.update(format!("{} {kind} {}\0", digest.hex(), file.name).as_bytes());
    }
    Ok(hasher.finish())
}

/// Copies what is in a directory. Blocks.
pub(super) fn copy(directory: &Path, into: &Path) -> Result<(), Error> {
    for file in files(directory)? {
        let target = into.join(&file.name);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::copy(&file.path, &target).map_err(Error::io("copy", &file.path))?;
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&target, fs::Permissions::from_mode(mode))
            .map_err(Error::io("write", &target))?;
    }
    Ok(())
}

/// The files of a directory, sorted by name.
fn files(directory: &Path) -> Result<Vec<FileOf>, Error> {
    let unusable = |reason: String| Error::Unusable { what: directory.display().to_string(), reason };
    let (mut found, mut total) = (Vec::new(), 0_u64);
    let mut open = vec![(directory.to_owned(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        if depth > DEEPEST {
            return Err(unusable(format!("its directories are deeper than {DEEPEST}")));
        }
        for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
            let entry = entry.map_err(Error::io("list", &folder))?;
            let Ok(name) = entry.file_name().into_string() else {
                return Err(unusable("it has a name that is not UTF-8".to_owned()));
            };
            let path = entry.path();
            if is_left_out(&name, &path, depth == 0) {
                continue;
            }
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let Ok(metadata) = fs::metadata(&path) else { continue };
            let name = format!("{prefix}{name}");
            if metadata.is_dir() {
                // A linked directory might lead in a circle.
                if is_link {
                    return Err(unusable(format!("`{}` is a link to a directory", name.escape_debug())));
                }
                open.push((path, format!("{name}/"), depth + 1));
                continue;
            }
            if !metadata.is_file() {
                continue;
            }
            total = total.saturating_add(metadata.len());
            if total > LARGEST || found.len() >= MOST {
                return Err(unusable(format!("it has more than {MOST} files or {LARGEST} bytes")));
            }
            found.push(FileOf { name, path, executable: metadata.permissions().mode() & 0o111 != 0 });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Whether something is no source but what a tool left there.
fn is_left_out(name: &str, path: &Path, at_top: bool) -> bool {
    let is_output = || at_top && matches!(name, "build" | "dist") && !path.join("__init__.py").exists();
    let is_environment = || path.join("pyvenv.cfg").exists();
    NEVER.contains(&name)
        || is_environment()
        || name.ends_with(".egg-info")
        || name.ends_with(".pyc")
        || is_output()
}
