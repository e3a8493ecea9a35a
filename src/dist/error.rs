//! What can be wrong with a distribution.

use std::io;

use crate::model::{Digest, ExitCode};

/// What can go wrong while a distribution is read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive's file cannot be read.
    #[error("cannot read `{archive}`")]
    Io {
        /// The archive's file name.
        archive: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The archive as a whole is not sound.
    #[error("`{archive}` is not a sound zip archive: {reason}")]
    Archive {
        /// The archive's file name.
        archive: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// One entry of the archive is not sound.
    #[error("`{archive}` is refused: entry `{entry}` {flaw}")]
    Entry {
        /// The archive's file name.
        archive: String,
        /// The entry's name, made printable.
        entry: String,
        /// What is wrong with it.
        flaw: Flaw,
    },
    /// The archive is sound but it is not the wheel that its name promises.
    #[error("`{archive}` is not a valid wheel: {reason}")]
    Wheel {
        /// The archive's file name.
        archive: String,
        /// What is wrong.
        reason: String,
    },
}

/// What is wrong with an entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// The name would leave its directory, mean something to a layer, or be read differently by different programs.
    #[error("has an unsafe name: {0}")]
    Name(&'static str),
    /// Two entries have the same name.
    #[error("occurs twice")]
    Duplicate,
    /// A file's name is also the name of a directory above another entry.
    #[error("is both a file and a directory")]
    FileAndDirectory,
    /// A symbolic link, device or the like.
    #[error("is neither a regular file nor a directory")]
    NotRegular,
    /// Encrypted.
    #[error("is encrypted")]
    Encrypted,
    /// Compressed with something other than deflate.
    #[error("uses compression method {0}; only stored and deflate are in use")]
    Method(u16),
    /// The header before the data says something else than the central directory.
    #[error("has a local header that disagrees with the central directory ({0})")]
    Disagrees(&'static str),
    /// Its bytes are also another entry's bytes.
    #[error("overlaps another entry or the central directory")]
    Overlaps,
    /// It unpacks to more than any real distribution.
    #[error("is too large: {0} bytes")]
    TooLarge(u64),
    /// The data is no deflate stream, or it does not give the size and CRC-32 that the directory states.
    #[error("does not unpack to the size and CRC-32 that the directory states")]
    Damaged,
    /// There are bytes between the end of the deflate stream and the end of the entry.
    #[error("has bytes after the end of its compressed data")]
    TrailingBytes,
    /// RECORD states another length.
    #[error("has {actual} bytes, but RECORD says {expected}")]
    RecordSize {
        /// What RECORD says.
        expected: u64,
        /// What the entry has.
        actual: u64,
    },
    /// RECORD states another hash.
    #[error("has the hash {actual}, but RECORD says {expected}")]
    RecordHash {
        /// What RECORD says.
        expected: Digest,
        /// What the entry has.
        actual: Digest,
    },
    /// RECORD lists a file that the archive does not have.
    #[error("is listed in RECORD but not in the archive")]
    Missing,
    /// It would replace a part of the environment itself.
    #[error("would replace `{0}` of the environment")]
    Reserved(String),
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } => ExitCode::Internal,
            Self::Archive { .. } | Self::Entry { .. } | Self::Wheel { .. } => ExitCode::Integrity,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            _ => Some("pin another version or archive, and tell the distribution's authors".to_owned()),
        }
    }
}

/// Text of an archive for a message: control characters escaped, cut where it gets long.
pub(super) fn printable(text: &str) -> String {
    let mut shown: String = text.chars().take(200).flat_map(char::escape_debug).collect();
    if text.chars().nth(200).is_some() {
        shown.push('…');
    }
    shown
}
