//! Layers: fragments laid end to end.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use serde::{Deserialize, Serialize};

use super::fragment::{Extent, Fragment};
use super::splice::{self, Splicer};
use super::tar::{self, Kind};
use super::writer::Attributes;
use super::{Compression, Error};
use crate::dist::path_order;
use crate::model::{Digest, Hasher, HashingReader, Key, KeyHasher};
use crate::store::{self, Store};

const FORMAT: &str = "layer/1";
const RECORDS: &str = "layers";

/// How much is read at a time.
const CHUNK: usize = 128 * 1024;

/// A layer. Its bytes are those of its head and of its pieces, and the end of the archive after them.
///
/// No path may occur twice in a layer: Docker, podman and buildah refuse such ones, directories included. So where there
/// are several pieces, their directories are left out, and the head has each of them once. So has it those whose attributes
/// matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Its key.
    pub key: Key,
    /// The digest of its compressed bytes.
    pub digest: Digest,
    /// The digest of its tar archive.
    pub diff_id: Digest,
    /// How many compressed bytes.
    pub size: u64,
    /// How many bytes of tar.
    pub uncompressed_size: u64,
    /// The directories of all pieces, if there are several or it has attributes of its own for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    /// What it is made of, in order.
    pub pieces: Vec<Piece>,
    /// How it is compressed.
    #[serde(default, skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
}

/// The members of a layer that hold the directories of its pieces. They are a blob of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// Their digest.
    pub digest: Digest,
    /// How long they are.
    #[serde(flatten)]
    pub extent: Extent,
}

/// A fragment's part in a layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// The fragment's key.
    pub key: Key,
    /// The digest of its compressed bytes.
    pub digest: Digest,
    /// How many compressed bytes.
    pub size: u64,
    /// How many bytes of tar.
    pub uncompressed_size: u64,
    /// How much of its start is left out.
    #[serde(default)]
    pub skip: Extent,
}

impl Layer {
    /// Whether its parts fit together: the key and the sizes are what its pieces make. Says nothing about its bytes.
    pub fn is_consistent(&self) -> bool {
        let Ok(end) = self.compression.end() else { return false };
        let head = self.head.as_ref().map(|head| head.extent).unwrap_or_default();
        let total = |first: u64, size: fn(&Piece) -> Option<u64>| {
            self.pieces.iter().try_fold(first, |sum, piece| sum.checked_add(size(piece)?))
        };
        let keys: Vec<Key> = self.pieces.iter().map(|piece| piece.key).collect();
        self.key == layer_key(&keys)
            && total((end.len() as u64).saturating_add(head.size), |piece| {
                piece.size.checked_sub(piece.skip.size)
            }) == Some(self.size)
            && total((tar::END.len() as u64).saturating_add(head.uncompressed_size), |piece| {
                piece.uncompressed_size.checked_sub(piece.skip.uncompressed_size)
            }) == Some(self.uncompressed_size)
    }

    /// Whether these are its bytes: reads and decompresses them all.
    pub fn matches(&self, bytes: impl Read) -> bool {
        let bytes = BufReader::with_capacity(CHUNK, HashingReader::new(bytes));
        let Ok(mut members) = self.compression.decoder(bytes) else { return false };
        // No more than it should be: what decompresses without end is not read to the end.
        let mut tar = HashingReader::new((&mut members).take(self.uncompressed_size.saturating_add(1)));
        let read = io::copy(&mut tar, &mut io::sink());
        let (_, diff_id, length) = tar.finish();
        let (_, digest, size) = members.into_inner().into_inner().finish();
        read.is_ok()
            && (length, size) == (self.uncompressed_size, self.size)
            && (diff_id, digest) == (self.diff_id, self.digest)
    }
}

impl From<&Fragment> for Piece {
    fn from(fragment: &Fragment) -> Self {
        Self {
            key: fragment.key,
            digest: fragment.digest,
            size: fragment.size,
            uncompressed_size: fragment.uncompressed_size,
            skip: Extent::default(),
        }
    }
}

