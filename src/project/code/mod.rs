//! The code files of a component: what goes into its code layers, and where. The rules are told in `docs/code.md`.

mod exclude;
mod ignore;
mod packages;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Component as Part, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use self::ignore::Ignore;
use self::walk::{Found, FoundFile, Rules, Suffixes, Walk};
use super::source::Root;
use super::{Component, ComponentKind, Error, Project, ProjectKind};
use crate::model::{Origin, Warning};

/// The ends of the names of files that the platform takes into a flow's code, besides those of `package_suffixes`.
const FLOW_SUFFIXES: [&str; 3] = [".py", ".R", ".RDS"];
/// `package_suffixes` where nothing is said.
const PACKAGE_SUFFIXES: &str = ".html";
/// What a flow has although the platform's client leaves it out: its documentation shows them beside `flow.py`.
const SQL: &str = ".sql";
/// The ends of the names of files that the platform takes into a deployment's code where nothing is said.
const DEPLOYMENT_SUFFIXES: [&str; 13] =
    [".py", ".txt", ".yaml", ".yml", ".json", ".html", ".css", ".js", ".jsx", ".ts", ".tsx", ".md", ".rst"];
/// The folder of the project's shared packages.
const SOURCE: &str = "src";
const OBPROJECT: &str = "obproject.toml";

/// The code files of one component.
#[derive(Debug, Clone, Default)]
pub struct CodeFiles {
    /// What components share: `src/`. Sorted by path, empty for a plain project.
    pub shared: Vec<CodeFile>,
    /// The component's own files, sorted by path.
    pub own: Vec<CodeFile>,
    /// What is left out, sorted by path.
    pub left_out: Vec<LeftOut>,
    /// What was left out that its author might miss, and what is surprising.
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

/// A file or directory that is not in an image's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Relative to the project; of a directory with `/` at its end: nothing in it is taken.
    pub path: String,
    /// Why.
    pub reason: Reason,
}

/// Why something is left out of an image's code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It holds, or is likely to hold, credentials or keys. Its author is told.
    Secret,
    /// History and settings of version control.
    VersionControl,
    /// It can be made again, or belongs to a tool on the author's machine.
    Tool,
    /// A lock: it says what the environment is made of, and a build may write it.
    Lock,
    /// Its name begins with a dot.
    Hidden,
    /// The platform takes files by the ends of their names, and this one's is none of them.
    Suffix,
    /// It is beside the packages in `src/`, and no module.
    NoPackage,
    /// A pattern of `.dockerignore` or the like leaves it out.
    Ignored(Origin),
    /// A symbolic link that leads nowhere.
    BrokenLink,
    /// A symbolic link to a directory that holds it.
    Cycle,
    /// It is neither a file nor a directory.
    Special,
}

impl Reason {
    /// One word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::VersionControl => "version-control",
            Self::Tool => "tool",
            Self::Lock => "lock",
            Self::Hidden => "hidden",
            Self::Suffix => "suffix",
            Self::NoPackage => "no-package",
            Self::Ignored(_) => "ignored",
            Self::BrokenLink => "broken-link",
            Self::Cycle => "cycle",
            Self::Special => "special",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secret => "may hold credentials",
            Self::VersionControl => "version control",
            Self::Tool => "a cache, or a tool's own",
            Self::Lock => "a lock",
            Self::Hidden => "hidden",
            Self::Suffix => "not among the suffixes",
            Self::NoPackage => "no package or module",
            Self::Ignored(origin) => return write!(f, "left out by {origin}"),
            Self::BrokenLink => "a link that leads nowhere",
            Self::Cycle => "a link to a directory that holds it",
            Self::Special => "neither a file nor a directory",
        })
    }
}

/// What may be chosen about code files.
#[derive(Debug, Clone, Default)]
pub struct CodeOptions {
    /// Whether what `.gitignore` files name is left out.
    pub gitignore: bool,
}

/// Finds the code files of a component, with nothing chosen.
pub fn code_files(project: &Project, component: &Component) -> Result<CodeFiles, Error> {
    CodeReader::new(project, &CodeOptions::default())?.files(component)
}

