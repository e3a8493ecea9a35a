//! What can go wrong with a lock.

use std::io;
use std::path::PathBuf;

use crate::model::{ExitCode, Origin, PackageName, Target};

/// What can go wrong with a lock.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A lock of ours is not as we write it.
    #[error("{origin}: the lock cannot be read: {reason}")]
    Unreadable {
        /// Where.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// A lock of another tool breaks the standard, or uses a part of it that is not supported.
    #[error("{origin}: the lock made by {created_by} cannot be used: {reason}")]
    Foreign {
        /// Where.
        origin: Origin,
        /// The tool that made it.
        created_by: String,
        /// What is wrong.
        reason: String,
    },
    /// A lock of another tool has no wheel for the target.
    #[error("{origin}: `{name}` has no wheel for {target}{}", .sdist.as_ref().map(|sdist| format!(", only {sdist}")).unwrap_or_default())]
    NoFittingWheel {
        /// Where.
        origin: Origin,
        /// The distribution.
        name: PackageName,
        /// The target.
        target: Target,
        /// The source distribution that the lock names instead.
        sdist: Option<String>,
    },
    /// A distribution has no hash, and nothing without a hash goes into a lock.
    #[error("`{name}` has no SHA-256 hash, so it cannot be locked")]
    Unhashed {
        /// The distribution.
        name: PackageName,
    },
    /// No index has what a requirements file pins.
    #[error("{origin}: no index has {name} {version}")]
    NotOnIndex {
        /// Where it is pinned.
        origin: Origin,
        /// The distribution.
        name: PackageName,
        /// The version.
        version: String,
    },
    /// An index has what a requirements file pins, with other hashes.
    #[error("{origin}: no file of {name} {version} on the index has one of the hashes given")]
    OtherHashes {
        /// Where it is pinned.
        origin: Origin,
        /// The distribution.
        name: PackageName,
        /// The version.
        version: String,
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
}

impl Error {
    /// The same about a file that is to be called `name`.
    pub fn in_file(mut self, name: &str) -> Self {
        if let Self::Unreadable { origin, .. }
        | Self::Foreign { origin, .. }
        | Self::NoFittingWheel { origin, .. } = &mut self
        {
            name.clone_into(&mut origin.file);
        }
        self
    }

    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Unreadable { .. } | Self::Foreign { .. } => ExitCode::Project,
            Self::NoFittingWheel { .. } | Self::NotOnIndex { .. } => ExitCode::NoResolution,
            Self::Unhashed { .. } | Self::OtherHashes { .. } => ExitCode::Integrity,
            Self::Io { .. } => ExitCode::Internal,
        }
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreadable { .. } => Some("run `bakehouse lock --upgrade` to make it anew".to_owned()),
            Self::Foreign { .. } => {
                Some("run `bakehouse lock --upgrade` to replace it by a lock made from the requirements".to_owned())
            }
            Self::NoFittingWheel { sdist: Some(_), name, .. } => Some(format!(
                "locks of other tools are not built from: `bakehouse lock --upgrade --build {name}` replaces it by a lock of our own, for which {name} is built"
            )),
            Self::NoFittingWheel { .. } => Some(
                "lock again for this platform and Python, or run `bakehouse lock --upgrade` to replace the lock"
                    .to_owned(),
            ),
            Self::Unhashed { .. } => Some("take it from an index that tells the hashes of its files".to_owned()),
            Self::NotOnIndex { .. } => {
                Some("check the indexes in use, or make the requirements file again".to_owned())
            }
            Self::OtherHashes { .. } => Some(
                "the files are not those that were hashed: find out why before you hash them again".to_owned(),
            ),
            Self::Io { .. } => None,
        }
    }
}
