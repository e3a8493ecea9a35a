//! What can go wrong between sources and a wheel.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::{ExitCode, PackageName, Target};
use crate::{dist, index, resolve, store};

/// What can go wrong between sources and a wheel. `what` names the sources: a file, a repository or a directory.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It may not be built.
    #[error("`{what}` would have to be built, which is not allowed for `{name}`")]
    NotAllowed {
        /// The distribution.
        name: PackageName,
        /// Its sources.
        what: String,
    },
    /// The archive is not one that may be unpacked.
    #[error("`{what}` is refused: {reason}")]
    Hostile {
        /// The archive or the tree.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The archive cannot be read.
    #[error("`{what}` is not a sound archive: {reason}")]
    Unsound {
        /// The archive.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is another distribution than its name promises.
    #[error("`{what}` should be {expected}, but {found}")]
    Disagrees {
        /// The sources, or the wheel.
        what: String,
        /// The name and version.
        expected: String,
        /// What it says, and where.
        found: String,
    },
    /// Its own files cannot be understood.
    #[error("`{what}` cannot be built: {reason}")]
    Unusable {
        /// The sources.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no Python that could build it.
    #[error("no Python that can build `{what}` for {target} is there{}", reason(.tried))]
    NoPython {
        /// The sources.
        what: String,
        /// What for.
        target: Target,
        /// What was tried, and why it is of no use.
        tried: Vec<String>,
    },
    /// The result does not run on the target.
    #[error("the wheel `{wheel}` that was built does not fit {target}: {reason}")]
    DoesNotFit {
        /// The wheel.
        wheel: String,
        /// The target.
        target: Target,
        /// Why.
        reason: String,
    },
    /// The build failed.
    #[error("`{what}` does not build: {step} ended with {status}\n{tail}")]
    Failed {
        /// The sources.
        what: String,
        /// What was under way.
        step: String,
        /// How it ended.
        status: String,
        /// The end of what it printed.
        tail: String,
    },
    /// The build took too long.
    #[error("`{what}` does not build: {step} was not done after {} seconds\n{tail}", .limit.as_secs())]
    TimedOut {
        /// The sources.
        what: String,
        /// What was under way.
        step: String,
        /// How long it may take.
        limit: Duration,
        /// The end of what it printed.
        tail: String,
    },
    /// What the build needs cannot be had.
    #[error("`{what}` cannot be built: what it needs for that cannot be resolved")]
    Requirements {
        /// The sources.
        what: String,
        /// Why.
        source: Box<resolve::Error>,
    },
    /// The build gave another wheel than the one that is locked.
    #[error("building `{what}` gives another `{wheel}` than the one that is locked")]
    Irreproducible {
        /// The sources.
        what: String,
        /// The wheel.
        wheel: String,
        /// The distribution.
        name: PackageName,
    },
    /// The repository cannot be had.
    #[error("cannot get {what}: {reason}")]
    Git {
        /// The repository.
        what: String,
        /// What git said.
        reason: String,
    },
    /// A wheel is not sound.
    #[error(transparent)]
    Dist(#[from] dist::Error),
    /// Something cannot be fetched.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A worker thread ended before its time.
    #[error("a worker thread failed")]
    Worker(#[from] tokio::task::JoinError),
}

fn reason(tried: &[String]) -> String {
    let mut text = String::new();
    for one in tried {
        let _ = write!(text, "{}{one}", if text.is_empty() { ": " } else { ", " });
    }
    text
}

impl Error {
    /// An I/O error with its context, for use with `map_err`.
    pub(super) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotAllowed { .. } => ExitCode::NoResolution,
            Self::Hostile { .. } | Self::Unsound { .. } | Self::Disagrees { .. } => ExitCode::Integrity,
            Self::Unusable { .. }
            | Self::NoPython { .. }
            | Self::DoesNotFit { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Irreproducible { .. } => ExitCode::Build,
            // Its own requirements are no part of the project's: they are what the build lacks.
            Self::Requirements { source, .. } => match source.exit_code() {
                ExitCode::NoResolution => ExitCode::Build,
                code => code,
            },
            Self::Git { .. } => ExitCode::Index,
            Self::Dist(dist::Error::Io { .. }) => ExitCode::Internal,
            // A wheel that a build gave is as good as the build.
            Self::Dist(_) => ExitCode::Build,
            Self::Index(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
            Self::Io { .. } | Self::Worker(_) => ExitCode::Internal,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed { name, .. } => format!(
                "allow it (`--build {name}`, or `build = [\"{name}\"]` in [tool.bakehouse]), require a version that has a wheel, \
                 or build a wheel of it yourself and offer that by its URL, its path or --find-links"
            ),
            Self::NoPython { target, .. } => format!(
                "install Python {}, or name one with --build-python",
                target.python
            ),
            Self::DoesNotFit { target, .. } => format!(
                "build it on a system like the image's, with Python {} (--build-python), and offer the wheel on an index or with --find-links",
                target.python
            ),
            Self::Failed { .. } => {
                "its build may need system packages, such as a compiler or headers, on this machine: its documentation tells"
                    .to_owned()
            }
            Self::TimedOut { .. } => "give it longer with --build-timeout SECONDS".to_owned(),
            Self::Irreproducible { name, .. } => format!(
                "its build depends on this machine: lock what this machine builds with `bakehouse lock -P {name}`, or build one wheel and offer that"
            ),
            Self::Git { .. } => {
                "check the URL and the revision; credentials come from git's helpers, netrc or an SSH agent".to_owned()
            }
            Self::Requirements { source, .. } => return source.hint(),
            Self::Index(error) => return error.hint(),
            _ => return None,
        })
    }
}

impl From<Error> for index::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Index(error) => error,
            Error::Store(error) => error.into(),
            error => {
                let (code, hint) = (error.exit_code(), error.hint());
                let mut message = error.to_string();
                let mut cause = std::error::Error::source(&error);
                while let Some(source) = cause {
                    let _ = write!(message, ": {source}");
                    cause = source.source();
                }
                Self::Sources { message, code, hint }
            }
        }
    }
}
