//! The code files of a component: what goes into its code layers, and where. The rules are told in `docs/code.md`.

mod docker;
mod exclude;
mod files;
mod gather;
mod ignore;
mod libraries;
mod packages;
mod shadow;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::files::{CodeFile, CodeFileKind, CodeFiles, LeftOut, Reason};
use self::gather::{Gathered, Layer, warning_of};
use self::ignore::Ignore;
use self::libraries::{Libraries, Located};
pub use self::libraries::{Library, LibraryOrigin};
use self::packages::Facts;
use self::walk::{Found, Rules, Suffixes, Walk};
use super::source::Root;
use super::{Component, ComponentKind, Error, Project, ProjectKind};
use crate::model::{Origin, Variables, Warning};

/// The ends of the names of files that the platform takes into a flow's code, besides those of `package_suffixes`.
const FLOW_SUFFIXES: [&str; 3] = [".py", ".R", ".RDS"];
/// `package_suffixes` where nothing is said.
const PACKAGE_SUFFIXES: &str = ".html";
/// What a flow has although the platform's client leaves it out: its documentation shows them beside `flow.py`.
const SQL: &str = ".sql";
/// The ends of the names of files that the platform takes into a deployment's code where nothing is said.
const DEPLOYMENT_SUFFIXES: [&str; 13] =
    [".py", ".txt", ".yaml", ".yml", ".json", ".html", ".css", ".js", ".jsx", ".ts", ".tsx", ".md", ".rst"];
/// A folder beside `flow.py` that Metaflow makes for itself.
const TRAMPOLINES: &str = "_escape_trampolines";
/// The folder of the project's shared packages.
const SOURCE: &str = "src";
const OBPROJECT: &str = "obproject.toml";
/// Where libraries from outside the project are in the image.
const LIBRARIES: &str = "opt/libraries";

/// What may be chosen about code files.
#[derive(Debug, Clone, Default)]
pub struct CodeOptions {
    /// Whether what `.gitignore` files name is left out.
    pub gitignore: bool,
    /// Packages from outside the project, or folders that hold them.
    pub libraries: Vec<PathBuf>,
}

/// Finds the code files of a component, with nothing chosen and nothing from outside the project.
pub fn code_files(project: &Project, component: &Component) -> Result<CodeFiles, Error> {
    CodeReader::new(project, &CodeOptions::default(), &|_| None)?.files(component)
}

/// Finds the code files of a project's components. What they share is looked for once.
#[derive(Debug)]
pub struct CodeReader<'p> {
    project: &'p Project,
    ignore: Ignore,
    libraries: Libraries,
    known: Mutex<BTreeMap<Common, Arc<Found>>>,
    /// What deployments come to that have the same of the project.
    deployments: Mutex<BTreeMap<Recipe, CodeFiles>>,
    /// The shared files of flows: few lists, in many of them.
    lists: Mutex<BTreeSet<Arc<Vec<CodeFile>>>>,
    /// What modules tell, by their files.
    facts: Mutex<BTreeMap<PathBuf, Arc<Facts>>>,
}

/// What the files of a deployment follow from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Recipe {
    paths: Vec<String>,
    suffixes: Suffixes,
    /// The README, if it would not come along anyway.
    readme: Option<String>,
}

/// What several components have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Common {
    /// The packages in `src/`, whole.
    Source,
    /// The whole project's files with these suffixes.
    Project(Suffixes),
}

impl<'p> CodeReader<'p> {
    /// Reads what the project itself leaves out. `variables` tell where libraries may be: `PYTHONPATH`, `VIRTUAL_ENV`,
    /// `CONDA_PREFIX`.
    pub fn new(project: &'p Project, options: &CodeOptions, variables: Variables<'_>) -> Result<Self, Error> {
        let mut ignore = Ignore::read(&Root { path: project.root.clone() }, options.gitignore)?;
        ignore.secrets.clone_from(&project.secret_files);
        let libraries = Libraries::find(project, &options.libraries, variables)?;
        Ok(Self {
            project,
            ignore,
            libraries,
            known: Mutex::default(),
            deployments: Mutex::default(),
            lists: Mutex::default(),
            facts: Mutex::default(),
        })
    }

