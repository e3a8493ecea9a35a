//! What can go wrong while fragments and layers are made.

use std::io;
use std::path::PathBuf;

use crate::model::{Digest, ExitCode};
use crate::{dist, store};

/// What can go wrong while fragments and layers are made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The distribution is not sound.
    #[error(transparent)]
    Dist(#[from] dist::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file that goes into a layer cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file was written to while it was read.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A path cannot be put into a layer.
    #[error("`{}` cannot be put into an image: {reason}", path.escape_debug())]
    Path {
        /// The path in the image.
        path: String,
        /// Why not.
        reason: &'static str,
    },
    /// The archive that was handed in is not the one the lock names.
    #[error("`{archive}` has the digest {actual}, but {expected} was asked for")]
    WrongArchive {
        /// The archive's file name.
        archive: String,
        /// What was asked for.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// A fragment in the store is not what its record says.
    #[error("the stored fragment {digest} is damaged")]
    Damaged {
        /// The digest that it should have.
        digest: Digest,
    },
    /// A fragment is not in the store any more.
    #[error("the fragment {digest} is not in the store any more")]
    Gone {
        /// Its digest.
        digest: Digest,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Dist(error) => error.exit_code(),
            Self::Store(error) => error.exit_code(),
            Self::Path { .. } | Self::Changed { .. } => ExitCode::Project,
            Self::Read { .. } | Self::Gone { .. } => ExitCode::Internal,
            Self::WrongArchive { .. } | Self::Damaged { .. } => ExitCode::Integrity,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Dist(error) => return error.hint(),
            Self::Store(_) | Self::Read { .. } | Self::WrongArchive { .. } => return None,
            Self::Changed { .. } => "run the build again once nothing writes to the project",
            Self::Path { .. } => "rename the file, or keep it out of the image",
            Self::Damaged { .. } | Self::Gone { .. } => {
                "run the build again; if this comes back, delete the cache directory: all in it can be made again"
            }
        };
        Some(hint.to_owned())
    }
}
