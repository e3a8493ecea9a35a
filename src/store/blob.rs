//! Blobs: one that is there, and one being written.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Error, Store};
use crate::model::{Digest, Hasher, HashingWriter};

/// A blob in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    digest: Digest,
    size: u64,
    path: PathBuf,
}

impl Blob {
    pub(super) fn new(digest: Digest, size: u64, path: PathBuf) -> Self {
        Self { digest, size, path }
    }

    /// Its digest, checked when it was written.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where it is; for reading only.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens it for reading.
    pub fn open(&self) -> Result<File, Error> {
        File::open(&self.path).map_err(Error::io("open", &self.path))
    }
}

/// A blob being written. Nothing is in the store until [`BlobWriter::finish`]; dropped before, it leaves nothing.
pub struct BlobWriter<'s> {
    store: &'s Store,
    out: Option<HashingWriter<BufWriter<File>>>,
    path: PathBuf,
}

impl<'s> BlobWriter<'s> {
    pub(super) fn new(store: &'s Store, file: File, path: PathBuf) -> Self {
        Self { store, out: Some(HashingWriter::new(BufWriter::with_capacity(128 * 1024, file))), path }
    }

    /// The temporary file, for error messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes written so far.
    pub fn len(&self) -> u64 {
        self.out.as_ref().map_or(0, HashingWriter::len)
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hash of everything written so far, to go on from.
    pub fn hasher(&self) -> Hasher {
        self.out.as_ref().map_or_else(Hasher::default, HashingWriter::hasher)
    }

    /// Puts the blob into the store under its digest, which must be `expected` if that is given.
    pub fn finish(mut self, expected: Option<&Digest>) -> Result<Blob, Error> {
        let Some(out) = self.out.take() else { unreachable!("finish consumes the writer") };
        let (buffer, digest, size) = out.finish();
        // The file stays open, and so locked against sweeping, until it has its final name.
        let file = buffer.into_inner().map_err(|error| Error::io("write", &self.path)(error.into_error()))?;
        if let Some(&expected) = expected.filter(|&expected| *expected != digest) {
            return Err(Error::DigestMismatch { expected, actual: digest });
        }
        let path = self.store.blob_path(&digest);
        self.store.publish(&self.path, &path)?;
        drop(file);
        Ok(Blob { digest, size, path })
    }
}

impl Write for BlobWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Some(out) => out.write(buf),
            None => Err(io::Error::other("the blob is finished")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for BlobWriter<'_> {
    fn drop(&mut self) {
        // After a successful finish there is no file of this name any more.
        let _ = fs::remove_file(&self.path);
    }
}
