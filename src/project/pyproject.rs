//! `pyproject.toml`: dependencies, Python, metadata, indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml_edit::Item;

use super::dependencies::{Dependencies, read_requirements};
use super::source::Root;
use super::toml::Toml;
use super::{Error, IndexSettings, PythonRequest, indexes};
use crate::model::{Origin, PackageName, Variables, Version, VersionSpecifiers, Warning, parse_requirement};

/// The metadata of a distribution as its `[project]` table states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageMetadata {
    /// The name as written.
    pub name: String,
    /// The version; `None` if it is dynamic.
    pub version: Option<Version>,
    /// One line that says what it is (`description`).
    pub summary: Option<String>,
    /// The Python versions it supports.
    pub requires_python: Option<VersionSpecifiers>,
    /// The dependencies as text, normalised.
    pub dependencies: Vec<String>,
    /// The file with the long description, absolute, inside the project.
    pub readme: Option<PathBuf>,
    /// The licence: an SPDX expression or text.
    pub license: Option<String>,
    /// Console scripts: name and object reference.
    pub scripts: Vec<(String, String)>,
    /// GUI scripts: name and object reference.
    pub gui_scripts: Vec<(String, String)>,
    /// Other entry points by group.
    pub entry_points: BTreeMap<String, Vec<(String, String)>>,
    /// Whether the code is below `src/`.
    pub src_layout: bool,
}

/// How a `pyproject.toml` states its dependencies.
pub(super) enum Stated {
    /// As a list, perhaps an empty one.
    Listed(Dependencies),
    /// Not at all.
    Absent,
    /// Dynamic, but to be read from these requirements files.
    Files(Vec<(String, Origin)>),
    /// Dynamic.
    Dynamic(Origin),
    /// In Poetry's form.
    Poetry(Origin),
}

/// A parsed `pyproject.toml`.
pub(super) struct Pyproject {
    toml: Toml,
}

impl Pyproject {
    /// Reads a file if it is there.
    pub fn read(root: &Root, file: &str) -> Result<Option<Self>, Error> {
        root.read_optional(file)?.map(|text| Self::parse(file, text)).transpose()
    }

    pub fn parse(file: &str, text: String) -> Result<Self, Error> {
        Ok(Self { toml: Toml::parse(file, text)? })
    }

    /// The file as TOML.
    pub fn toml(&self) -> &Toml {
        &self.toml
    }

    pub fn file(&self) -> &str {
        self.toml.file()
    }

    pub fn has_project(&self) -> bool {
        self.toml.get(&["project"]).is_some()
    }

    /// Where the `[project]` table is, or its dependencies if it has any.
    pub fn origin(&self) -> Origin {
        match self.toml.get(&["project", "dependencies"]) {
            Some(_) => self.toml.origin(&["project", "dependencies"]),
            None => self.toml.origin(&["project"]),
        }
    }

    pub fn stated(&self) -> Result<Stated, Error> {
        self.toml.table(&["project"])?;
        if let Some(listed) = self.toml.strings(&["project", "dependencies"])? {
            let mut dependencies = Dependencies::default();
            for (text, origin) in listed {
                dependencies.push(parse_requirement(text, origin)?)?;
            }
            return Ok(Stated::Listed(dependencies));
        }
        if self.toml.get(&["tool", "poetry", "dependencies"]).is_some() {
            return Ok(Stated::Poetry(self.toml.origin(&["tool", "poetry", "dependencies"])));
        }
        let dynamic = self.toml.strings(&["project", "dynamic"])?.unwrap_or_default();
        let Some((_, origin)) = dynamic.into_iter().find(|(text, _)| *text == "dependencies") else {
            return Ok(Stated::Absent);
        };
        // setuptools names the requirements files that hold them.
        let path = ["tool", "setuptools", "dynamic", "dependencies", "file"];
        Ok(match self.toml.get(&path) {
            Some(item) if item.is_str() => {
                let file = self.toml.string(&path)?.map(|(file, origin)| (file.to_owned(), origin));
                Stated::Files(file.into_iter().collect())
            }
            Some(_) => {
                let files = self.toml.strings(&path)?.unwrap_or_default();
                Stated::Files(files.into_iter().map(|(file, origin)| (file.to_owned(), origin)).collect())
            }
            None => Stated::Dynamic(origin),
        })
    }

