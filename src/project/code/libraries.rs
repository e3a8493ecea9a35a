//! Libraries from outside the project that belong to its code: those of an organization, which ask by
//! `METAFLOW_PACKAGE_POLICY` to be brought along, and those that the user names.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::packages::{self, Importable};
use super::walk::join;
use crate::model::Variables;
use crate::project::source::Root;
use crate::project::{Error, Project, ProjectKind};

/// The most bytes of a `.pth` file, or of a file of a distribution's metadata, that are read.
const MAX_TEXT: u64 = 4 * 1024 * 1024;

/// How a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LibraryOrigin {
    /// The user named it.
    Option,
    /// At the root of a repository of several projects.
    Repository,
    /// Through `PYTHONPATH`.
    PythonPath,
    /// Installed in the virtual environment that is active.
    Environment,
}

impl fmt::Display for LibraryOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "option",
            Self::Repository => "repository",
            Self::PythonPath => "pythonpath",
            Self::Environment => "environment",
        })
    }
}

/// A package or module from outside the project that is in an image's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    /// The name it is imported by.
    pub name: String,
    /// The package's folder, or the module's file.
    pub path: PathBuf,
    /// How it was found.
    pub origin: LibraryOrigin,
    /// The name of the distribution that it was installed with, if it was.
    pub distribution: Option<String>,
}

/// A library with where its files are.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub library: Library,
    /// Whether it asks to be brought along.
    pub has_policy: bool,
    /// The folder that it is imported from, every symbolic link resolved.
    pub folder: PathBuf,
    /// Its folder or file there.
    pub file_name: String,
    /// The metadata of its distribution there, by which a program learns its version.
    pub metadata: Option<String>,
}

/// Where libraries may be.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    /// Those that the user named.
    pub chosen: Vec<Located>,
    /// Folders that modules may be imported from, outside the project, in order.
    folders: Vec<(PathBuf, LibraryOrigin)>,
    known: Mutex<BTreeMap<String, Option<Located>>>,
}

impl Libraries {
    pub fn find(project: &Project, chosen: &[PathBuf], variables: Variables<'_>) -> Result<Self, Error> {
        let mut this = Self::default();
        for path in chosen {
            this.chosen.extend(named(path)?);
        }
        let mut add = |folder: PathBuf, origin| {
            let Ok(folder) = fs::canonicalize(folder) else { return };
            let own = [project.root.clone(), project.root.join("src")];
            if folder.is_dir()
                && !own.contains(&folder)
                && this.folders.iter().all(|(known, _)| *known != folder)
            {
                this.folders.push((folder, origin));
            }
        };
        if project.kind == ProjectKind::Outerbounds
            && let Some((repository, _)) = (Root { path: project.root.clone() }).above()
        {
            add(repository.path, LibraryOrigin::Repository);
        }
        let set = |name: &str| variables(name).filter(|value| !value.is_empty());
        for folder in env::split_paths(&set("PYTHONPATH").unwrap_or_default()) {
            if !folder.as_os_str().is_empty() {
                add(folder, LibraryOrigin::PythonPath);
            }
        }
        for prefix in ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(set) {
            for site in site_packages(Path::new(&prefix)) {
                let linked = linked(&site);
                add(site, LibraryOrigin::Environment);
                linked.into_iter().for_each(|folder| add(folder, LibraryOrigin::Environment));
            }
        }
        Ok(this)
    }

    /// What an import of this name would find outside the project.
    pub fn get(&self, name: &str) -> Option<Located> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(name) {
            return found.clone();
        }
        let found = self.folders.iter().find_map(|(folder, origin)| {
            let file_names = [name.to_owned(), format!("{name}.py")];
            let found = file_names.iter().find_map(|file_name| packages::importable(folder, file_name))?;
            // A folder without `__init__.py` is no package unless nothing else has its name, and then only by its policy.
            (found.module != found.file_name || found.file_name.ends_with(".py") || found.has_policy)
                .then(|| located(folder, found, *origin))
        });
        known.insert(name.to_owned(), found.clone());
        found
    }
}