/// Finds the code files of a project's components. What they share is looked for once.
#[derive(Debug)]
pub struct CodeReader<'p> {
    project: &'p Project,
    ignore: Ignore,
    known: Mutex<BTreeMap<Common, Arc<Found>>>,
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
    /// Reads what the project itself leaves out.
    pub fn new(project: &'p Project, options: &CodeOptions) -> Result<Self, Error> {
        let ignore = Ignore::read(&Root { path: project.root.clone() }, options.gitignore)?;
        Ok(Self { project, ignore, known: Mutex::default() })
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
                code.add(&self.walk("", &rules)?, |path| Some((Layer::Own, path.to_owned())));
            }
            ComponentKind::Flow => self.flow(component, &mut code)?,
            ComponentKind::Deployment => self.deployment(component, &mut code)?,
        }
        Ok(code.finish())
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
        code.add(&source, |path| Some((Layer::Shared, path.to_owned())));

        let stated = component.code.suffixes.clone().unwrap_or_else(|| vec![PACKAGE_SUFFIXES.to_owned()]);
        let list: Vec<String> =
            FLOW_SUFFIXES.iter().map(|suffix| (*suffix).to_owned()).chain(stated).collect();
        let platform = Suffixes { list: list.clone(), fold_case: true };
        let suffixes = Suffixes { list: list.into_iter().chain([SQL.to_owned()]).collect(), fold_case: true };
        // The platform brings the values of configurations to a run; here the run reads them itself.
        let mut always = self.configurations(component);
        always.extend(self.readme(component));
        let rules = Rules { suffixes: Some(&suffixes), always, ..Rules::default() };
        let own = self.walk(&component.folder, &rules)?;
        code.add(&own, |path| Some((Layer::Own, path.to_owned())));
        let within = format!("{}/", component.folder);
        for file in rules.always.iter().filter(|file| !file.starts_with(&within)) {
            code.add(&self.walk(file, &rules)?, |path| Some((Layer::Own, path.to_owned())));
        }

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
        code.warn_of(&component.folder, beyond, |files| {
            format!("{files} is in the image, but the platform's client leaves it out: {ADD_SUFFIX}")
        });
        let missed =
            own.left_out.iter().filter(|out| out.reason == Reason::Suffix && is_missed(name(&out.path)));
        code.warn_of(&component.folder, missed.map(|out| out.path.as_str()), |files| {
            format!("{files} is left out, as the platform's client leaves it out: {ADD_SUFFIX}")
        });
        Ok(())
    }

    /// The files that a flow's configurations are read from, that of the project's own one included.
    fn configurations(&self, component: &Component) -> BTreeSet<String> {
        let folder = Path::new(&component.folder);
        let named = packages::configurations(&self.project.root.join(folder).join("flow.py"));
        let file = |(name, default): (String, Option<String>)| match component.code.configs.get(&name) {
            Some(chosen) => Some(chosen.clone()),
            None => inside(&folder.join(default?)),
        };
        named.into_iter().filter_map(file).chain([OBPROJECT.to_owned()]).collect()
    }

    fn deployment(&self, component: &Component, code: &mut Gathered) -> Result<(), Error> {
        let package = &component.code;
        let list = match &package.suffixes {
            Some(list) => list.clone(),
            None => DEPLOYMENT_SUFFIXES.iter().map(|suffix| (*suffix).to_owned()).collect(),
        };
        let suffixes = Suffixes { list, fold_case: false };
        let rules = Rules { suffixes: Some(&suffixes), ..Rules::default() };
        if package.is_whole_project() {
            let found = self.shared(Common::Project(suffixes.clone()), || self.walk("", &rules))?;
            let source = format!("{SOURCE}/");
            code.add(&found, |path| {
                let layer = if path.starts_with(&source) { Layer::Shared } else { Layer::Own };
                Some((layer, path.to_owned()))
            });
        }
        for folder in package.paths.iter().filter(|_| !package.is_whole_project()) {
            let found = self.walk(folder, &rules)?;
            if found.files.is_empty() && !self.project.root.join(folder).exists() {
                let message =
                    format!("`package.src_paths` names `{}`, which is not there", folder.escape_debug());
                code.warnings.push(Warning::at(Origin::file(&component.folder), message));
            }
            // The platform puts what is in the folders, not the folders, into the working directory.
            let within = format!("{folder}/");
            code.add(&found, |path| {
                let path = path.strip_prefix(&within).unwrap_or_else(|| name(path));
                Some((Layer::Own, path.to_owned()))
            });
        }
        let always: BTreeSet<String> = self.readme(component).into_iter().collect();
        for file in &always {
            let rules = Rules { always: always.clone(), ..rules.clone() };
            code.add(&self.walk(file, &rules)?, |path| Some((Layer::Own, path.to_owned())));
        }
        let folders = [format!("{}/", component.folder), format!("{SOURCE}/")];
        let out = code.left_out.iter().filter(|out| {
            out.reason == Reason::Suffix
                && is_missed(name(&out.path))
                && folders.iter().any(|folder| out.path.starts_with(folder))
        });
        let missed: Vec<String> = out.map(|out| out.path.clone()).collect();
        code.warn_of(&component.folder, missed.iter().map(String::as_str), |files| {
            format!(
                "{files} is left out, as the platform's client leaves it out: name all suffixes under \
                 `package.suffixes` in the configuration to have it in both"
            )
        });
        Ok(())
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

/// A path without `.` and `..`, if it does not lead out.
fn inside(path: &Path) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Part::CurDir => {}
            Part::ParentDir => {
                parts.pop()?;
            }
            Part::Normal(name) => parts.push(name.to_str()?),
            _ => return None,
        }
    }
    Some(parts.join("/"))
}

