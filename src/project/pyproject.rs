//! `pyproject.toml`: dependencies, Python, metadata, indexes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::dependencies::{Dependencies, read_requirements};
use super::resolving::ResolvingTables;
use super::source::Root;
use super::sources::Sources;
use super::toml::Toml;
use super::{Error, IndexSettings, PythonRequest, Selection, groups, indexes};
use crate::model::{Origin, PackageName, Variables, Version, VersionSpecifiers, Warning, parse_requirement};

/// uv's own file of settings.
const UV: &str = "uv.toml";

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

/// A parsed `pyproject.toml`, and the `uv.toml` beside it.
pub(super) struct Pyproject {
    toml: Toml,
    uv: Option<Toml>,
}

/// What a `pyproject.toml` is read with.
#[derive(Clone, Copy)]
pub(super) struct Context<'c> {
    pub root: &'c Root,
    pub selection: &'c Selection,
    pub variables: Variables<'c>,
    /// Whether what is not understood is an error.
    pub strict: bool,
}

impl Pyproject {
    /// Reads a file if it is there.
    pub fn read(root: &Root, file: &str) -> Result<Option<Self>, Error> {
        let Some(text) = root.read_optional(file)? else { return Ok(None) };
        let beside =
            file.rsplit_once('/').map_or_else(|| UV.to_owned(), |(folder, _)| format!("{folder}/{UV}"));
        let uv = root.read_optional(&beside)?.map(|text| Toml::parse(&beside, text)).transpose()?;
        Ok(Some(Self { uv, ..Self::parse(file, text)? }))
    }

    pub fn parse(file: &str, text: String) -> Result<Self, Error> {
        Ok(Self { toml: Toml::parse(file, text)?, uv: None })
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

    /// The dependencies, wherever they are stated, and complete; `None` if the file says nothing of any.
    /// `requires-python` is added.
    pub fn dependencies(
        &self,
        context: &Context<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<(Dependencies, IndexSettings)>, Error> {
        let Context { root, variables, .. } = *context;
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
        indexes.merge(self.complete(context, &mut dependencies, warnings)?)?;
        Ok(Some((dependencies, indexes)))
    }

    /// `requires-python`.
    pub fn python(&self) -> Result<Option<PythonRequest>, Error> {
        self.toml
            .string(&["project", "requires-python"])?
            .map(|(text, origin)| PythonRequest::parse(text, origin))
            .transpose()
    }

    /// What the files say of resolving.
    pub fn resolving(&self) -> ResolvingTables<'_> {
        ResolvingTables::new(&self.toml, self.uv.as_ref())
    }

    /// The extras and groups that are wanted: by the command line, and by `[tool.bakehouse]`.
    fn selection(&self, selection: &Selection) -> Result<Selection, Error> {
        let named = |key: &str| -> Result<Vec<String>, Error> {
            let listed = self.toml.strings(&["tool", "bakehouse", key])?.unwrap_or_default();
            Ok(listed.into_iter().map(|(text, _)| text.to_owned()).collect())
        };
        let mut all =
            Selection { extras: named("extras")?, groups: named("groups")?, ..Selection::default() };
        all.extras.extend(selection.extras.iter().cloned());
        all.groups.extend(selection.groups.iter().cloned());
        Ok(all)
    }

    /// What is added to the dependencies, wherever they are stated: extras and groups, constraints and overrides; and
    /// where single dependencies come from. What is not understood is an error if `strict`, and a warning otherwise: the
    /// platform's client ignores it.
    pub fn complete(
        &self,
        context: &Context<'_>,
        dependencies: &mut Dependencies,
        warnings: &mut Vec<Warning>,
    ) -> Result<IndexSettings, Error> {
        let settings = self.resolving();
        let selection = self.selection(context.selection)?;
        let listed = std::mem::take(&mut dependencies.requirements);
        dependencies.requirements = groups::without_itself(&self.toml, listed)?;
        for requirement in groups::chosen(&self.toml, &selection.extras, &selection.groups)? {
            if dependencies.requirements.iter().all(|known| known.pep508 != requirement.pep508) {
                dependencies.push(requirement)?;
            }
        }
        dependencies.constraints.extend(settings.constraints()?);
        dependencies.overrides.extend(settings.overrides()?);

        let (mut indexes, named) = indexes::read(&settings, context.root, context.variables)?;
        let strict = context.strict;
        let sources =
            Sources { toml: &self.toml, root: context.root, named: &named, selection: &selection, strict };
        indexes.pins = sources.apply(&mut dependencies.requirements, warnings)?;
        if let Some((origin, what)) = settings.unsupported() {
            if strict {
                let hint = "remove it, or lock with the tool it is for";
                return Err(Error::Unsupported { origin, what, hint });
            }
            warnings.push(Warning::at(origin, format!("{what} is ignored, as the platform's client does")));
        }
        Ok(indexes)
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