/// The key of the layer that these fragments make, in this order.
pub fn layer_key(fragments: &[Key]) -> Key {
    let mut key = KeyHasher::new(FORMAT);
    for fragment in fragments {
        key.text(&fragment.to_string());
    }
    key.finish()
}

/// The layer with this key, if it is known and all of its bytes are in the store.
pub fn stored_layer(store: &Store, key: &Key) -> Result<Option<Layer>, Error> {
    let record: Option<Layer> = store.record(RECORDS, key)?;
    Ok(record.filter(|layer| {
        layer.key == *key
            && layer.pieces.iter().all(|piece| store.blob(&piece.digest, Some(piece.size)).is_some())
            && layer.head.iter().all(|head| store.blob(&head.digest, Some(head.extent.size)).is_some())
    }))
}

/// Makes a layer of fragments. Nothing is compressed again: where there are several, they are read once to hash the
/// whole, and each must still be what its record says.
pub fn assemble(store: &Store, fragments: &[Fragment]) -> Result<Layer, Error> {
    let keys: Vec<Key> = fragments.iter().map(|fragment| fragment.key).collect();
    let key = layer_key(&keys);
    if let Some(layer) = stored_layer(store, &key)? {
        return Ok(layer);
    }
    match fragments {
        [only] if only.directories.is_empty() => record_single(store, key, only),
        _ => {
            let layer = join(store, key, fragments)?;
            store.put_record(RECORDS, &key, &layer)?;
            Ok(layer)
        }
    }
}

/// Records the layer of one fragment, which was hashed when the fragment was made.
pub(super) fn record_single(store: &Store, key: Key, fragment: &Fragment) -> Result<Layer, Error> {
    let end = fragment.compression.end().map_err(internal)?;
    let layer = Layer {
        key,
        digest: fragment.layer_digest,
        diff_id: fragment.layer_diff_id,
        size: fragment.size + end.len() as u64,
        uncompressed_size: fragment.uncompressed_size + tar::END.len() as u64,
        head: None,
        pieces: vec![fragment.into()],
        compression: fragment.compression,
    };
    store.put_record(RECORDS, &key, &layer)?;
    Ok(layer)
}

