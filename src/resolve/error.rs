//! What can go wrong with a resolution.

use pep508_rs::PackageName;

use crate::index;
use crate::model::{ExitCode, Origin, Target};

/// What can go wrong with a resolution.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The requirements contradict each other, or nothing that satisfies them fits the target.
    #[error("the requirements cannot be satisfied for {target}\n{explanation}")]
    NoSolution {
        /// The target.
        target: Target,
        /// The chain of requirements in plain words.
        explanation: String,
        /// What to do about it, where that is known.
        hint: Option<String>,
    },
    /// No index has a package that the user requires.
    #[error("{origin}: no index has a package named `{name}`")]
    UnknownPackage {
        /// The name.
        name: PackageName,
        /// Where it is required.
        origin: Origin,
    },
    /// Two requirements name different URLs for one package.
    #[error("`{name}` is required from two places: {} ({}) and {} ({})", first.0, first.1, second.0, second.1)]
    ConflictingUrls {
        /// The package.
        name: PackageName,
        /// One URL, and where it is stated.
        first: Box<(String, Origin)>,
        /// The other.
        second: Box<(String, Origin)>,
    },
    /// What is behind a direct URL cannot be used.
    #[error("{origin}: cannot use `{name}` from {url}: {reason}")]
    DirectUrl {
        /// The package.
        name: PackageName,
        /// The URL.
        url: String,
        /// Where it is stated.
        origin: Origin,
        /// Why not.
        reason: String,
    },
    /// A distribution asks for another one by URL. Only the user may do that.
    #[error("`{parent}` requires `{name}` from {url}, which none of your own requirements names")]
    TransitiveUrl {
        /// The distribution that asks, with its version.
        parent: String,
        /// What it asks for.
        name: PackageName,
        /// The URL.
        url: String,
    },
    /// The requirements lead to ever more packages.
    #[error("the requirements lead to more than {limit} packages")]
    TooManyPackages {
        /// The most that are looked at.
        limit: usize,
    },
    /// The index or the network failed.
    #[error("{}cannot look up `{name}`", .needed_by.as_ref().map(|origin| format!("{origin}: ")).unwrap_or_default())]
    Index {
        /// The package that was looked up.
        name: PackageName,
        /// Where the user requires it, if directly.
        needed_by: Option<Origin>,
        /// What failed.
        #[source]
        source: Box<index::Error>,
    },
    /// The operating system gave no thread to work on.
    #[error("cannot start the solver")]
    Thread(#[source] std::io::Error),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NoSolution { .. }
            | Self::UnknownPackage { .. }
            | Self::ConflictingUrls { .. }
            | Self::DirectUrl { .. }
            | Self::TransitiveUrl { .. }
            | Self::TooManyPackages { .. } => ExitCode::NoResolution,
            Self::Index { source, .. } => source.exit_code(),
            Self::Thread(_) => ExitCode::Internal,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSolution { hint, .. } => hint.clone(),
            Self::UnknownPackage { name, .. } => Some(format!(
                "check the spelling of `{name}`; if it comes from a private index, name that with --index-url or --extra-index-url"
            )),
            Self::ConflictingUrls { name, .. } => Some(format!("keep one of the URLs of `{name}`")),
            Self::TransitiveUrl { name, url, .. } => {
                Some(format!("if you trust it, add `{name} @ {url}` to your own requirements"))
            }
            Self::Index { source, .. } => source.hint(),
            Self::DirectUrl { .. } | Self::TooManyPackages { .. } | Self::Thread(_) => None,
        }
    }
}
