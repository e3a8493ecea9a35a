//! A directory of several projects: `obproject_multi.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::component::repository_name;
use super::source::{MULTI, Root};
use super::toml::Toml;
use super::{Error, Project, Selection, Unreadable, discover_parts};
use crate::model::{Origin, Variables};

const OBPROJECT: &str = "obproject.toml";

/// A project's place in a directory of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in `obproject_multi.toml`.
    pub name: String,
    /// Its directory, relative to that file's, such as `projects/fraud`.
    pub path: String,
    /// The part of a repository's name that all its images have in common.
    pub prefix: String,
}

impl Member {
    /// A file of the project as seen from the directory of all.
    pub fn file(&self, file: &str) -> String {
        let (mut folder, mut file) = (self.path.as_str(), file);
        // What stands beside the projects.
        while let Some(rest) = file.strip_prefix("../").filter(|_| !folder.is_empty()) {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
            file = rest;
        }
        match (folder, file) {
            (folder, "") => folder.to_owned(),
            ("", file) => file.to_owned(),
            (folder, file) => format!("{folder}/{file}"),
        }
    }
}

/// The projects that a directory's `obproject_multi.toml` names, sorted by name; `None` if there is no such file.
pub fn members(directory: &Path) -> Result<Option<Vec<Member>>, Error> {
    let root = Root::open(directory)?;
    if !root.is_file(MULTI) {
        return Ok(None);
    }
    if root.is_file(OBPROJECT) {
        let problem = "obproject.toml stands beside it: a directory is one project, or holds several";
        return Err(Error::invalid(Origin::file(MULTI), problem));
    }
    let toml = Toml::parse(MULTI, root.read(MULTI, None)?)?;
    let mut members = Vec::new();
    let mut prefixes: BTreeMap<String, String> = BTreeMap::new();
    let mut directories: BTreeMap<PathBuf, String> = BTreeMap::new();
    for (name, given, origin) in toml.string_table(&["projects"])? {
        let shown = name.escape_debug().to_string();
        let parts: Vec<&str> = given.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let path = parts.join("/");
        let real = root.path.join(&path);
        let real = fs::canonicalize(&real).unwrap_or(real);
        if given.starts_with('/') || parts.contains(&"..") || !real.starts_with(&root.path) {
            return Err(Error::OutsideFile { origin, file: given.to_owned() });
        }
        if !real.join(OBPROJECT).is_file() {
            let path = path.escape_debug();
            let problem = format!("project `{shown}` is at `{path}`, where there is no {OBPROJECT}");
            return Err(Error::invalid(origin, problem));
        }
        if let Some(first) = directories.insert(real, shown.clone()) {
            return Err(Error::invalid(origin, format!("`{first}` and `{shown}` are the same directory")));
        }
        let prefix = repository_name(name);
        if prefix.is_empty() || name.contains('/') {
            let problem = format!("`{shown}` cannot be a project's name: its images would have none");
            return Err(Error::Invalid {
                origin,
                problem,
                hint: Some("use letters, digits, `-`, `_` and `.`"),
            });
        }
        if let Some(first) = prefixes.insert(prefix.clone(), shown.clone()) {
            let (first, second) = (format!("project `{first}`"), format!("project `{shown}`"));
            return Err(Error::NameCollision { first, second, name: format!("{prefix}/…") });
        }
        members.push(Member { name: name.to_owned(), path, prefix });
    }
    if members.is_empty() {
        return Err(Error::invalid(Origin::file(MULTI), "it names no projects under [projects]"));
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Some(members))
}

/// Reads one of the projects of a directory, and what of it cannot be read.
pub fn discover_member(
    directory: &Path,
    member: &Member,
    selection: &Selection,
    variables: Variables<'_>,
) -> Result<(Project, Vec<Unreadable>), Error> {
    let (project, unreadable) = discover_parts(&directory.join(&member.path), selection, variables)?;
    Ok((Project { member: Some(member.clone()), ..project }, unreadable))
}