fn located(folder: &Path, found: Importable, origin: LibraryOrigin) -> Located {
    let installed = match origin {
        LibraryOrigin::Environment => distribution(folder, &found.file_name),
        _ => None,
    };
    let (distribution, metadata) = installed.unzip();
    let Importable { name, file_name, has_policy, .. } = found;
    let library = Library { name, path: folder.join(&file_name), origin, distribution };
    Located { library, has_policy, folder: folder.to_owned(), file_name, metadata }
}

/// The libraries that a path given by the user names: a package, a module, or all that a folder holds.
fn named(path: &Path) -> Result<Vec<Located>, Error> {
    let wrong = |problem: &str| Error::Library { path: path.to_owned(), problem: problem.to_owned() };
    let real = fs::canonicalize(path).map_err(|error| wrong(&format!("it cannot be opened: {error}")))?;
    let origin = LibraryOrigin::Option;
    if real.is_file() || real.join("__init__.py").is_file() {
        let (Some(folder), Some(name)) = (real.parent(), real.file_name().and_then(|name| name.to_str()))
        else {
            return Err(wrong("it has no name that can be imported"));
        };
        let found = packages::importable(folder, name).ok_or_else(|| wrong("it cannot be imported"))?;
        return Ok(vec![located(folder, found, origin)]);
    }
    // A project's folder stands for the packages in it.
    let source = real.join("src");
    let folder = if real.join("pyproject.toml").is_file() && source.is_dir() { source } else { real };
    let is_library =
        |name: &str| !matches!(name, "setup.py" | "conftest.py" | "tests" | "test" | "docs" | "build");
    let found: Vec<Located> = packages::names(&folder)
        .iter()
        .filter(|name| is_library(name))
        .filter_map(|name| packages::importable(&folder, name))
        .map(|found| located(&folder, found, origin))
        .collect();
    if found.is_empty() { Err(wrong("it holds no package")) } else { Ok(found) }
}

/// The folders of an environment's distributions.
fn site_packages(prefix: &Path) -> Vec<PathBuf> {
    let library = prefix.join("lib");
    let versions = packages::names(&library).into_iter().filter(|name| name.starts_with("python3"));
    versions.map(|name| library.join(name).join("site-packages")).filter(|path| path.is_dir()).collect()
}

/// The folders that distributions of an environment stand in without being copied there: those that `.pth` files name,
/// and those of editable installations.
fn linked(site: &Path) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for name in packages::names(site) {
        let path = site.join(&name);
        if name.ends_with(".pth") {
            let text = read(&path).unwrap_or_default();
            let lines = text.lines().map(str::trim);
            let is_path =
                |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("import");
            folders.extend(lines.filter(is_path).map(|line| site.join(line)));
        } else if name.ends_with(".dist-info")
            && let Some(text) = read(&path.join("direct_url.json"))
            && let Ok(direct) = serde_json::from_str::<serde_json::Value>(&text)
            && direct["dir_info"]["editable"] == true
            && let Some(url) = direct["url"].as_str().and_then(|url| url::Url::parse(url).ok())
            && let Ok(folder) = url.to_file_path()
        {
            folders.extend([folder.join("src"), folder]);
        }
    }
    folders
}

/// The distribution that a package or module was installed with: its name, and its metadata's folder.
fn distribution(site: &Path, file_name: &str) -> Option<(String, String)> {
    let within = format!("{file_name}/");
    let single = format!("{file_name},");
    packages::names(site).into_iter().filter(|name| name.ends_with(".dist-info")).find_map(|folder| {
        let record = read(&site.join(&folder).join("RECORD"))?;
        record.lines().find(|line| line.starts_with(&within) || line.starts_with(&single))?;
        let metadata = read(&site.join(&folder).join("METADATA"))?;
        let name = metadata.lines().find_map(|line| line.strip_prefix("Name:"))?.trim().to_owned();
        Some((name, join(&folder, "METADATA")))
    })
}

fn read(path: &Path) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_TEXT);
    is_small.then(|| fs::read_to_string(path).ok())?
}
