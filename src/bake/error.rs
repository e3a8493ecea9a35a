//! What can go wrong in a run, gathered from all rooms.

use std::path::PathBuf;

use super::report::ErrorReport;
use crate::model::{ExitCode, Origin, Platform};
use crate::{base, image, index, layer, lock, net, project, registry, resolve, store};

/// Any failure of the pipeline.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The project is wrong.
    #[error(transparent)]
    Project(#[from] project::Error),
    /// No component has the name that was asked for.
    #[error("no component is called `{name}`")]
    UnknownComponent {
        /// The name as given.
        name: String,
        /// The components there are.
        known: Vec<String>,
    },
    /// A failure in one of several projects.
    #[error("project `{project}`, in {path}")]
    InProject {
        /// Its name among them.
        project: String,
        /// Its directory.
        path: String,
        /// What failed.
        source: Box<Error>,
    },
    /// The project has nothing to build.
    #[error("the project in {} has no component: no flow, no deployment, no package", project.display())]
    NoComponents {
        /// The project's folder.
        project: PathBuf,
    },
    /// No base image is named anywhere, and none that could be made fits.
    #[error("no base image is named, and the default ones have other Pythons: {found}")]
    NoBase {
        /// The Pythons that there would be.
        found: String,
    },
    /// Neither a base nor a Python is named for a lock.
    #[error("neither a base image nor one Python version is named")]
    NoPythonNamed,
    /// A base image's name in a project's file cannot be read.
    #[error("{origin}: the base image's name is wrong")]
    BaseReference {
        /// Where it is named.
        origin: Origin,
        /// Why.
        source: base::Error,
    },
    /// The base image is wrong.
    #[error(transparent)]
    Base(#[from] base::Error),
    /// An environment cannot be resolved.
    #[error("cannot resolve the environment of {unit}")]
    Resolve {
        /// The component, with its steps.
        unit: String,
        /// Why.
        source: resolve::Error,
    },
    /// A lock cannot be read or written.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A lock is missing or no longer true, and was to be used.
    #[error("{path} is {state}")]
    StaleLock {
        /// The lock, relative to the project.
        path: String,
        /// `missing`, or in what it is stale.
        state: String,
    },
    /// A lock of another tool does not have what is required, and was to be used.
    #[error("{path} is stale: nothing in it meets {}", unmet.join(", "))]
    StaleForeignLock {
        /// The lock, relative to the project.
        path: String,
        /// The requirements.
        unmet: Vec<String>,
    },
    /// A lock is for something that the base image is not.
    #[error("{path} is locked for {locked}, but the base image is {base}")]
    LockMismatch {
        /// The lock, relative to the project.
        path: String,
        /// What it is locked for.
        locked: String,
        /// What it would have to be for.
        base: String,
    },
    /// A lock counts on what the base image does not have.
    #[error("{path} counts on what the base image does not have: {}", lacking.join(", "))]
    BaseLacks {
        /// The lock, relative to the project.
        path: String,
        /// The distributions, with their versions.
        lacking: Vec<String>,
    },
    /// A distribution cannot be had.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// A distribution cannot be made into a layer.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The image documents cannot be made.
    #[error("{image}: the image cannot be composed")]
    Image {
        /// The image.
        image: String,
        /// Why.
        source: image::Error,
    },
    /// The name to push to is no reference.
    #[error("`{text}` is no image reference: {reason}")]
    Reference {
        /// The name as made from the prefix and the component.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// The bases of an environment for several platforms have different Pythons.
    #[error("{unit}: the base image has a different Python on each platform: {first}, and {second}")]
    PythonsDiffer {
        /// The component.
        unit: String,
        /// The target of the first platform.
        first: String,
        /// That of another.
        second: String,
    },
    /// A destination failed.
    #[error("{image}: the image cannot be delivered")]
    Deliver {
        /// The image.
        image: String,
        /// Why.
        source: registry::Error,
    },
    /// A pin of a lock is no wheel with a hash.
    #[error("the lock has no wheel of {name} for {platform}")]
    NoWheel {
        /// The distribution.
        name: String,
        /// The platform.
        platform: Platform,
    },
    /// A command of the project is none that can be made.
    #[error("pyproject.toml: the script `{name} = {reference:?}` is not of the form MODULE:FUNCTION")]
    Script {
        /// The command.
        name: String,
        /// What it should run.
        reference: String,
    },
    /// The base does not know the user that the image shall run as, or the user's group.
    #[error("the base image {base} has no {what} `{user}`")]
    UnknownUser {
        /// `user` or `group`.
        what: &'static str,
        /// The name of the user or group.
        user: String,
        /// The base.
        base: String,
        /// The users, or groups, that it has.
        known: Vec<String>,
    },
    /// The bytes of a layer cannot be read again.
    #[error("cannot read a layer from the store")]
    Read(#[source] std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The HTTP client could not be set up.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// A worker thread ended before its time: a bug.
    #[error("a worker thread failed")]
    Worker(#[source] tokio::task::JoinError),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Project(error) => error.exit_code(),
            Self::InProject { source, .. } => source.exit_code(),
            Self::UnknownComponent { .. }
            | Self::NoBase { .. }
            | Self::NoPythonNamed
            | Self::Reference { .. } => ExitCode::Usage,
            Self::NoComponents { .. }
            | Self::PythonsDiffer { .. }
            | Self::BaseReference { .. }
            | Self::Script { .. }
            | Self::UnknownUser { .. } => ExitCode::Project,
            Self::Base(error) => error.exit_code(),
            Self::Resolve { source, .. } => source.exit_code(),
            Self::Lock(error) => error.exit_code(),
            Self::StaleLock { .. }
            | Self::StaleForeignLock { .. }
            | Self::LockMismatch { .. }
            | Self::BaseLacks { .. } => ExitCode::StaleLock,
            Self::Index(error) => error.exit_code(),
            Self::Layer(error) => error.exit_code(),
            Self::Image { source, .. } => source.exit_code(),
            Self::Deliver { source, .. } => source.exit_code(),
            Self::NoWheel { .. } => ExitCode::NoResolution,
            Self::Store(error) => error.exit_code(),
            Self::Net(error) => error.exit_code(),
            Self::Worker(_) | Self::Read(_) => ExitCode::Internal,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let text = |text: &str| Some(text.to_owned());
        match self {
            Self::Project(error) => error.hint(),
            Self::InProject { source, .. } => source.hint(),
            Self::UnknownComponent { known, .. } => Some(format!("the components are {}", known.join(", "))),
            Self::NoComponents { .. } => {
                text("put a flow into flows/NAME/flow.py or a deployment into deployments/NAME/config.yml")
            }
            Self::NoBase { .. } => text("name one with --base, or as `image` in the deployment's config.yml"),
            Self::UnknownUser { what, known, .. } if known.is_empty() => {
                Some(format!("name the {what} by number, such as 1000"))
            }
            Self::UnknownUser { what, known, .. } => {
                let known: Vec<&str> = known.iter().map(String::as_str).take(30).collect();
                Some(format!("name the {what} by number, such as 1000, or one of {}", known.join(", ")))
            }
            Self::PythonsDiffer { .. } => text(
                "give --python X.Y with one that the base has on all of them, or build for one platform at a time",
            ),
            Self::NoPythonNamed => text("give --python X.Y, or --base with the image to build on"),
            Self::Base(error) | Self::BaseReference { source: error, .. } => error.hint(),
            Self::Resolve { source, .. } => source.hint(),
            Self::Lock(error) => error.hint(),
            Self::StaleLock { .. } => text("run `bakehouse lock` and keep the file with the project"),
            Self::StaleForeignLock { .. } => text(
                "lock again with the tool that made it, or run `bakehouse lock --upgrade` for a lock of our own",
            ),
            Self::LockMismatch { .. } | Self::BaseLacks { .. } => {
                text("run `bakehouse lock --upgrade` with the base image that you build on")
            }
            Self::Index(error) => error.hint(),
            Self::Net(error) => error.hint(),
            Self::Layer(error) => error.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Deliver { source, .. } => source.hint(),
            _ => None,
        }
    }

    /// The error as the report has it.
    pub fn to_report(&self) -> ErrorReport {
        ErrorReport { message: with_causes(self), hint: self.hint(), exit_code: self.exit_code() as u8 }
    }
}

/// An error's message and those of its causes, each once.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !message.contains(&text) {
            message += ": ";
            message += &text;
        }
        source = cause.source();
    }
    message
}
