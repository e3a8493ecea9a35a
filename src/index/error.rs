//! What can go wrong between a requirement and the bytes of a distribution.

use std::sync::Arc;

use pep440_rs::Version;
use pep508_rs::PackageName;

use crate::model::{Digest, ExitCode};
use crate::{net, store};

/// What can go wrong in this room. Cheap to clone, because everyone who waits for one answer gets the same one. URLs are
/// shown without user, password and query.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL of an index cannot be used.
    #[error("`{url}` cannot be used as an index: {reason}")]
    IndexUrl {
        /// The URL of the index.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No index has a project of this name.
    #[error("there is no package `{name}` on {}", indexes.join(", "))]
    UnknownPackage {
        /// The name that was asked for.
        name: PackageName,
        /// The indexes that were asked, in order.
        indexes: Vec<String>,
    },
    /// The server wants credentials, or does not accept those it got.
    #[error("{url} refuses access ({status})")]
    Unauthorized {
        /// What was asked for.
        url: String,
        /// 401 or 403.
        status: u16,
        /// Whether credentials were sent.
        credentials: bool,
    },
    /// The answer is not what an index gives.
    #[error("{url} is not a page of a Python package index: {reason}")]
    NotAnIndex {
        /// What was asked for.
        url: String,
        /// What it is instead.
        reason: String,
    },
    /// A direct URL is of a kind that cannot be used.
    #[error("cannot use {url}: {reason}")]
    DirectUrl {
        /// The URL.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Only wheels tell their metadata without being built.
    #[error("`{file}` is a source distribution: its metadata is known only after a build")]
    SourceDistribution {
        /// The file name.
        file: String,
    },
    /// Sources cannot be used. Whoever builds them says why.
    #[error("{message}")]
    Sources {
        /// What went wrong, whole.
        message: String,
        /// The documented exit code.
        code: ExitCode,
        /// What to do next.
        hint: Option<String>,
    },
    /// The metadata cannot be understood.
    #[error("the metadata of `{file}` is not usable: {reason}")]
    Metadata {
        /// The file name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The metadata names another distribution than the file name does.
    #[error("`{file}` should be {expected}, but its metadata says {found}")]
    Disagrees {
        /// The file name or URL.
        file: String,
        /// The name, or name and version, that was expected.
        expected: String,
        /// The one that is there.
        found: String,
    },
    /// The wheel says something else of itself than the metadata by which it was chosen.
    #[error("the metadata of `{file}` is not what its index said: {field} is {found}, not {expected}")]
    MetadataDiffers {
        /// The file name.
        file: String,
        /// The field.
        field: &'static str,
        /// What the index said.
        expected: String,
        /// What the wheel says.
        found: String,
    },
    /// The archive is not a sound wheel.
    #[error("`{file}` is not a sound wheel: {reason}")]
    Archive {
        /// The file name.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The index gives no SHA-256 for the file.
    #[error("no SHA-256 is known for `{file}`")]
    NoHash {
        /// The file name.
        file: String,
    },
    /// The bytes are not those that were promised.
    #[error("the SHA-256 of {url} should be {}, but is {}", expected.hex(), actual.hex())]
    HashMismatch {
        /// What was downloaded.
        url: String,
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
    /// The file is larger or smaller than promised.
    #[error("{url} should have {expected} bytes, but {actual} came")]
    SizeMismatch {
        /// What was downloaded.
        url: String,
        /// The size it should have.
        expected: u64,
        /// How many bytes came before that was clear.
        actual: u64,
    },
    /// A local file cannot be read.
    #[error("cannot read `{path}`")]
    File {
        /// The file.
        path: String,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// A request failed.
    #[error(transparent)]
    Net(Arc<net::Error>),
    /// The store failed.
    #[error(transparent)]
    Store(Arc<store::Error>),
    /// A task of this program broke down.
    #[error("a background task failed")]
    Task(#[source] Arc<tokio::task::JoinError>),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::IndexUrl { .. } => ExitCode::Usage,
            Self::UnknownPackage { .. } | Self::SourceDistribution { .. } => ExitCode::NoResolution,
            Self::Unauthorized { .. } | Self::NotAnIndex { .. } | Self::Metadata { .. } => ExitCode::Index,
            Self::DirectUrl { .. } => ExitCode::Project,
            Self::Sources { code, .. } => *code,
            Self::Disagrees { .. }
            | Self::MetadataDiffers { .. }
            | Self::Archive { .. }
            | Self::NoHash { .. }
            | Self::HashMismatch { .. }
            | Self::SizeMismatch { .. } => ExitCode::Integrity,
            Self::File { .. } | Self::Task(_) => ExitCode::Internal,
            Self::Net(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
        }
    }

    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::IndexUrl { .. } => "name an index such as https://host.example/simple/".to_owned(),
            Self::UnknownPackage { .. } => {
                "check the spelling; if it is on another index, add that one with --extra-index-url".to_owned()
            }
            Self::Unauthorized { credentials: false, .. } => {
                "put credentials into the index URL (https://USER:PASSWORD@HOST/…) or a netrc file, or use --keyring-provider subprocess"
                    .to_owned()
            }
            Self::SourceDistribution { file } => format!(
                "only wheels are installed: build `{file}` into one (`pip wheel`) and name that by its URL or path, or offer it with --find-links"
            ),
            Self::Unauthorized { credentials: true, .. } => {
                "the credentials that were sent are not accepted there: check user, password and permissions"
                    .to_owned()
            }
            Self::NotAnIndex { .. } => {
                "the URL of an index usually ends in `/simple/`; a login page may stand in between".to_owned()
            }
            Self::DirectUrl { .. } => "name a wheel by an https, http or file URL".to_owned(),
            Self::Sources { hint, .. } => return hint.clone(),
            Self::NoHash { file } => {
                format!("what is not hashed is not installed: take `{file}` from an index that gives hashes")
            }
            Self::MetadataDiffers { .. } => {
                "what was locked rests on what the index said: pin another version, and tell who runs the index".to_owned()
            }
            Self::HashMismatch { .. } | Self::SizeMismatch { .. } => {
                "the file was changed on the way or at its source: do not use it before it is clear why".to_owned()
            }
            Self::Net(error) => return error.hint(),
            _ => return None,
        })
    }

    /// Whether the fault is in one file alone, so that a resolver may pass over it and try another version.
    pub fn is_unusable_file(&self) -> bool {
        matches!(
            self,
            Self::Metadata { .. }
                | Self::SourceDistribution { .. }
                | Self::Disagrees { .. }
                | Self::Archive { .. }
        )
    }

    /// The error for metadata that names `found` in a file that should be of `name` and `version`.
    pub(super) fn disagrees(
        file: &str,
        name: &PackageName,
        version: &Version,
        found: (&PackageName, &Version),
    ) -> Self {
        Self::Disagrees {
            file: file.to_owned(),
            expected: format!("{name} {version}"),
            found: format!("{} {}", found.0, found.1),
        }
    }
}

impl From<net::Error> for Error {
    fn from(error: net::Error) -> Self {
        Self::Net(Arc::new(error))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<tokio::task::JoinError> for Error {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Task(Arc::new(error))
    }
}
