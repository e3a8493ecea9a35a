//! What can go wrong with an interpreter from an archive.

use std::io;
use std::path::PathBuf;

use crate::model::{Digest, ExitCode};
use crate::{layer, net, store};

/// What can go wrong with an interpreter from an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text names no archive.
    #[error("`{text}` names no archive with a Python: {problem}")]
    Source {
        /// The text as given, without credentials.
        text: String,
        /// What is wrong.
        problem: String,
    },
    /// No archive has a Python that fits.
    #[error("no archive has {wanted}: {}", there_are(found))]
    NoneFits {
        /// What was asked for.
        wanted: String,
        /// What there is for the platform.
        found: Vec<String>,
    },
    /// A list of hashes says nothing usable.
    #[error("{place} cannot be used: {problem}")]
    List {
        /// The list.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// A locked archive is nowhere to be had.
    #[error("the locked Python {version} is not at {place} any more")]
    Gone {
        /// Its version.
        version: String,
        /// Where it was.
        place: String,
    },
    /// An archive is not the one that was locked or listed.
    #[error("{place} should have the digest {expected} and has {actual}")]
    Digest {
        /// The archive.
        place: String,
        /// What the lock or the list says.
        expected: Digest,
        /// What it has.
        actual: Digest,
    },
    /// An archive does what no honest one does.
    #[error("the archive {name} is refused: {problem}")]
    Refused {
        /// The archive.
        name: String,
        /// What it does.
        problem: String,
    },
    /// An archive ends early, or does not decompress.
    #[error("the archive {name} is damaged")]
    Damaged {
        /// The archive.
        name: String,
        /// What the decoder says.
        source: io::Error,
    },
    /// An archive is none with a Python in the layout that is known.
    #[error("the archive {name} cannot be used: {problem}")]
    Archive {
        /// The archive.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The interpreter would not run on the base.
    #[error("Python {version} of {name} does not run on the base {base}: {problem}")]
    Needs {
        /// The version.
        version: String,
        /// The archive.
        name: String,
        /// The base.
        base: String,
        /// What is missing.
        problem: String,
    },
    /// A file on this machine cannot be read.
    #[error("cannot read `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The network failed.
    #[error(transparent)]
    Net(#[from] net::Error),
    /// The layer cannot be made.
    #[error(transparent)]
    Layer(#[from] layer::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A worker thread ended before its time: a bug.
    #[error("a worker thread failed")]
    Worker(#[source] tokio::task::JoinError),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Source { .. }
            | Self::NoneFits { .. }
            | Self::Archive { .. }
            | Self::File { .. }
            | Self::Needs { .. } => ExitCode::Project,
            Self::Gone { .. } => ExitCode::StaleLock,
            Self::List { .. } | Self::Digest { .. } | Self::Refused { .. } | Self::Damaged { .. } => {
                ExitCode::Integrity
            }
            Self::Net(error) => error.exit_code(),
            Self::Layer(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
            Self::Worker(_) => ExitCode::Internal,
        }
    }

    /// What to do next, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Source { .. } => {
                "name a file or a URL, or a directory of archives: a URL that ends with `/` and has a SHA256SUMS"
            }
            Self::NoneFits { .. } => "name another archive with --python-archive, or ask for another Python",
            Self::Gone { .. } => {
                "name another place that has it with --python-archive, or lock anew with --upgrade"
            }
            Self::Archive { .. } => {
                "it must be in the layout of python-build-standalone's `install_only` archives: python/bin/python3.X, python/lib/…"
            }
            Self::Needs { .. } => "choose a newer base with --base, or another archive with --python-archive",
            Self::Digest { .. } => {
                "if the archive was replaced on purpose, lock anew with --upgrade; otherwise do not use it"
            }
            Self::Layer(error) => return error.hint(),
            Self::Net(error) => return error.hint(),
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn there_are(found: &[String]) -> String {
    if found.is_empty() {
        return "there is none for the platform".into();
    }
    format!("there are {}", found.join(", "))
}
