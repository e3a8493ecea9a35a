//! What can go wrong with a base made of Debian's packages.

use std::io;

use crate::model::{Arch, Digest, ExitCode};
use crate::{layer, net, store};

/// What can go wrong with a base made of Debian's packages.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A suite's name cannot be one.
    #[error("`{suite}` is no name of a Debian suite")]
    Suite {
        /// The name as given.
        suite: String,
    },
    /// A file of keys cannot be used.
    #[error("{name} cannot be read: {problem}")]
    Keys {
        /// Which keys.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A release file is not signed by a key that is trusted.
    #[error("{url} is not signed as it must be: {problem}")]
    Signature {
        /// The release file.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A release file is another one than it should be, or says nothing usable.
    #[error("{url} is not the release file that is wanted: {problem}")]
    Release {
        /// The release file.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A release file is out of date.
    #[error("{url} has expired: a newer one must be there, and is withheld")]
    Expired {
        /// The release file.
        url: String,
    },
    /// A suite is not made for the architecture.
    #[error("the Debian suite {suite} is not made for {}", arch.oci())]
    NoArchitecture {
        /// The suite.
        suite: String,
        /// The architecture.
        arch: Arch,
    },
    /// What a file holds is not what a signed list says.
    #[error("{url} should have the digest {expected} and has {actual}")]
    Digest {
        /// The file.
        url: String,
        /// What the list says.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// A file is longer or shorter than a signed list says.
    #[error("{url} should have {expected} bytes and has not")]
    Size {
        /// The file.
        url: String,
        /// What the list says.
        expected: u64,
    },
    /// The package list says nothing usable.
    #[error("the package list {url} cannot be read: {problem}")]
    List {
        /// The list.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// A package is not there.
    #[error("the Debian suite {suite} has no package that satisfies `{wanted}`{}", needed(by.as_deref()))]
    NoPackage {
        /// The suite.
        suite: String,
        /// The name, perhaps with versions.
        wanted: String,
        /// The package that needs it, if one does.
        by: Option<String>,
    },
    /// Two packages cannot be installed together.
    #[error("the Debian packages {first} and {second} exclude each other")]
    Conflict {
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// A locked package is nowhere to be had.
    #[error("the locked Debian package {name} {version} is not on the mirror any more")]
    Gone {
        /// Its name.
        name: String,
        /// Its version.
        version: String,
        /// Whether it is a security update.
        security: bool,
        /// What the mirror said.
        source: net::Error,
    },
    /// A package is damaged or does what no honest one does.
    #[error("the Debian package {name} is refused: {problem}")]
    Package {
        /// The package.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// A package cannot be read.
    #[error("cannot read the Debian package {name}")]
    Read {
        /// The package.
        name: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The lock of the base cannot be used.
    #[error("{file} cannot be used: {problem}")]
    Lock {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The network failed.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// A layer cannot be made.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The documents of the image cannot be made.
    #[error(transparent)]
    Image(#[from] crate::image::Error),
    /// A worker thread ended before its time: a bug.
    #[error("a worker thread failed")]
    Worker(#[source] tokio::task::JoinError),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Suite { .. } | Self::Keys { .. } => ExitCode::Usage,
            Self::Signature { .. }
            | Self::Release { .. }
            | Self::Expired { .. }
            | Self::Digest { .. }
            | Self::Size { .. }
            | Self::List { .. }
            | Self::Package { .. }
            | Self::Read { .. } => ExitCode::Integrity,
            Self::NoArchitecture { .. } | Self::NoPackage { .. } | Self::Conflict { .. } => ExitCode::Project,
            Self::Gone { .. } | Self::Lock { .. } => ExitCode::StaleLock,
            Self::Net(error) => error.exit_code(),
            Self::Layer(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
            Self::Image(error) => error.exit_code(),
            Self::Worker(_) => ExitCode::Internal,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Suite { .. } => "name one such as `deb://bookworm`",
            Self::Signature { .. } => {
                "if the mirror is one with keys of its own, name them with --debian-keyring"
            }
            Self::Expired { .. } => "use another mirror with --debian-mirror, and check this machine's clock",
            Self::Release { .. } | Self::Digest { .. } | Self::Size { .. } | Self::List { .. } => {
                "the mirror may be in the middle of an update: try again, or use another with --debian-mirror"
            }
            Self::NoPackage { by: None, .. } => "check its name in `debian-packages`",
            Self::Gone { security: true, .. } => {
                "lock the base anew with --upgrade, or name a mirror that keeps old packages with --debian-snapshot; security updates of an old suite may be gone for good, and `--upgrade --no-debian-security` does without them"
            }
            Self::Gone { .. } => {
                "lock the base anew with --upgrade, or name a mirror that keeps old packages with --debian-snapshot"
            }
            Self::Lock { .. } => "lock the base anew with --upgrade",
            Self::Layer(error) => return error.hint(),
            Self::Image(error) => return error.hint(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn needed(by: Option<&str>) -> String {
    by.map(|by| format!(", which {by} needs")).unwrap_or_default()
}
