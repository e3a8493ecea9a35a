//! Layers of given files: the environment's skeleton, shared code, a component's code.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::assemble::{Layer, record_single, stored_layer};
use super::fragment::{self, new_parents};
use super::splice::Splicer;
use super::tar::{self, Kind};
use super::{Compression, Error, layer_key};
use crate::dist::{path_order, unsafe_path};
use crate::model::{Digest, Hasher, Key, KeyHasher};
use crate::store::{self, Store};

const FORMAT: &str = "files/1";

/// How much of a file is read at a time.
const CHUNK: usize = 128 * 1024;

/// One thing in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path in the image, without the leading `/`. Directories above it need not be given.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
}

impl FileEntry {
    /// About how many bytes it takes in a layer, uncompressed.
    pub fn size_hint(&self) -> u64 {
        match &self.kind {
            FileKind::File { source: FileSource::Bytes(bytes), .. } => bytes.len() as u64,
            FileKind::File { source: FileSource::Path(path), .. } => {
                std::fs::metadata(path).map_or(0, |metadata| metadata.len())
            }
            FileKind::Directory | FileKind::Owned { .. } | FileKind::Symlink { .. } => 0,
        }
    }
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileKind {
    /// A directory, mode 0755.
    Directory,
    /// A directory that somebody else than root may own, or may write to.
    Owned {
        /// The owner.
        uid: u32,
        /// The group.
        gid: u32,
        /// The permissions.
        mode: u32,
    },
    /// A regular file.
    File {
        /// Where its bytes come from.
        source: FileSource,
        /// Whether its mode is 0755 rather than 0644.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as it is written into the link.
        target: String,
    },
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileSource {
    /// They are given.
    Bytes(Vec<u8>),
    /// They are in a file on this machine, which must not change meanwhile.
    Path(PathBuf),
}

/// The key of the layer that [`files_layer`] makes of `entries`.
pub fn files_key(entries: &[FileEntry], compression: Compression) -> Result<Key, Error> {
    let entries = ordered(entries)?;
    let contents = entries.iter().map(|entry| Content::of(entry)).collect::<Result<Vec<_>, _>>()?;
    Ok(layer_key(&[piece_key(&entries, &contents, compression)]))
}

/// Makes a layer of `entries`, in whatever order they are given. Its key follows from what is in it, so that a layer
/// with the same content is found in the store whenever and wherever the files were written; the second value tells
/// whether it had to be made.
pub fn files_layer(
    store: &Store,
    entries: &[FileEntry],
    compression: Compression,
) -> Result<(Layer, bool), Error> {
    let entries = ordered(entries)?;
    let contents = entries.iter().map(|entry| Content::of(entry)).collect::<Result<Vec<_>, _>>()?;
    let piece = piece_key(&entries, &contents, compression);
    let key = layer_key(&[piece]);
    if let Some(layer) = stored_layer(store, &key)? {
        return Ok((layer, false));
    }
    let blob = store.create_blob()?;
    let path = blob.path().to_owned();
    let write_error = |source| Error::from(store::Error::Io { action: "write", path: path.clone(), source });
    let mut out = Splicer::new(blob, compression);
    let mut previous = String::new();
    for (entry, content) in entries.iter().zip(&contents) {
        let parent = match entry.kind {
            FileKind::Directory => entry.path.as_str(),
            _ => entry.path.rsplit_once('/').map_or("", |(parent, _)| parent),
        };
        if !parent.is_empty() {
            for directory in new_parents(&previous, parent) {
                out.gather(&tar::header(directory, Kind::Directory)).map_err(write_error)?;
            }
            parent.clone_into(&mut previous);
        }
        match &entry.kind {
            FileKind::Directory => {}
            &FileKind::Owned { uid, gid, mode } => {
                let header = tar::owned_header(&entry.path, Kind::Directory, mode, uid, gid);
                out.gather(&header).map_err(write_error)?;
                // What is in it does not announce it again.
                entry.path.clone_into(&mut previous);
            }
            FileKind::Symlink { target } => {
                out.gather(&tar::header(&entry.path, Kind::Symlink { target })).map_err(write_error)?;
            }
            FileKind::File { source, executable } => {
                let kind = Kind::File { size: content.size, executable: *executable };
                out.gather(&tar::header(&entry.path, kind)).map_err(write_error)?;
                write_file(&mut out, source, content, write_error)?;
                out.gather(tar::padding(content.size)).map_err(write_error)?;
            }
        }
    }
    let (fragment, blob) = fragment::finish(out, piece, entries.len()).map_err(write_error)?;
    blob.finish(Some(&fragment.digest))?;
    Ok((record_single(store, key, &fragment)?, true))
}

/// The entries in [`path_order`], if each path can be in an image and none is there twice.
fn ordered(entries: &[FileEntry]) -> Result<Vec<&FileEntry>, Error> {
    let mut sorted = BTreeMap::new();
    for entry in entries {
        let bad = |reason| Error::Path { path: entry.path.clone(), reason };
        if let Some(reason) = unsafe_path(&entry.path) {
            return Err(bad(reason));
        }
        if let FileKind::Symlink { target } = &entry.kind
            && (target.is_empty() || target.len() > 1024 || target.contains(char::is_control))
        {
            return Err(bad("it is a symbolic link without a usable target"));
        }
        if sorted.insert(&entry.path, entry).is_some() {
            return Err(bad("it is given twice"));
        }
    }
    let mut sorted: Vec<&FileEntry> = sorted.into_values().collect();
    sorted.sort_by(|a, b| path_order(&a.path, &b.path));
    for pair in sorted.windows(2) {
        let below = pair[1].path.strip_prefix(&pair[0].path).is_some_and(|rest| rest.starts_with('/'));
        let is_directory = matches!(pair[0].kind, FileKind::Directory | FileKind::Owned { .. });
        if below && !is_directory {
            let path = pair[0].path.clone();
            return Err(Error::Path { path, reason: "it is both a file and a directory" });
        }
    }
    Ok(sorted)
}

/// A file's length and hash.
#[derive(Debug, PartialEq, Eq)]
struct Content {
    size: u64,
    sha256: Digest,
}

impl Content {
    fn of(entry: &FileEntry) -> Result<Self, Error> {
        match &entry.kind {
            FileKind::File { source: FileSource::Path(path), .. } => read_file(path, |_| Ok(())),
            FileKind::File { source: FileSource::Bytes(bytes), .. } => {
                Ok(Self { size: bytes.len() as u64, sha256: Digest::of(bytes) })
            }
            FileKind::Directory | FileKind::Owned { .. } | FileKind::Symlink { .. } => {
                Ok(Self { size: 0, sha256: Digest::of(b"") })
            }
        }
    }
}

/// The key of the one fragment of such a layer.
fn piece_key(entries: &[&FileEntry], contents: &[Content], compression: Compression) -> Key {
    let mut key = KeyHasher::new(FORMAT);
    key.text(compression.profile());
    for (entry, content) in entries.iter().zip(contents) {
        key.text(&entry.path);
        match &entry.kind {
            FileKind::Directory => key.text("directory"),
            FileKind::Owned { uid, gid, mode } => {
                key.text("owned directory").text(&format!("{uid}:{gid} {mode:o}"))
            }
            FileKind::Symlink { target } => key.text("symlink").text(target),
            FileKind::File { executable, .. } => {
                key.text(if *executable { "executable" } else { "file" }).add(content.sha256.as_bytes())
            }
        };
    }
    key.finish()
}

/// Writes a file's bytes, which must be the ones that were hashed before.
fn write_file<W: io::Write>(
    out: &mut Splicer<W>,
    source: &FileSource,
    expected: &Content,
    write_error: impl Fn(io::Error) -> Error,
) -> Result<(), Error> {
    match source {
        FileSource::Bytes(bytes) => out.gather(bytes).map_err(write_error),
        FileSource::Path(path) => {
            let mut left = expected.size;
            let changed = || Error::Changed { path: path.clone() };
            let actual = read_file(path, |chunk| {
                left = left.checked_sub(chunk.len() as u64).ok_or_else(changed)?;
                out.gather(chunk).map_err(&write_error)
            });
            if actual? == *expected { Ok(()) } else { Err(changed()) }
        }
    }
}

/// Passes a file's bytes to `take`; gives their length and hash.
fn read_file(path: &Path, mut take: impl FnMut(&[u8]) -> Result<(), Error>) -> Result<Content, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; CHUNK];
    let (mut hasher, mut size) = (Hasher::default(), 0);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Content { size, sha256: hasher.finish() }),
            Ok(n) => {
                hasher.update(&buffer[..n]);
                size += n as u64;
                take(&buffer[..n])?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}
