//! The code files of a component: what goes into its code layers, and where.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Component as Part, Path, PathBuf};

use super::exclude::{self, Why};
use super::{Component, ComponentKind, Error, Project};
use crate::model::{Origin, Warning};

/// The most files and directories that are looked at for one layer.
const MAX_FILES: usize = 500_000;
/// A file larger than this is more likely data than code.
const BIG_FILE: u64 = 50 * 1024 * 1024;

/// The code files of one component.
#[derive(Debug, Clone, Default)]
pub struct CodeFiles {
    /// `src/`, shared by all flows and deployments of the project, sorted by path. Empty for a plain project.
    pub shared: Vec<CodeFile>,
    /// The component's own files, sorted by path.
    pub own: Vec<CodeFile>,
    /// What was left out that its author might miss, and what is surprisingly big.
    pub warnings: Vec<Warning>,
}

/// One file or symbolic link of a code layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFile {
    /// The path in the image: relative, `/` as separator, such as `app/flows/trainer/flow.py`. Never with `.` or `..`,
    /// nor with a name that would delete files.
    pub path: String,
    /// Where it is, absolute.
    pub source: PathBuf,
    /// What it is.
    pub kind: CodeFileKind,
}

/// What a code file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeFileKind {
    /// A regular file.
    File {
        /// Whether its owner may execute it.
        executable: bool,
        /// Its size in bytes when it was found.
        size: u64,
    },
    /// A symbolic link to another file or directory of the image's code.
    Symlink {
        /// The target, relative to the link's directory.
        target: String,
    },
}

/// Finds the code files of a component: for a flow or deployment its folder and `src/`, for a plain project all of it.
/// Credentials, version control, caches and locks are left out.
pub fn code_files(project: &Project, component: &Component) -> Result<CodeFiles, Error> {
    let is_plain = component.kind == ComponentKind::Package;
    let taken = if is_plain { vec![""] } else { vec!["src", component.folder.as_str()] };
    let mut warnings = Vec::new();
    let mut walk = |folder: &str| {
        let mut walk =
            Walk { project, taken: &taken, is_plain, files: Vec::new(), warnings: Vec::new(), seen: 0 };
        walk.folder(folder)?;
        let Walk { mut files, warnings: mut found, .. } = walk;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        found.sort_by(|a, b| (&a.origin, &a.message).cmp(&(&b.origin, &b.message)));
        warnings.append(&mut found);
        Ok::<_, Error>(files)
    };
    let shared = if is_plain { Vec::new() } else { walk("src")? };
    let own = walk(&component.folder)?;
    Ok(CodeFiles { shared, own, warnings })
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

struct Walk<'a> {
    project: &'a Project,
    /// The folders whose files are in the image.
    taken: &'a [&'a str],
    is_plain: bool,
    files: Vec<CodeFile>,
    warnings: Vec<Warning>,
    /// Entries seen.
    seen: usize,
}

