//! What can be wrong with a project.

use std::io;
use std::path::PathBuf;

use crate::model::{ExitCode, Origin, RequirementsTxtError};

/// What can be wrong with a project. Files are named relative to the project's root. No variant holds credentials.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds no project.
    #[error(
        "`{}` holds no project: looked for obproject.toml, pyproject.toml with a [project] table, and requirements.txt",
        directory.display()
    )]
    NoProject {
        /// The directory.
        directory: PathBuf,
        /// What was found instead, and what to do.
        hint: String,
    },
    /// The directory holds several projects, which are built one at a time.
    #[error("`{}` holds several projects: {}", directory.display(), projects.join(", "))]
    SeveralProjects {
        /// The directory.
        directory: PathBuf,
        /// The projects' directories, relative to it.
        projects: Vec<String>,
    },
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file that is named elsewhere is not there.
    #[error("{origin}: there is no file `{file}`")]
    NoFile {
        /// Where it is named.
        origin: Origin,
        /// The file.
        file: String,
    },
    /// A file that is to be read lies outside the project.
    #[error("{origin}: `{file}` is outside the project")]
    OutsideFile {
        /// Where it is named.
        origin: Origin,
        /// The file.
        file: String,
    },
    /// A file is larger than such a file may be.
    #[error("`{file}` is larger than {limit} bytes")]
    TooLarge {
        /// The file.
        file: String,
        /// The limit.
        limit: u64,
    },
    /// A text file is not UTF-8.
    #[error("{origin}: the text is not UTF-8")]
    NotUtf8 {
        /// The line with the first wrong byte.
        origin: Origin,
    },
    /// A file breaks its own grammar.
    #[error("{origin}: not valid {language}: {problem}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// `TOML`, `YAML` or `Python`.
        language: &'static str,
        /// What the parser says.
        problem: String,
    },
    /// A value is not what it should be.
    #[error("{origin}: {problem}")]
    Invalid {
        /// Where.
        origin: Origin,
        /// What is wrong.
        problem: String,
        /// What to do, if that is not plain.
        hint: Option<&'static str>,
    },
    /// The user asks for something that is not built yet.
    #[error("{origin}: {what} is not supported yet")]
    Unsupported {
        /// Where.
        origin: Origin,
        /// What was found.
        what: String,
        /// What to do instead.
        hint: &'static str,
    },
    /// Conda requirements.
    #[error("{origin}: {place} asks for conda packages: conda is not supported yet")]
    Conda {
        /// Where.
        origin: Origin,
        /// Which step, flow or deployment.
        place: String,
    },
    /// A step, or a step and its flow, asks for both conda and PyPI packages.
    #[error("{origin}: {place} mixes @conda and @pypi (the other is at {other})")]
    MixedEcosystems {
        /// Where the second ecosystem is asked for.
        origin: Origin,
        /// Which step or flow.
        place: String,
        /// Where the first is asked for.
        other: Origin,
    },
    /// A flow has `@pypi_base` although the project's `pyproject.toml` gives every flow one.
    #[error("{origin}: flow `{flow}` has @pypi_base, and so has the whole project through {other}")]
    DuplicateBase {
        /// The decorator.
        origin: Origin,
        /// The flow's folder name.
        flow: String,
        /// The project's file.
        other: Origin,
    },
    /// A decorator that may be there once is there twice, perhaps on a base class.
    #[error("{origin}: @{name} is given twice (first at {other})")]
    DuplicateDecorator {
        /// The second.
        origin: Origin,
        /// Its name.
        name: String,
        /// The first.
        other: Origin,
    },
    /// A value in Python code that is known only when the code runs.
    #[error("{origin}: {what} cannot be known without running the code: {reason}")]
    NotStatic {
        /// Where.
        origin: Origin,
        /// Which value, such as ``packages of @pypi of step `train` ``.
        what: String,
        /// What stands in the way.
        reason: String,
        /// The table of `obproject.toml` in which the outcome may be written.
        table: String,
    },
    /// `flow.py` has no flow, or more than one.
    #[error("{origin}: {problem}")]
    Flow {
        /// The file, and line if there is one.
        origin: Origin,
        /// What is wrong.
        problem: String,
    },
    /// `dynamic = ["dependencies"]`, and nothing static to read instead.
    #[error("{origin}: the dependencies are dynamic: they are known only to the project's build backend")]
    DynamicDependencies {
        /// The `dynamic` key.
        origin: Origin,
    },
    /// A `pyproject.toml` in Poetry's own form.
    #[error("{origin}: the dependencies are in Poetry's own form ([tool.poetry.dependencies])")]
    Poetry {
        /// The table.
        origin: Origin,
    },
    /// A requirements file is wrong.
    #[error(transparent)]
    Requirements(#[from] RequirementsTxtError),
    /// Two components, or two environments, would make images of one name.
    #[error("{first} and {second} would both make the image `{name}`")]
    NameCollision {
        /// One.
        first: String,
        /// The other.
        second: String,
        /// The name.
        name: String,
    },
    /// A name in the code would delete files when the image is unpacked.
    #[error("`{path}`: names that begin with `.wh.` mean deletions in image layers")]
    WhiteoutName {
        /// The file or directory.
        path: String,
    },
    /// A name in the code is not UTF-8.
    #[error("the name of `{path}` is not UTF-8")]
    NonUtf8Name {
        /// The name, with what is not UTF-8 replaced.
        path: String,
    },
    /// A file or directory of the code cannot be read.
    #[error("cannot read `{path}`, which belongs to the code")]
    Unreadable {
        /// The file or directory.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A rule of the project leaves out what an image cannot do without.
    #[error("{origin}: this leaves out `{path}`, which the image runs")]
    Ignored {
        /// The rule.
        origin: Origin,
        /// The file.
        path: String,
    },
    /// A library that was asked for cannot be had.
    #[error("the library `{}`: {problem}", path.display())]
    Library {
        /// As it was named.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A symbolic link leads out of the project.
    #[error("`{path}` is a symbolic link to `{target}`, outside the project")]
    EscapingLink {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// There are more files than a code layer may have.
    #[error("`{path}` holds more than {limit} files")]
    TooManyFiles {
        /// The directory.
        path: String,
        /// The limit.
        limit: usize,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } => ExitCode::Internal,
            Self::Requirements(error) => error.exit_code(),
            _ => ExitCode::Project,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoProject { hint, .. } => hint,
            Self::SeveralProjects { directory, projects } => {
                let first = projects.first().map_or("", String::as_str);
                return Some(format!("name one, such as `{}`", directory.join(first).display()));
            }
            Self::OutsideFile { .. } => "copy the file into the project, or build from the directory above",
            Self::NotUtf8 { .. } => "save the file as UTF-8",
            Self::Invalid { hint, .. } => return hint.map(str::to_owned),
            Self::Unsupported { hint, .. } => hint,
            Self::Conda { .. } => {
                "use @pypi (`dependencies.pypi` in a deployment) where the packages are on PyPI, or @conda(disabled=True)"
            }
            Self::MixedEcosystems { .. } => "use one of them",
            Self::DuplicateDecorator { .. } => "keep one of them: the platform refuses both",
            Self::DuplicateBase { .. } => {
                "move its packages to @pypi of the steps, or set `include_pyproject_toml = false` under [dependencies] in obproject.toml"
            }
            Self::NotStatic { table, .. } => {
                return Some(format!(
                    "write a literal, the name of a constant that this file, or a module of the project, assigns once, or \
                     a function that only makes values of others; or say what it comes to under [{table}] in obproject.toml"
                ));
            }
            Self::DynamicDependencies { .. } => {
                "list `dependencies` under [project], or write them to a requirements.txt beside it"
            }
            Self::Poetry { .. } => {
                "list `dependencies` under [project] (PEP 621), or export them to a requirements.txt beside it"
            }
            Self::Requirements(error) => return error.hint(),
            Self::NameCollision { .. } => {
                "rename one of the folders, or build them one at a time with `-c KIND/NAME`"
            }
            Self::WhiteoutName { .. } | Self::NonUtf8Name { .. } => "rename it or remove it",
            Self::EscapingLink { .. } => {
                "copy what it points to into the project, or name the link in .bakehouseignore to leave it out"
            }
            Self::Unreadable { .. } => "make it readable, or name it in .bakehouseignore to leave it out",
            Self::Ignored { .. } => {
                "add a line with `!` and the path, or write a .bakehouseignore, which counts instead of .dockerignore"
            }
            Self::Library { .. } => "name a package's folder, or the folder that holds the packages",
            _ => return None,
        };
        Some(hint.to_owned())
    }

    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    pub(super) fn unreadable(path: impl Into<String>, source: io::Error) -> Self {
        Self::Unreadable { path: path.into(), source }
    }

    pub(super) fn invalid(origin: Origin, problem: impl Into<String>) -> Self {
        Self::Invalid { origin, problem: problem.into(), hint: None }
    }
}