    /// The dependencies, wherever they are stated; `None` if the file says nothing of any. `requires-python` is added.
    pub fn dependencies(
        &self,
        root: &Root,
        variables: Variables<'_>,
    ) -> Result<Option<(Dependencies, IndexSettings)>, Error> {
        let mut indexes = IndexSettings::default();
        let mut dependencies = match self.stated()? {
            Stated::Listed(dependencies) => dependencies,
            Stated::Absent => return Ok(None),
            Stated::Poetry(origin) => return Err(Error::Poetry { origin }),
            Stated::Dynamic(origin) => return Err(Error::DynamicDependencies { origin }),
            Stated::Files(files) => {
                let folder = self.file().rsplit_once('/').map_or("", |(folder, _)| folder);
                let mut all = Dependencies::default();
                for (file, origin) in files {
                    let file = if folder.is_empty() { file } else { format!("{folder}/{file}") };
                    let (read, named) = read_requirements(root, &file, Some(&origin), variables)?;
                    all.requirements.extend(read.requirements);
                    all.constraints.extend(read.constraints);
                    all.hashes.extend(read.hashes);
                    all.python = read.python.or(all.python);
                    indexes.merge(named)?;
                }
                all
            }
        };
        if dependencies.python.is_none() {
            dependencies.python = self.python()?;
        }
        Ok(Some((dependencies, indexes)))
    }

    /// `requires-python`.
    pub fn python(&self) -> Result<Option<PythonRequest>, Error> {
        self.toml
            .string(&["project", "requires-python"])?
            .map(|(text, origin)| PythonRequest::parse(text, origin))
            .transpose()
    }

