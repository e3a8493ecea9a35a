//! Walking a folder for the files that belong to an image's code.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Component as Part, Path, PathBuf};

use super::ignore::Ignore;
use super::{LeftOut, Reason, exclude};
use crate::model::{Origin, Warning};
use crate::project::Error;

/// The most files and directories that are looked at in one walk.
const MAX_FILES: usize = 500_000;
/// A file larger than this is more likely data than code.
const BIG_FILE: u64 = 50 * 1024 * 1024;

/// The ends of the names of the files that count.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Suffixes {
    pub list: Vec<String>,
    /// Whether upper and lower case are one.
    pub fold_case: bool,
}

impl Suffixes {
    /// Whether a file counts. A hidden one does only if a suffix is its whole name.
    pub fn take(&self, name: &str) -> bool {
        let folded = |text: &str| if self.fold_case { text.to_lowercase() } else { text.to_owned() };
        let name = folded(name);
        let is_hidden = name.starts_with('.');
        self.list
            .iter()
            .map(|suffix| folded(suffix))
            .any(|suffix| if is_hidden { name == suffix } else { name.ends_with(&suffix) })
    }
}

/// What of a folder is taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules<'a> {
    /// The files that count; `None`: all.
    pub suffixes: Option<&'a Suffixes>,
    /// Whether hidden directories, and files where all count, are taken.
    pub hidden: bool,
    /// Whether symbolic links to directories stay links where what they lead to is taken too.
    pub keep_directory_links: bool,
    /// Whether what build backends leave at the root is left out.
    pub build_output: bool,
    /// What is left out as no part of a package.
    pub skipped: BTreeSet<String>,
    /// Files that are taken whatever the rules say of their names.
    pub always: BTreeSet<String>,
}

/// What a walk finds.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Sorted by path.
    pub files: Vec<FoundFile>,
    /// Sorted by path. A directory ends with `/`.
    pub left_out: Vec<LeftOut>,
    pub warnings: Vec<Warning>,
}

impl Found {
    /// Whether a file is among them.
    pub fn holds(&self, path: &str) -> bool {
        self.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
    }
}

/// A file, or a symbolic link to a directory that stays one.
#[derive(Debug, Clone)]
pub(super) struct FoundFile {
    /// Relative to the walk's root.
    pub path: String,
    /// Where it is, every symbolic link resolved.
    pub source: PathBuf,
    pub executable: bool,
    pub size: u64,
    /// If it is reached by a symbolic link that could stay one.
    pub link: Option<Link>,
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    /// As it is written.
    pub target: String,
    /// The path that it names, relative to the walk's root.
    pub names: String,
    /// Whether it leads to a directory.
    pub to_directory: bool,
}

/// A directory to be read.
struct Directory {
    /// Where it is, without symbolic links in the path.
    real: PathBuf,
    /// Its path as the project sees it, relative.
    path: String,
    /// The real directories of the links that led here, outermost first.
    links: Vec<PathBuf>,
}

/// A walk through a folder, from which no symbolic link may lead out of `root`.
pub(super) struct Walk<'a> {
    /// Every symbolic link resolved.
    pub root: &'a Path,
    pub ignore: &'a Ignore,
    pub rules: &'a Rules<'a>,
    found: Found,
    /// Links to directories, for which it is not settled yet whether they stay links.
    links: Vec<(Directory, Link)>,
    open: Vec<Directory>,
    /// Entries seen.
    seen: usize,
}

impl<'a> Walk<'a> {
    /// Finds what the rules take of a folder, or of a single file; nothing if there is neither.
    pub fn run(
        root: &'a Path,
        folder: &str,
        ignore: &'a Ignore,
        rules: &'a Rules<'a>,
    ) -> Result<Found, Error> {
        let (found, links, open) = (Found::default(), Vec::new(), Vec::new());
        let mut this = Self { root, ignore, rules, found, links, open, seen: 0 };
        this.start(folder)?;
        this.finish_links()?;
        let mut found = this.found;
        found.files.sort_by(|a, b| a.path.cmp(&b.path));
        found.left_out.sort();
        found.warnings.sort_by(|a, b| (&a.origin, &a.message).cmp(&(&b.origin, &b.message)));
        Ok(found)
    }

