//! Layers: fragments laid end to end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use super::fragment::Fragment;
use super::{Error, splice};
use crate::model::{Digest, Hasher, HashingReader, Key, KeyHasher};
use crate::store::{self, Store};

const FORMAT: &str = "layer/1";
const RECORDS: &str = "layers";

/// How much is read at a time.
const CHUNK: usize = 128 * 1024;

/// A layer. Its bytes are those of its pieces and the end of the archive after them.
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
    /// What it is made of, in order.
    pub pieces: Vec<Piece>,
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
}

impl Layer {
    /// Whether its parts fit together: the key and the sizes are what its pieces make. Says nothing about its bytes.
    pub fn is_consistent(&self) -> bool {
        let Ok(end) = end_member() else { return false };
        let total = |first: u64, size: fn(&Piece) -> u64| {
            self.pieces.iter().try_fold(first, |sum, piece| sum.checked_add(size(piece)))
        };
        let keys: Vec<Key> = self.pieces.iter().map(|piece| piece.key).collect();
        self.key == layer_key(&keys)
            && total(end.len() as u64, |piece| piece.size) == Some(self.size)
            && total(super::tar::END.len() as u64, |piece| piece.uncompressed_size)
                == Some(self.uncompressed_size)
    }

    /// Whether these are its bytes: reads and decompresses them all.
    pub fn matches(&self, bytes: impl Read) -> bool {
        let mut members = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, HashingReader::new(bytes)));
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
        layer.key == *key && layer.pieces.iter().all(|p| store.blob(&p.digest, Some(p.size)).is_some())
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
        [only] => record_single(store, key, only),
        _ => {
            let layer = join(store, key, fragments)?;
            store.put_record(RECORDS, &key, &layer)?;
            Ok(layer)
        }
    }
}

/// Records the layer of one fragment, which was hashed when the fragment was made.
pub(super) fn record_single(store: &Store, key: Key, fragment: &Fragment) -> Result<Layer, Error> {
    let end = end_member()?;
    let layer = Layer {
        key,
        digest: fragment.layer_digest,
        diff_id: fragment.layer_diff_id,
        size: fragment.size + end.len() as u64,
        uncompressed_size: fragment.uncompressed_size + super::tar::END.len() as u64,
        pieces: vec![fragment.into()],
    };
    store.put_record(RECORDS, &key, &layer)?;
    Ok(layer)
}

fn join(store: &Store, key: Key, fragments: &[Fragment]) -> Result<Layer, Error> {
    let (mut blob, mut size) = (Hasher::default(), 0);
    let (mut tar, mut len) = (Hasher::default(), 0);
    let mut buffer = vec![0; CHUNK];
    // A fragment may have no entry at all, and so no member.
    for fragment in fragments.iter().filter(|fragment| fragment.size > 0) {
        let file = open_piece(store, &fragment.into())?;
        let mut own = Hasher::default();
        let tee = Tee { inner: file, hashers: [&mut own, &mut blob] };
        let mut members = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, tee));
        let damaged = || Error::Damaged { digest: fragment.digest };
        let mut tar_len = 0;
        loop {
            match members.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => {
                    tar.update(&buffer[..n]);
                    tar_len += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Reading a stored file does not fail in a way that would be worth telling apart from damage.
                Err(_) => return Err(damaged()),
            }
        }
        if own.finish() != fragment.digest || tar_len != fragment.uncompressed_size {
            return Err(damaged());
        }
        size += fragment.size;
        len += tar_len;
    }
    let ended = splice::ended(blob, size, tar, len).map_err(internal)?;
    Ok(Layer {
        key,
        digest: ended.digest,
        diff_id: ended.diff_id,
        size: ended.size,
        uncompressed_size: ended.uncompressed_size,
        pieces: fragments.iter().map(Piece::from).collect(),
    })
}

/// Opens the compressed bytes of a layer.
pub fn open(store: &Store, layer: &Layer) -> Result<LayerReader, Error> {
    let mut files = VecDeque::new();
    for piece in &layer.pieces {
        files.push_back(open_piece(store, piece)?);
    }
    Ok(LayerReader { files, end: Cursor::new(end_member()?) })
}

/// Reads a layer: its pieces in turn, then the end of the archive.
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

fn end_member() -> Result<Vec<u8>, Error> {
    splice::end_member().map_err(internal)
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
