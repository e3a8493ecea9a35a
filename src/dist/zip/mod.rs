//! Zip archives, read with distrust.
//!
//! Zip says many things twice: in the central directory at the end and in the local header before each entry's data.
//! Programs differ in which they believe, and that difference is how a wheel can show one face to a scanner and
//! another to an installer. So an archive is accepted only if there is one way to read it: both accounts agree,
//! nothing overlaps, no name occurs twice, and names can be used as paths as they are.

mod directory;
mod inflate;

pub use inflate::{Inflater, Sink};

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::error::{Error, Flaw, printable};

/// The most entries an archive may have; the largest wheels have some tens of thousands.
pub const MAX_ENTRIES: u64 = 250_000;
/// The most bytes one entry may unpack to.
pub const MAX_ENTRY: u64 = 16 << 30;
/// The most bytes an archive may unpack to.
pub const MAX_TOTAL: u64 = 64 << 30;
/// From this many bytes on, an archive must not unpack to more than [`MAX_RATIO`] times its own size.
pub const RATIO_FROM: u64 = 1 << 30;
/// See [`RATIO_FROM`]; real wheels stay below 20.
pub const MAX_RATIO: u64 = 200;

/// The longest path in bytes, and the most components it may have.
const MAX_PATH: usize = 1024;
const MAX_DEPTH: usize = 100;

/// How an entry's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As they are.
    Stored,
    /// As a raw deflate stream.
    Deflate,
}

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, safe to use as a relative path; a directory's is without its final `/`.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Whether it was executable for anybody where the archive was made.
    pub executable: bool,
    /// How its bytes are stored.
    pub method: Method,
    /// CRC-32 of its bytes.
    pub crc32: u32,
    /// Bytes in the archive.
    pub compressed: u64,
    /// Bytes once unpacked.
    pub size: u64,
    /// Where the bytes start.
    pub(super) offset: u64,
}

/// An archive whose directory has been read and checked.
#[derive(Debug)]
pub struct Archive {
    source: Source,
    entries: Vec<Entry>,
}

/// The file below an archive, with the name that messages use.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    len: u64,
    name: String,
}

impl Archive {
    /// Reads and checks the directory of the archive in `file`; `name` is what messages call it.
    pub fn open(file: File, name: &str) -> Result<Self, Error> {
        let name = printable(name);
        let len = match file.metadata() {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(Error::Io { archive: name, source }),
        };
        let source = Source { file, len, name };
        let entries = directory::read(&source)?;
        Ok(Self { source, entries })
    }

    /// The archive's name, for messages.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// All entries, in the order of the central directory.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An error about one entry.
    pub fn flaw(&self, entry: &str, flaw: Flaw) -> Error {
        self.source.flaw(entry, flaw)
    }
}

impl Source {
    /// Reads exactly `buffer.len()` bytes at `offset`.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, offset).map_err(|source| {
            if source.kind() == io::ErrorKind::UnexpectedEof {
                self.broken("it ends too early")
            } else {
                Error::Io { archive: self.name.clone(), source }
            }
        })
    }

    fn broken(&self, reason: &'static str) -> Error {
        Error::Archive { archive: self.name.clone(), reason }
    }

    fn flaw(&self, entry: &str, flaw: Flaw) -> Error {
        Error::Entry { archive: self.name.clone(), entry: printable(entry), flaw }
    }
}

/// Why a name cannot be used as a path below a directory of an image, if it cannot.
pub fn unsafe_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.starts_with('/') {
        return Some("it is absolute");
    }
    if path.len() > MAX_PATH || path.split('/').nth(MAX_DEPTH).is_some() {
        return Some("it is too long");
    }
    if path.chars().any(char::is_control) {
        return Some("it has a control character");
    }
    path.split('/').find_map(|part| match part {
        "" => Some("it has an empty component"),
        "." | ".." => Some("it has a `.` or `..` component"),
        _ if part.starts_with(".wh.") => Some("layers use `.wh.` names to delete files"),
        _ if part.len() > 255 => Some("a component is too long"),
        _ => None,
    })
}

/// Orders paths component by component, so that what is below a directory follows right after it.
///
/// The same as comparing the components one after the other, since nothing in a path is less than the zero byte that
/// stands for a slash here; it is many times as fast.
pub fn path_order(a: &str, b: &str) -> std::cmp::Ordering {
    let key = |byte| if byte == b'/' { 0 } else { byte };
    a.bytes().map(key).cmp(b.bytes().map(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_in_the_order_of_their_components() {
        let paths =
            ["", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "a/", "ab", "ab/c", "é", "é/a", "éa", "z"];
        for a in paths {
            for b in paths {
                assert_eq!(path_order(a, b), a.split('/').cmp(b.split('/')), "{a} {b}");
            }
        }
    }
}