    fn start(&mut self, folder: &str) -> Result<(), Error> {
        let path = self.root.join(folder);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::unreadable(folder, error)),
        };
        if !real.starts_with(self.root) {
            return Err(Error::EscapingLink { path: folder.to_owned(), target: real.display().to_string() });
        }
        let above = folder.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| &folder[..at]);
        for (parent, is_directory) in above.map(|parent| (parent, true)).chain([(folder, real.is_dir())]) {
            if !folder.is_empty()
                && let Some(rule) = self.ignore.rule(parent, is_directory)
                && (rule.prunes || !is_directory)
            {
                self.left_out(folder, is_directory, Reason::Ignored(rule.origin));
                return Ok(());
            }
        }
        if !real.is_dir() {
            let metadata = fs::metadata(&real).map_err(|error| Error::unreadable(folder, error))?;
            return self.file(real, folder.to_owned(), &metadata, None);
        }
        let links = if real == path.components().collect::<PathBuf>() { Vec::new() } else { vec![path] };
        self.open.push(Directory { real, path: folder.to_owned(), links });
        self.read_open()
    }

    fn read_open(&mut self) -> Result<(), Error> {
        while let Some(directory) = self.open.pop() {
            self.directory(&directory)?;
        }
        Ok(())
    }

    fn directory(&mut self, directory: &Directory) -> Result<(), Error> {
        let real = &directory.real;
        let parent = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let unreadable = |error| Error::unreadable(&directory.path, error);
        for entry in fs::read_dir(real).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            self.seen += 1;
            if self.seen > MAX_FILES {
                return Err(Error::TooManyFiles { path: directory.path.clone(), limit: MAX_FILES });
            }
            let name = self.name(&directory.path, &entry.file_name())?;
            let path = join(&directory.path, &name);
            let kind = entry.file_type().map_err(|error| Error::unreadable(&path, error))?;
            // What a link leads to decides which rules it falls under.
            let (is_directory, is_broken) = match kind.is_symlink().then(|| fs::metadata(entry.path())) {
                None => (kind.is_dir(), false),
                Some(Ok(metadata)) => (metadata.is_dir(), false),
                Some(Err(_)) => (false, true),
            };
            if let Some(reason) = self.reason(&parent, &name, &path, is_directory)
                && !(is_broken && reason == Reason::Suffix)
            {
                self.left_out(&path, is_directory, reason);
                continue;
            }
            if name.starts_with(".wh.") {
                return Err(Error::WhiteoutName { path });
            }
            let source = entry.path();
            if kind.is_symlink() {
                self.link(directory, source, path)?;
            } else if kind.is_dir() {
                match self.reason_of_content(&source, &path) {
                    Some(reason) => self.left_out(&path, true, reason),
                    None => self.open.push(Directory { real: source, path, links: directory.links.clone() }),
                }
            } else {
                let metadata = entry.metadata().map_err(|error| Error::unreadable(&path, error))?;
                self.file(source, path, &metadata, None)?;
            }
        }
        Ok(())
    }

    /// Why an entry is left out by its name.
    fn reason(&self, parent: &str, name: &str, path: &str, is_directory: bool) -> Option<Reason> {
        if let Some(rule) = self.ignore.rule(path, is_directory)
            && (rule.prunes || !is_directory)
        {
            return Some(Reason::Ignored(rule.origin));
        }
        if self.ignore.secrets.iter().any(|secret| secret == path) {
            return Some(Reason::Secret);
        }
        if let Some(reason) = exclude::by_name(parent, name) {
            return Some(reason);
        }
        if self.rules.skipped.contains(path) {
            return Some(Reason::NoPackage);
        }
        if self.rules.always.contains(path) {
            return None;
        }
        let is_hidden = name.starts_with('.');
        match self.rules.suffixes {
            _ if is_directory => (is_hidden && !self.rules.hidden).then_some(Reason::Hidden),
            Some(suffixes) if suffixes.take(name) => None,
            Some(_) => Some(if is_hidden { Reason::Hidden } else { Reason::Suffix }),
            None => (is_hidden && !self.rules.hidden).then_some(Reason::Hidden),
        }
    }

    /// Why a directory is left out for what it holds.
    fn reason_of_content(&self, real: &Path, path: &str) -> Option<Reason> {
        let is_output = self.rules.build_output && exclude::is_build_output(real, path);
        exclude::by_content(real).or_else(|| is_output.then_some(Reason::Tool))
    }

    fn link(&mut self, directory: &Directory, source: PathBuf, path: String) -> Result<(), Error> {
        let target = fs::read_link(&source).map_err(|error| Error::unreadable(&path, error))?;
        let real = match fs::canonicalize(&source) {
            Ok(real) => real,
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) => {
                return Err(Error::unreadable(&path, error));
            }
            // Its target is not there, or it is a circle of links.
            Err(_) => {
                self.warn(&path, "the symbolic link leads nowhere: it is left out");
                self.left_out(&path, false, Reason::BrokenLink);
                return Ok(());
            }
        };
        let Ok(inside) = real.strip_prefix(self.root) else {
            return Err(Error::EscapingLink { path, target: target.display().to_string() });
        };
        let metadata = fs::metadata(&real).map_err(|error| Error::unreadable(&path, error))?;
        let inside = inside.to_string_lossy();
        let rule =
            self.ignore.rule(&inside, metadata.is_dir()).filter(|rule| rule.prunes || metadata.is_file());
        let secret = self.ignore.secrets.iter().any(|secret| *secret == inside).then_some(Reason::Secret);
        let reason = secret
            .or_else(|| exclude::by_path(Path::new(&*inside)))
            .or(rule.map(|rule| Reason::Ignored(rule.origin)));
        if let Some(reason) = reason {
            self.left_out(&path, metadata.is_dir(), reason);
            return Ok(());
        }
        // Where a link led here, the target as written would be read from another directory.
        let names = names_of(&path, &target).filter(|_| directory.links.is_empty());
        let link = match (names, target.to_str()) {
            (Some(names), Some(target)) => {
                Some(Link { target: target.to_owned(), names, to_directory: metadata.is_dir() })
            }
            _ => None,
        };
        if !metadata.is_dir() {
            return self.file(real, path, &metadata, link);
        }
        let mut around = directory.links.iter().chain(std::iter::once(&directory.real));
        if around.any(|directory| directory.starts_with(&real)) {
            self.warn(&path, "the symbolic link leads to a directory that holds it: it is left out");
            self.left_out(&path, true, Reason::Cycle);
            return Ok(());
        }
        if let Some(reason) = self.reason_of_content(&real, &path) {
            self.left_out(&path, true, reason);
            return Ok(());
        }
        let mut links = directory.links.clone();
        links.push(directory.real.clone());
        let next = Directory { real, path, links };
        match link.filter(|_| self.rules.keep_directory_links) {
            Some(link) => self.links.push((next, link)),
            None => self.open.push(next),
        }
        Ok(())
    }

    /// Links to directories stay links if what they lead to is in the image at its own place, and are followed otherwise.
    fn finish_links(&mut self) -> Result<(), Error> {
        let mut links = std::mem::take(&mut self.links);
        links.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        for (directory, link) in links {
            let within = format!("{}/", link.names);
            if self.found.files.iter().any(|file| file.path.starts_with(&within)) {
                let Directory { real: source, path, .. } = directory;
                self.found.files.push(FoundFile {
                    path,
                    source,
                    executable: false,
                    size: 0,
                    link: Some(link),
                });
            } else {
                self.open.push(directory);
                self.read_open()?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        source: PathBuf,
        path: String,
        metadata: &Metadata,
        link: Option<Link>,
    ) -> Result<(), Error> {
        if !metadata.is_file() {
            self.warn(&path, "it is neither a file nor a directory: it is left out");
            self.left_out(&path, false, Reason::Special);
            return Ok(());
        }
        // Opened now, so that one that cannot be read is named before anything is built.
        File::open(&source).map_err(|error| Error::unreadable(&path, error))?;
        let size = metadata.len();
        if size > BIG_FILE {
            let message =
                format!("{} MiB go into the code layer: data is better fetched when it runs", size >> 20);
            self.warn(&path, message);
        }
        let executable = is_executable(metadata);
        self.found.files.push(FoundFile { path, source, executable, size, link });
        Ok(())
    }

    fn left_out(&mut self, path: &str, is_directory: bool, reason: Reason) {
        let name = path.rsplit('/').next().unwrap_or(path);
        // Where it would not be taken anyway, nobody misses it.
        let counts = match self.rules.suffixes {
            Some(suffixes) if !is_directory => suffixes.take(name),
            _ => self.rules.hidden || !name.starts_with('.'),
        };
        if reason == Reason::Secret && counts {
            self.warn(path, "it may hold credentials: it is left out");
        }
        let path = if is_directory { format!("{path}/") } else { path.to_owned() };
        self.found.left_out.push(LeftOut { path, reason });
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.found.warnings.push(Warning::at(Origin::file(path), message));
    }

    fn name(&self, parent: &str, name: &OsStr) -> Result<String, Error> {
        match name.to_str() {
            Some(name) => Ok(name.to_owned()),
            None => Err(Error::NonUtf8Name { path: join(parent, &name.to_string_lossy()) }),
        }
    }
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// The path that a link at `path` names, both relative to the root, if that can be said without looking: the target is
/// relative, goes up only at its start, and stays inside.
pub(super) fn names_of(path: &str, target: &Path) -> Option<String> {
    let mut found = Path::new(path).parent()?.to_owned();
    let mut down = false;
    for part in target.components() {
        match part {
            Part::CurDir => {}
            Part::ParentDir if !down => {
                if !found.pop() {
                    return None;
                }
            }
            Part::Normal(name) => {
                down = true;
                found.push(name);
            }
            _ => return None,
        }
    }
    found.to_str().map(str::to_owned)
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_those_of_the_platform() {
        let of = |list: &[&str], fold_case| Suffixes {
            list: list.iter().map(|suffix| (*suffix).to_owned()).collect(),
            fold_case,
        };
        let flow = of(&[".py", ".R", ".RDS", ".env.example"], true);
        for name in ["a.py", "A.PY", "model.rds", "x.r", ".env.example"] {
            assert!(flow.take(name), "{name}");
        }
        for name in ["a.pyc", ".hidden.py", "py", "a.json", ".py2"] {
            assert!(!flow.take(name), "{name}");
        }
        let app = of(&[".py"], false);
        assert!(app.take("a.py") && !app.take("a.PY"));
        assert!(of(&[""], true).take("anything"), "a list that ends with a comma takes all files");
    }
}