impl Walk<'_> {
    fn folder(&mut self, folder: &str) -> Result<(), Error> {
        let path = self.project.root.join(folder);
        let real = match fs::canonicalize(&path) {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(Error::io("open", path)(error)),
        };
        if !real.starts_with(&self.project.root) {
            return Err(Error::EscapingLink { path: folder.to_owned(), target: real.display().to_string() });
        }
        if !real.is_dir() {
            return Ok(());
        }
        let links = if real == path.components().collect::<PathBuf>() { Vec::new() } else { vec![path] };
        let mut open = vec![Directory { real, path: folder.to_owned(), links }];
        while let Some(directory) = open.pop() {
            self.directory(&directory, &mut open)?;
        }
        Ok(())
    }

    fn directory(&mut self, directory: &Directory, open: &mut Vec<Directory>) -> Result<(), Error> {
        let real = &directory.real;
        let parent = real.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        for entry in fs::read_dir(real).map_err(Error::io("list", real))? {
            let entry = entry.map_err(Error::io("list", real))?;
            self.seen += 1;
            if self.seen > MAX_FILES {
                return Err(Error::TooManyFiles { path: directory.path.clone(), limit: MAX_FILES });
            }
            let source = entry.path();
            let name = self.name(&directory.path, &entry.file_name())?;
            let path = join(&directory.path, &name);
            if let Some(why) = exclude::by_name(&parent, &name) {
                self.left_out(&path, why);
                continue;
            }
            if name.starts_with(".wh.") {
                return Err(Error::WhiteoutName { path });
            }
            let kind = entry.file_type().map_err(Error::io("read", &source))?;
            if kind.is_symlink() {
                self.link(directory, source, path, open)?;
            } else if kind.is_dir() {
                if !self.is_left_out_directory(&source, &path) {
                    open.push(Directory { real: source, path, links: directory.links.clone() });
                }
            } else {
                let metadata = entry.metadata().map_err(Error::io("read", &source))?;
                self.file(source, path, &metadata);
            }
        }
        Ok(())
    }

    /// A symbolic link: kept where its target is in the image too, otherwise replaced by what it points to.
    fn link(
        &mut self,
        directory: &Directory,
        source: PathBuf,
        path: String,
        open: &mut Vec<Directory>,
    ) -> Result<(), Error> {
        let target = fs::read_link(&source).map_err(Error::io("read", &source))?;
        let real = match fs::canonicalize(&source) {
            Ok(real) => real,
            Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied) => {
                return Err(Error::io("follow", source)(error));
            }
            // Its target is not there, or it is a circle of links.
            Err(_) => {
                self.warn(&path, "the symbolic link leads nowhere: it is left out");
                return Ok(());
            }
        };
        let Ok(inside) = real.strip_prefix(&self.project.root) else {
            return Err(Error::EscapingLink { path, target: target.display().to_string() });
        };
        if let Some(why) = exclude::by_path(inside) {
            self.left_out(&path, why);
            return Ok(());
        }
        let lexical = lexical_target(&path, &target).filter(|_| directory.links.is_empty());
        if lexical.is_some_and(|lexical| self.is_taken(&lexical)) && self.is_taken(inside) {
            let Some(target) = target.to_str() else { return Err(Error::NonUtf8Name { path }) };
            let kind = CodeFileKind::Symlink { target: target.to_owned() };
            self.files.push(CodeFile { path: format!("app/{path}"), source, kind });
            return Ok(());
        }
        let metadata = fs::metadata(&real).map_err(Error::io("read", &source))?;
        if !metadata.is_dir() {
            self.file(real, path, &metadata);
            return Ok(());
        }
        let mut around = directory.links.iter().chain(std::iter::once(&directory.real));
        if around.any(|directory| directory.starts_with(&real)) {
            self.warn(&path, "the symbolic link leads to a directory that holds it: it is left out");
        } else if !self.is_left_out_directory(&real, &path) {
            let mut links = directory.links.clone();
            links.push(directory.real.clone());
            open.push(Directory { real, path, links });
        }
        Ok(())
    }

    fn file(&mut self, source: PathBuf, path: String, metadata: &Metadata) {
        if !metadata.is_file() {
            self.warn(&path, "it is neither a file nor a directory: it is left out");
            return;
        }
        let size = metadata.len();
        if size > BIG_FILE {
            let message =
                format!("{} MiB go into the code layer: data is better fetched when it runs", size >> 20);
            self.warn(&path, message);
        }
        let kind = CodeFileKind::File { executable: is_executable(metadata), size };
        self.files.push(CodeFile { path: format!("app/{path}"), source, kind });
    }

    /// Whether a path relative to the project goes into the image at its own place.
    fn is_taken(&self, path: &Path) -> bool {
        let is_output = |first: &OsStr| {
            let name = first.to_string_lossy();
            self.is_plain && exclude::is_build_output(&self.project.root.join(first), &name)
        };
        self.taken.iter().any(|folder| path.starts_with(folder))
            && exclude::by_path(path).is_none()
            && !path.iter().next().is_some_and(is_output)
            && !path.ancestors().any(|ancestor| {
                !ancestor.as_os_str().is_empty()
                    && exclude::by_content(&self.project.root.join(ancestor)).is_some()
            })
    }

    fn is_left_out_directory(&self, real: &Path, path: &str) -> bool {
        exclude::by_content(real).is_some() || (self.is_plain && exclude::is_build_output(real, path))
    }

    fn left_out(&mut self, path: &str, why: Why) {
        if why == Why::Secret {
            self.warn(path, "it may hold credentials: it is left out");
        }
    }

    fn warn(&mut self, path: &str, message: impl Into<String>) {
        self.warnings.push(Warning::at(Origin::file(path), message));
    }

    fn name(&self, parent: &str, name: &OsStr) -> Result<String, Error> {
        match name.to_str() {
            Some(name) => Ok(name.to_owned()),
            None => Err(Error::NonUtf8Name { path: join(parent, &name.to_string_lossy()) }),
        }
    }
}

fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}

/// The path that a link at `path` names, both relative to the project, if that can be said without looking: the target
/// is relative, goes up only at its start, and stays inside.
fn lexical_target(path: &str, target: &Path) -> Option<PathBuf> {
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
    Some(found)
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