    /// The files of a component: for a flow its folder and the packages in `src/`, for a deployment the project, or the
    /// folders that its configuration names, for a plain project all of it. Credentials, version control, caches and
    /// locks are left out.
    pub fn files(&self, component: &Component) -> Result<CodeFiles, Error> {
        let mut code = Gathered::default();
        match component.kind {
            ComponentKind::Package => {
                let rules = Rules {
                    hidden: true,
                    keep_directory_links: true,
                    build_output: true,
                    ..Rules::default()
                };
                code.add(&self.walk("", &rules)?, |path| Some((Layer::Own, app(path))));
            }
            ComponentKind::Flow => {
                code.follows_links = true;
                self.flow(component, &mut code)?;
            }
            ComponentKind::Deployment => return self.deployment(component),
        }
        let mut code = self.finish(component, code)?;
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        match lists.get(&code.shared) {
            Some(known) => code.shared = Arc::clone(known),
            None => drop(lists.insert(Arc::clone(&code.shared))),
        }
        Ok(code)
    }

    fn finish(&self, component: &Component, mut code: Gathered) -> Result<CodeFiles, Error> {
        for library in &self.libraries.chosen {
            self.library(library, &mut code)?;
        }
        let mut code = code.finish();
        code.warn_of_standard_names(component);
        Ok(code)
    }

    fn walk(&self, folder: &str, rules: &Rules<'_>) -> Result<Found, Error> {
        Walk::run(&self.project.root, folder, &self.ignore, rules)
    }