    /// The indexes of `[tool.uv]` and `[tool.bakehouse]`. What else in uv's table would change a resolution is an error
    /// if `strict`, and a warning otherwise: the platform's client ignores it.
    pub fn indexes(
        &self,
        strict: bool,
        variables: Variables<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<IndexSettings, Error> {
        let settings = indexes::read(&self.toml, variables)?;
        for path in self.uv_settings_that_change_resolution()? {
            let origin = self.toml.origin(&path);
            let what = format!("`{}`", path.join("."));
            if strict {
                let hint = "remove it, or lock with the tool it is for";
                return Err(Error::Unsupported { origin, what, hint });
            }
            warnings.push(Warning::at(origin, format!("{what} is ignored, as the platform's client does")));
        }
        Ok(settings)
    }

    fn uv_settings_that_change_resolution(&self) -> Result<Vec<Vec<&str>>, Error> {
        let mut found = Vec::new();
        let keys = [
            "constraint-dependencies",
            "override-dependencies",
            "exclude-dependencies",
            "find-links",
            "no-index",
        ];
        for key in keys {
            let path = vec!["tool", "uv", key];
            let says_nothing = |item: &Item| {
                item.as_bool() == Some(false) || item.as_array().is_some_and(toml_edit::Array::is_empty)
            };
            if self.toml.get(&path).is_some_and(|item| !says_nothing(item)) {
                found.push(path);
            }
        }
        // A source matters where it is for one of the dependencies; others are for development groups.
        if let (Some(sources), Stated::Listed(listed)) =
            (self.toml.table(&["tool", "uv", "sources"])?, self.stated()?)
        {
            let names: BTreeSet<&PackageName> = listed.requirements.iter().map(|r| &r.pep508.name).collect();
            for (key, _) in sources.iter() {
                if key.parse::<PackageName>().is_ok_and(|name| names.contains(&name)) {
                    found.push(vec!["tool", "uv", "sources", key]);
                }
            }
        }
        Ok(found)
    }

    /// The distribution's metadata.
    pub fn metadata(&self, root: &Root, src_layout: bool) -> Result<PackageMetadata, Error> {
        let (name, origin) = self
            .toml
            .string(&["project", "name"])?
            .ok_or_else(|| Error::invalid(self.toml.origin(&["project"]), "[project] must have a `name`"))?;
        if name.parse::<PackageName>().is_err() {
            return Err(Error::invalid(origin, "`project.name` is not a valid distribution name"));
        }
        let version = match self.toml.string(&["project", "version"])? {
            Some((text, origin)) => {
                let version = text.parse::<Version>();
                Some(
                    version
                        .map_err(|_| Error::invalid(origin, "`project.version` is not valid (PEP 440)"))?,
                )
            }
            None => None,
        };
        let text = |path: &[&str]| -> Result<Option<String>, Error> {
            Ok(self.toml.string(path)?.map(|(text, _)| text.to_owned()))
        };
        let readme = match self.toml.get(&["project", "readme"]) {
            Some(item) if item.is_str() => text(&["project", "readme"])?,
            Some(_) => text(&["project", "readme", "file"])?,
            None => None,
        };
        let license = match self.toml.get(&["project", "license"]) {
            Some(item) if item.is_str() => text(&["project", "license"])?,
            _ => text(&["project", "license", "text"])?,
        };
        let dependencies = match self.stated()? {
            Stated::Listed(listed) => listed.requirements.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        let requires_python = match self.toml.string(&["project", "requires-python"])? {
            // What is no PEP 440 specifier, such as a bare `3.11`, is understood by `python`, but is no metadata.
            Some((text, _)) => text.parse().ok(),
            None => None,
        };
        let mut entry_points = BTreeMap::new();
        if let Some(groups) = self.toml.table(&["project", "entry-points"])? {
            for (group, _) in groups.iter() {
                let entries = self.entry_points(&["project", "entry-points", group])?;
                let is_plain = group.chars().all(|c| !c.is_control() && !matches!(c, '[' | ']'));
                if !is_plain || matches!(group, "console_scripts" | "gui_scripts") {
                    let origin = self.toml.origin(&["project", "entry-points", group]);
                    let problem = format!("`{}` cannot be a group of entry points", group.escape_debug());
                    return Err(Error::invalid(origin, problem));
                }
                entry_points.insert(group.to_owned(), entries);
            }
        }
        Ok(PackageMetadata {
            name: name.to_owned(),
            version,
            summary: text(&["project", "description"])?,
            requires_python,
            dependencies,
            readme: readme.map(|file| root.path.join(file)).filter(|path| root.holds(path)),
            license,
            scripts: self.entry_points(&["project", "scripts"])?,
            gui_scripts: self.entry_points(&["project", "gui-scripts"])?,
            entry_points,
            src_layout,
        })
    }

    /// A table of entry points, in order. A script's name becomes a file's name, and its object Python code: both are
    /// checked.
    fn entry_points(&self, path: &[&str]) -> Result<Vec<(String, String)>, Error> {
        let is_script = path.len() == 2;
        let mut entries = Vec::new();
        for (name, object, origin) in self.toml.string_table(path)? {
            let is_odd =
                |c: char| c.is_control() || matches!(c, '/' | '\\' | '=' | ':') || (is_script && c == ' ');
            let name_ok = !name.is_empty() && !name.starts_with(['.', '-', '[']) && !name.contains(is_odd);
            if !name_ok {
                let problem = format!("`{}` cannot be an entry point's name", name.escape_debug());
                return Err(Error::invalid(origin, problem));
            }
            if !is_object_reference(object, is_script) {
                let problem = format!("`{}` is not an object reference", object.escape_debug());
                return Err(Error::Invalid {
                    origin,
                    problem,
                    hint: Some("write one like `package.module:function`"),
                });
            }
            entries.push((name.to_owned(), object.trim().to_owned()));
        }
        Ok(entries)
    }
}

/// Whether a text is `module.path:object.path`, the second half required of a script.
fn is_object_reference(text: &str, is_script: bool) -> bool {
    let is_path = |path: &str| {
        path.trim().split('.').all(|part| {
            part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    // Extras after the object are allowed by the specification and mean nothing any more.
    let text = text.split('[').next().unwrap_or_default();
    match text.split_once(':') {
        Some((module, object)) => is_path(module) && is_path(object),
        None => !is_script && is_path(text),
    }
}