fn join(store: &Store, key: Key, fragments: &[Fragment]) -> Result<Layer, Error> {
    // All are compressed alike: what is not cannot be read.
    let compression = fragments.first().map(|fragment| fragment.compression).unwrap_or_default();
    let mut directories = Splicer::new(Vec::new(), compression);
    for (directory, Attributes { mode, uid, gid }) in &all_directories(store, fragments)? {
        let header = tar::owned_header(directory, Kind::Directory, mode & 0o7777, *uid, *gid);
        directories.gather(&header).map_err(internal)?;
    }
    let (bytes, mut tar, mut len) = directories.finish().map_err(internal)?;
    let mut blob = Hasher::default();
    blob.update(&bytes);
    let mut size = bytes.len() as u64;
    let extent = Extent { size, uncompressed_size: len };
    let head = match size {
        0 => None,
        _ => Some(Head { digest: *store.put_blob(&bytes)?.digest(), extent }),
    };
    let mut buffer = vec![0; CHUNK];
    // A fragment may have no entry at all, and so no member.
    for fragment in fragments.iter().filter(|fragment| fragment.size > 0) {
        let damaged = || Error::Damaged { digest: fragment.digest };
        let mut file = open_piece(store, &fragment.into())?;
        let mut own = Hasher::default();
        let skipped = usize::try_from(fragment.head.size).map_err(|_| damaged())?;
        let mut skipped = vec![0; skipped];
        file.read_exact(&mut skipped).map_err(|_| damaged())?;
        own.update(&skipped);
        let tee = Tee { inner: file, hashers: [&mut own, &mut blob] };
        let members = compression.decoder(BufReader::with_capacity(CHUNK, tee));
        let mut members = members.map_err(internal)?;
        let mut tar_len = 0;
        let mut rest = fragment.size > fragment.head.size;
        while rest {
            match members.read(&mut buffer) {
                Ok(0) => rest = false,
                Ok(n) => {
                    tar.update(&buffer[..n]);
                    tar_len += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Reading a stored file does not fail in a way that would be worth telling apart from damage.
                Err(_) => return Err(damaged()),
            }
        }
        drop(members);
        if own.finish() != fragment.digest
            || tar_len + fragment.head.uncompressed_size != fragment.uncompressed_size
        {
            return Err(damaged());
        }
        size += fragment.size - fragment.head.size;
        len += tar_len;
    }
    let ended = splice::ended(compression, blob, size, tar, len).map_err(internal)?;
    Ok(Layer {
        key,
        digest: ended.digest,
        diff_id: ended.diff_id,
        size: ended.size,
        uncompressed_size: ended.uncompressed_size,
        head,
        pieces: fragments.iter().map(|fragment| Piece { skip: fragment.head, ..fragment.into() }).collect(),
        compression,
    })
}

/// The directories of fragments, each once, parents first. Where several have one, the last one's attributes count.
fn all_directories(store: &Store, fragments: &[Fragment]) -> Result<Vec<(String, Attributes)>, Error> {
    let mut directories = BTreeMap::new();
    for fragment in fragments.iter().filter(|fragment| fragment.head.size > 0) {
        let damaged = |_: io::Error| Error::Damaged { digest: fragment.digest };
        let head = open_piece(store, &fragment.into())?.take(fragment.head.size);
        let members = fragment.compression.decoder(BufReader::new(head)).map_err(internal)?;
        let mut archive = ::tar::Archive::new(members.take(fragment.head.uncompressed_size));
        for entry in archive.entries().map_err(damaged)? {
            let path = entry.map_err(damaged)?.path_bytes().into_owned();
            let path = String::from_utf8(path).map_err(|error| damaged(io::Error::other(error)))?;
            directories.insert(path.trim_end_matches('/').to_owned(), Attributes::root(0o755));
        }
    }
    for directory in fragments.iter().flat_map(|fragment| &fragment.directories) {
        directories.insert(directory.path.clone(), directory.attributes);
    }
    let mut directories: Vec<_> = directories.into_iter().collect();
    directories.sort_by(|(a, _), (b, _)| path_order(a, b));
    Ok(directories)
}

/// Opens the compressed bytes of a layer.
pub fn open(store: &Store, layer: &Layer) -> Result<LayerReader, Error> {
    let mut files = VecDeque::new();
    if let Some(Head { digest, extent }) = &layer.head {
        let blob = store.blob(digest, Some(extent.size)).ok_or(Error::Gone { digest: *digest })?;
        files.push_back(blob.open()?);
    }
    for piece in &layer.pieces {
        let mut file = open_piece(store, piece)?;
        let seek = file.seek(SeekFrom::Start(piece.skip.size));
        seek.map_err(|source| store::Error::Io { action: "read", path: "a fragment".into(), source })?;
        files.push_back(file);
    }
    Ok(LayerReader { files, end: Cursor::new(layer.compression.end().map_err(internal)?) })
}

/// Reads a layer: its head and its pieces in turn, then the end of the archive.
#[derive(Debug)]
pub struct LayerReader {
    files: VecDeque<File>,
    end: Cursor<Vec<u8>>,
}

impl Read for LayerReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(file) = self.files.front_mut().filter(|_| !buf.is_empty()) {
            match file.read(buf)? {
                0 => self.files.pop_front(),
                n => return Ok(n),
            };
        }
        self.end.read(buf)
    }
}

fn open_piece(store: &Store, piece: &Piece) -> Result<File, Error> {
    match store.blob(&piece.digest, Some(piece.size)) {
        Some(blob) => Ok(blob.open()?),
        None => Err(Error::Gone { digest: piece.digest }),
    }
}

/// Compressing a kilobyte in memory does not fail; if it did, it would be no fault of a file.
fn internal(source: io::Error) -> Error {
    store::Error::Io { action: "compress", path: "the end of a layer".into(), source }.into()
}

/// Hashes what is read, twice: for the piece and for the whole.
struct Tee<'a> {
    inner: File,
    hashers: [&'a mut Hasher; 2],
}

impl Read for Tee<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        for hasher in &mut self.hashers {
            hasher.update(&buf[..n]);
        }
        Ok(n)
    }
}