    /// What is found once for several components.
    fn shared(&self, part: Common, find: impl FnOnce() -> Result<Found, Error>) -> Result<Arc<Found>, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&part) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(find()?);
        known.insert(part, Arc::clone(&found));
        Ok(found)
    }

    fn flow(&self, component: &Component, code: &mut Gathered) -> Result<(), Error> {
        let source = self.shared(Common::Source, || packages::source(&self.project.root, &self.ignore))?;
        code.add(&source, |path| Some((Layer::Shared, app(path))));

        let stated = component.code.suffixes.clone().unwrap_or_else(|| vec![PACKAGE_SUFFIXES.to_owned()]);
        let list: Vec<String> =
            FLOW_SUFFIXES.iter().map(|suffix| (*suffix).to_owned()).chain(stated).collect();
        let platform = Suffixes { list: list.clone(), fold_case: true };
        let suffixes = Suffixes { list: list.into_iter().chain([SQL.to_owned()]).collect(), fold_case: true };
        // The platform brings the values of configurations to a run; here the run reads them itself.
        let mut always = BTreeSet::from([OBPROJECT.to_owned()]);
        always.extend(component.code.reads.iter().cloned());
        always.extend(self.readme(component));
        let skipped = BTreeSet::from([format!("{}/{TRAMPOLINES}", component.folder)]);
        let rules = Rules { suffixes: Some(&suffixes), always, skipped, ..Rules::default() };
        let own = self.walk(&component.folder, &rules)?;
        code.add(&own, |path| Some((Layer::Own, app(path))));
        let within = format!("{}/", component.folder);
        for file in rules.always.iter().filter(|file| !file.starts_with(&within)) {
            code.add(&self.walk(file, &rules)?, |path| Some((Layer::Own, app(path))));
        }

        self.imported(component, code)?;

        let flow = format!("{within}flow.py");
        if !own.files.iter().any(|file| file.path == flow) {
            let holds = |out: &&LeftOut| {
                out.path == flow || flow.starts_with(&out.path) || out.path == component.folder
            };
            if let Some(LeftOut { reason: Reason::Ignored(origin), .. }) = own.left_out.iter().find(holds) {
                return Err(Error::Ignored { origin: origin.clone(), path: flow });
            }
        }
        let beyond = own.files.iter().map(|file| file.path.as_str());
        let beyond = beyond.filter(|path| !rules.always.contains(*path) && !platform.take(name(path)));
        code.warnings.extend(warning_of(&component.folder, beyond, |files| {
            format!("{files} is in the image, but the platform's client leaves it out: {ADD_SUFFIX}")
        }));
        let missed =
            own.left_out.iter().filter(|out| out.reason == Reason::Suffix && is_missed(name(&out.path)));
        code.warnings.extend(warning_of(&component.folder, missed.map(|out| out.path.as_str()), |files| {
            format!("{files} is left out, as the platform's client leaves it out: {ADD_SUFFIX}")
        }));
        Ok(())
    }

    /// Adds what the code imports from elsewhere: from the project's root, which is on the path as `src/` is, and
    /// libraries of the organization.
    fn imported(&self, component: &Component, code: &mut Gathered) -> Result<(), Error> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut parsed: BTreeSet<PathBuf> = BTreeSet::new();
        loop {
            let sources: Vec<PathBuf> = code.files.values().map(|(_, file)| file.source.clone()).collect();
            let mut names = BTreeSet::new();
            for source in sources {
                if source.extension().is_some_and(|suffix| suffix == "py") && parsed.insert(source.clone()) {
                    names.extend(self.facts(&source).imports.iter().cloned());
                }
            }
            names.retain(|name| seen.insert(name.clone()) && !shadow::is_standard(name));
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                let folders =
                    [component.folder.as_str(), SOURCE].map(|folder| self.project.root.join(folder));
                let is_there = |folder: &PathBuf| {
                    folder.join(&name).join("__init__.py").is_file()
                        || folder.join(format!("{name}.py")).is_file()
                };
                if !folders.iter().any(is_there) && !self.imported_from_root(&name, code)? {
                    self.imported_from_outside(&name, code)?;
                }
            }
        }
    }

    /// Adds a package or module of the project's root, if it has one of this name.
    fn imported_from_root(&self, name: &str, code: &mut Gathered) -> Result<bool, Error> {
        if matches!(name, SOURCE | "flows" | "deployments") {
            return Ok(false);
        }
        let root = &self.project.root;
        let file_names = [name.to_owned(), format!("{name}.py")];
        let Some(found) = file_names.iter().find_map(|file_name| packages::importable(root, file_name))
        else {
            return Ok(false);
        };
        // A folder without `__init__.py` may only have the name of a distribution.
        if found.module == found.file_name && root.join(&found.file_name).is_dir() && !found.has_policy {
            return Ok(false);
        }
        if !found.has_policy {
            code.warnings.push(packages::no_policy(&found.module));
        }
        let rules = Rules { hidden: true, ..Rules::default() };
        code.add(&self.walk(&found.file_name, &rules)?, |path| Some((Layer::Own, app(path))));
        Ok(true)
    }

    /// Adds a library of the organization, if there is one of this name.
    fn imported_from_outside(&self, name: &str, code: &mut Gathered) -> Result<(), Error> {
        let chosen = self.libraries.chosen.iter().any(|chosen| chosen.library.name == name);
        let Some(found) = self.libraries.get(name).filter(|_| !chosen) else { return Ok(()) };
        let Library { path, origin, .. } = &found.library;
        let message = match (found.has_policy, origin) {
            (true, _) => format!(
                "the library `{name}` goes into the image from outside the project: {}",
                path.display()
            ),
            (false, LibraryOrigin::Environment) => return Ok(()),
            (false, _) => format!(
                "the library `{name}` is left out: {} has no METAFLOW_PACKAGE_POLICY = 'include' (--library takes it \
                 all the same)",
                path.display()
            ),
        };
        code.warnings.push(Warning::general(message));
        if found.has_policy { self.library(&found, code) } else { Ok(()) }
    }

    /// Adds all files of a library.
    fn library(&self, found: &Located, code: &mut Gathered) -> Result<(), Error> {
        let rules = Rules { hidden: true, ..Rules::default() };
        let ignore = Ignore::default();
        for part in [Some(&found.file_name), found.metadata.as_ref()].into_iter().flatten() {
            let mut files = Walk::run(&found.folder, part, &ignore, &rules)?;
            // What is said of files of the project has their paths there; these are elsewhere.
            let shown = |path: &str| found.folder.join(path).display().to_string();
            for origin in files.warnings.iter_mut().filter_map(|warning| warning.origin.as_mut()) {
                origin.file = shown(&origin.file);
            }
            files.left_out.iter_mut().for_each(|out| out.path = shown(&out.path));
            code.add(&files, |path| Some((Layer::Shared, format!("{LIBRARIES}/{path}"))));
        }
        code.libraries.push(found.library.clone());
        Ok(())
    }

    /// What a module tells.
    fn facts(&self, path: &Path) -> Arc<Facts> {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = facts.get(path) {
            return Arc::clone(known);
        }
        let found = Arc::new(packages::facts(path).unwrap_or_default());
        facts.insert(path.to_owned(), Arc::clone(&found));
        found
    }

    fn deployment(&self, component: &Component) -> Result<CodeFiles, Error> {
        let package = &component.code;
        let list = match &package.suffixes {
            Some(list) => list.clone(),
            None => DEPLOYMENT_SUFFIXES.iter().map(|suffix| (*suffix).to_owned()).collect(),
        };
        let suffixes = Suffixes { list, fold_case: false };
        let rules = Rules { suffixes: Some(&suffixes), ..Rules::default() };
        let whole = match package.is_whole_project() {
            true => Some(self.shared(Common::Project(suffixes.clone()), || self.walk("", &rules))?),
            false => None,
        };
        let is_there = |readme: &String| whole.as_ref().is_some_and(|found| found.holds(readme));
        let readme = self.readme(component).filter(|readme| !is_there(readme));
        let recipe = Recipe { paths: package.paths.clone(), suffixes: suffixes.clone(), readme };
        let known = self.deployments.lock().unwrap_or_else(PoisonError::into_inner).get(&recipe).cloned();
        let mut code = match known {
            Some(code) => code,
            None => {
                let code = self.deployed(component, &rules, whole.as_deref(), &recipe)?;
                let mut known = self.deployments.lock().unwrap_or_else(PoisonError::into_inner);
                known.entry(recipe).or_insert(code).clone()
            }
        };
        for path in package.paths.iter().filter(|path| !self.project.root.join(path).exists()) {
            let message = format!("`package.src_paths` names `{}`, which is not there", path.escape_debug());
            code.warnings.push(Warning::at(Origin::file(&component.folder), message));
        }
        let left_out = Arc::clone(&code.left_out);
        let missed = [format!("{}/", component.folder), format!("{SOURCE}/")];
        let missed = missed.iter().flat_map(|folder| {
            // Sorted by path: what is in one folder stands together.
            let first = left_out.partition_point(|out| out.path < *folder);
            left_out[first..].iter().take_while(move |out| out.path.starts_with(folder))
        });
        let missed = missed.filter(|out| out.reason == Reason::Suffix && is_missed(name(&out.path)));
        code.warnings.extend(warning_of(&component.folder, missed.map(|out| out.path.as_str()), |files| {
            format!(
                "{files} is left out, as the platform's client leaves it out: name all suffixes under \
                     `package.suffixes` in the configuration to have it in both"
            )
        }));
        Ok(code)
    }

    /// What the deployments of one recipe have in common, which is all their files.
    fn deployed(
        &self,
        component: &Component,
        rules: &Rules<'_>,
        whole: Option<&Found>,
        recipe: &Recipe,
    ) -> Result<CodeFiles, Error> {
        let mut code = Gathered::default();
        if let Some(found) = whole {
            let source = format!("{SOURCE}/");
            code.add(found, |path| {
                let layer = if path.starts_with(&source) { Layer::Shared } else { Layer::Own };
                Some((layer, app(path)))
            });
        }
        for folder in recipe.paths.iter().filter(|_| whole.is_none()) {
            let found = self.walk(folder, rules)?;
            // The platform puts what is in the folders, not the folders, into the working directory.
            let within = format!("{folder}/");
            code.add(&found, |path| {
                let path = path.strip_prefix(&within).unwrap_or_else(|| name(path));
                Some((Layer::Own, app(path)))
            });
        }
        if let Some(readme) = &recipe.readme {
            let rules = Rules { always: BTreeSet::from([readme.clone()]), ..rules.clone() };
            code.add(&self.walk(readme, &rules)?, |path| Some((Layer::Own, app(path))));
        }
        self.finish(component, code)
    }

    /// The README, relative to the project: it documents the image.
    fn readme(&self, component: &Component) -> Option<String> {
        let path = component.readme.as_ref()?.strip_prefix(&self.project.root).ok()?;
        path.to_str().filter(|_| self.project.kind == ProjectKind::Outerbounds).map(str::to_owned)
    }
}

const ADD_SUFFIX: &str =
    "name its suffix in `package_suffixes` under [dependencies] in obproject.toml to have it in both";

/// Whether somebody might miss a file, rather than that it is about the project.
fn is_missed(name: &str) -> bool {
    let name = name.to_lowercase();
    let about =
        ["requirements.txt", "pyproject.toml", "obproject_deploy.toml", "uv.lock", "makefile", "dockerfile"];
    let documentation = [".md", ".rst", ".ipynb"];
    !about.contains(&name.as_str()) && !documentation.iter().any(|suffix| name.ends_with(suffix))
}

/// The place of a file of the project in the image.
fn app(path: &str) -> String {
    format!("app/{path}")
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
