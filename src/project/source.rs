//! Reading the project's own text files: bounded, UTF-8, never from outside the project.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Error;
use crate::model::Origin;

/// What a directory of several projects holds.
pub(super) const MULTI: &str = "obproject_multi.toml";
/// How far above a project such a directory may be.
const MAX_ABOVE: usize = 8;
/// The most bytes of a text file that is parsed.
const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// A project's directory, through which all its text files are read.
#[derive(Debug, Clone)]
pub(super) struct Root {
    /// The directory with every symbolic link resolved.
    pub path: PathBuf,
}

impl Root {
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = fs::canonicalize(directory).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoProject {
                directory: directory.to_owned(),
                hint: "there is no such directory".to_owned(),
            },
            _ => Error::Io { action: "open", path: directory.to_owned(), source },
        })?;
        if !path.is_dir() {
            let hint = "it is not a directory: name the directory that holds the project".to_owned();
            return Err(Error::NoProject { directory: directory.to_owned(), hint });
        }
        Ok(Self { path })
    }

    /// The directory of several projects that holds this one, and how it is named from here: `../../`.
    pub fn above(&self) -> Option<(Self, String)> {
        let above = self.path.ancestors().enumerate().skip(1).take(MAX_ABOVE);
        let (steps, path) = above.into_iter().find(|(_, above)| above.join(MULTI).is_file())?;
        Some((Self { path: path.to_owned() }, "../".repeat(steps)))
    }

    /// The directory's own name.
    pub fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "project".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Whether there is such a file. A broken symbolic link is none.
    pub fn is_file(&self, file: &str) -> bool {
        self.path.join(file).is_file()
    }

    pub fn is_dir(&self, folder: &str) -> bool {
        self.path.join(folder).is_dir()
    }

    /// The text of a file; `None` if there is none.
    pub fn read_optional(&self, file: &str) -> Result<Option<String>, Error> {
        self.is_file(file).then(|| self.read(file, None)).transpose()
    }

    /// The text of a file that is named at `named`.
    pub fn read(&self, file: &str, named: Option<&Origin>) -> Result<String, Error> {
        let named = || named.cloned().unwrap_or_else(|| Origin::file(file));
        if file.starts_with('/') || file.split('/').any(|part| part == "..") {
            return Err(Error::OutsideFile { origin: named(), file: file.to_owned() });
        }
        let path = self.path.join(file);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoFile { origin: named(), file: file.to_owned() });
            }
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        if !real.starts_with(&self.path) {
            return Err(Error::OutsideFile { origin: named(), file: file.to_owned() });
        }
        if !real.is_file() {
            return Err(Error::invalid(named(), format!("`{file}` is not a regular file")));
        }
        let mut bytes = Vec::new();
        File::open(&real)
            .and_then(|opened| opened.take(MAX_TEXT + 1).read_to_end(&mut bytes))
            .map_err(Error::io("read", path))?;
        if bytes.len() as u64 > MAX_TEXT {
            return Err(Error::TooLarge { file: file.to_owned(), limit: MAX_TEXT });
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            Error::NotUtf8 { origin: Origin::line(file, line_of(valid)) }
        })?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    }

    /// The names in a folder that are UTF-8, sorted; none if there is no such folder.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let path = self.path.join(folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Error::io("list", path)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("list", &path))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// The README of a folder, if it has one that is inside the project.
    pub fn readme(&self, folder: &str) -> Option<PathBuf> {
        let names = ["README.md", "readme.md", "Readme.md", "README.rst", "README.txt", "README"];
        names.iter().map(|name| self.path.join(folder).join(name)).find(|path| self.holds(path))
    }

    /// The URL of a file or directory inside the project; `None` if there is none.
    pub fn locate(&self, path: &str) -> Option<url::Url> {
        let real = fs::canonicalize(self.path.join(path)).ok().filter(|real| real.starts_with(&self.path))?;
        let url = if real.is_dir() {
            url::Url::from_directory_path(&real)
        } else {
            url::Url::from_file_path(&real)
        };
        url.ok()
    }

    /// Whether a path leads to a regular file inside the project.
    pub fn holds(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|real| real.starts_with(&self.path) && real.is_file())
    }
}

/// The number of the line that comes after `before`.
pub(super) fn line_of(before: &[u8]) -> u32 {
    u32::try_from(before.iter().filter(|b| **b == b'\n').count() + 1).unwrap_or(u32::MAX)
}

/// Finds lines by byte offset.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub fn new(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at);
        Self(ends.collect())
    }

    /// The number of the line, from 1, that holds the byte at `offset`.
    pub fn at(&self, offset: usize) -> u32 {
        u32::try_from(self.0.partition_point(|end| *end < offset) + 1).unwrap_or(u32::MAX)
    }
}