/// The last part of a path.
fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Which layer a file goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Shared,
    Own,
}

/// The files of a component as they come together, by their paths below `/app`.
#[derive(Default)]
struct Gathered {
    files: BTreeMap<String, (Layer, FoundFile)>,
    left_out: Vec<LeftOut>,
    warnings: Vec<Warning>,
}

impl Gathered {
    /// Adds what was found, each file at the place that `place` gives it.
    fn add(&mut self, found: &Found, place: impl Fn(&str) -> Option<(Layer, String)>) {
        for file in &found.files {
            let Some((layer, path)) = place(&file.path) else { continue };
            let file = FoundFile { link: file.link.clone().filter(|_| path == file.path), ..file.clone() };
            if let Some((_, other)) = self.files.get(&path)
                && other.source != file.source
            {
                let message = format!("it takes the place of {} at /app/{path}", other.path);
                self.warnings.push(Warning::at(Origin::file(&file.path), message));
            }
            self.files.insert(path, (layer, file));
        }
        self.left_out.extend(found.left_out.iter().cloned());
        self.warnings.extend(found.warnings.iter().cloned());
    }

    /// Warns of files, if there are any, the first few of them named.
    fn warn_of<'f>(
        &mut self,
        folder: &str,
        files: impl Iterator<Item = &'f str>,
        message: impl FnOnce(String) -> String,
    ) {
        const NAMED: usize = 3;
        let within = format!("{folder}/");
        let files: Vec<&str> = files.map(|file| file.strip_prefix(&within).unwrap_or(file)).collect();
        if files.is_empty() {
            return;
        }
        let named: Vec<String> = files.iter().take(NAMED).map(|file| format!("`{file}`")).collect();
        let mut text = named.join(", ");
        if files.len() > NAMED {
            text += &format!(" and {} more", files.len() - NAMED);
        }
        self.warnings.push(Warning::at(Origin::file(folder), message(text)));
    }

    fn finish(mut self) -> CodeFiles {
        self.left_out.sort();
        self.left_out.dedup();
        self.warnings.dedup();
        let mut code = CodeFiles { left_out: self.left_out, warnings: self.warnings, ..CodeFiles::default() };
        let is_there = |link: &walk::Link| {
            link.to_directory || self.files.get(&link.names).is_some_and(|(_, file)| file.link.is_none())
        };
        for (path, (layer, file)) in &self.files {
            let kind = match &file.link {
                Some(link) if is_there(link) => CodeFileKind::Symlink { target: link.target.clone() },
                _ => CodeFileKind::File { executable: file.executable, size: file.size },
            };
            let file = CodeFile { path: format!("app/{path}"), source: file.source.clone(), kind };
            match layer {
                Layer::Shared => code.shared.push(file),
                Layer::Own => code.own.push(file),
            }
        }
        code
    }
}
