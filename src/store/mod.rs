//! The local content-addressed store: blobs and records; atomic, shared by concurrent processes.
//!
//! ```text
//! v1/blobs/sha256/ab/ab12…   bytes whose SHA-256 is the name; never changed once there
//! v1/KIND/ab/ab12…           small records by key; a later write of the same key replaces the earlier one whole
//! v1/tmp/                    files being written, each locked by its writer; what a killed process left is swept
//! ```
//!
//! Whoever uses the store holds a shared lock on `v1` itself, and whoever removes what is in it holds it alone, so that
//! nothing goes away under a run. What is used is given a new modification time, once a day at most: that tells what is
//! not used any more.
//!
//! Everything appears by `rename`, so a reader sees a whole file or none. What is in the store can always be made
//! again, so blobs are not synced to disk one by one: instead whoever opens a blob says how long it must be, and a
//! file that a crash cut short counts as absent.

mod blob;
mod directory;
mod prune;

pub use blob::{Blob, BlobWriter};
pub use directory::TemporaryDirectory;
pub use prune::{Removed, StoreAlone};

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::model::{Digest, ExitCode, Key};

/// How old a temporary file must be before it may be swept, besides being locked by nobody.
const SWEEP_AGE: Duration = Duration::from_secs(60 * 60);

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// What was written is not what was expected.
    #[error("expected {expected}, got {actual}")]
    DigestMismatch {
        /// The digest it should have.
        expected: Digest,
        /// The digest it has.
        actual: Digest,
    },
}

impl Error {
    /// The documented exit code.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Io { .. } => ExitCode::Internal,
            Self::DigestMismatch { .. } => ExitCode::Integrity,
        }
    }

    /// An I/O error with its context, for use with `map_err`.
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// What the store holds, for `cache info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Each kind of content (`blobs`, or a record's kind) with its number of files and bytes, sorted by name.
    pub kinds: Vec<(String, u64, u64)>,
}

/// The store. Cheap to open; share it by reference or in an `Arc`.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    next_temporary: AtomicU64,
    /// The directory, locked for as long as the store is in use.
    lock: File,
}

impl Store {
    /// Opens the store in `directory`, creating it if need be, and sweeps what killed processes left behind.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let root = directory.join("v1");
        for part in ["blobs/sha256", "tmp"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        }
        let lock = File::open(&root).map_err(Error::io("open", &root))?;
        // Best effort: on a file system without locks, nothing is removed while a run is on only by the user's care.
        if let Err(error) = lock.lock_shared() {
            tracing::debug!(%error, "the store cannot be locked");
        }
        let this = Self { root, next_temporary: AtomicU64::new(0), lock };
        this.sweep();
        Ok(this)
    }

    /// The directory that holds everything of this format version.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The blob with this digest, if it is there. With `size` given, a file of another length counts as absent.
    pub fn blob(&self, digest: &Digest, size: Option<u64>) -> Option<Blob> {
        let path = self.blob_path(digest);
        let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let found = metadata.len();
        (size.is_none_or(|size| size == found)).then(|| {
            prune::touch(&path, &metadata);
            Blob::new(*digest, found, path)
        })
    }

    /// Starts writing a blob whose digest is found on the way.
    pub fn create_blob(&self) -> Result<BlobWriter<'_>, Error> {
        let (file, path) = self.temporary()?;
        Ok(BlobWriter::new(self, file, path))
    }

    /// Stores bytes as a blob.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Blob, Error> {
        let digest = Digest::of(bytes);
        if let Some(blob) = self.blob(&digest, Some(bytes.len() as u64)) {
            return Ok(blob);
        }
        let mut writer = self.create_blob()?;
        writer.write_all(bytes).map_err(Error::io("write", writer.path()))?;
        writer.finish(Some(&digest))
    }

    /// A new directory for work of which only results are kept; what is in it is gone when it is dropped.
    pub fn temporary_directory(&self) -> Result<TemporaryDirectory, Error> {
        TemporaryDirectory::new(&self.temporary_path())
    }

    /// The bytes of a record, if there is one.
    pub fn read(&self, kind: &str, key: &Key) -> Result<Option<Vec<u8>>, Error> {
        let path = self.record_path(kind, key);
        match fs::read(&path) {
            Ok(bytes) => {
                if let Ok(metadata) = fs::metadata(&path) {
                    prune::touch(&path, &metadata);
                }
                Ok(Some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Whether there is a record.
    pub fn has_record(&self, kind: &str, key: &Key) -> bool {
        let path = self.record_path(kind, key);
        let found = fs::metadata(&path).ok().filter(fs::Metadata::is_file);
        found.inspect(|metadata| prune::touch(&path, metadata)).is_some()
    }

    /// The file of a record, open for reading, if there is one.
    pub fn open_record(&self, kind: &str, key: &Key) -> Result<Option<File>, Error> {
        let path = self.record_path(kind, key);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &path)(error)),
        }
    }

    /// Writes a record, whole or not at all.
    pub fn write(&self, kind: &str, key: &Key, bytes: &[u8]) -> Result<(), Error> {
        let (mut file, temporary) = self.temporary()?;
        let written = file.write_all(bytes).map_err(Error::io("write", &temporary));
        let renamed = written.and_then(|()| self.publish(&temporary, &self.record_path(kind, key)));
        renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// A record as a value. One that cannot be read as `T` counts as absent: it is made again.
    pub fn record<T: DeserializeOwned>(&self, kind: &str, key: &Key) -> Result<Option<T>, Error> {
        Ok(self.read(kind, key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Writes a value as a record.
    pub fn put_record<T: Serialize>(&self, kind: &str, key: &Key, value: &T) -> Result<(), Error> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            Error::io("serialise a record for", &self.record_path(kind, key))(error.into())
        })?;
        self.write(kind, key, &bytes)
    }

    /// Counts what the store holds.
    pub fn usage(&self) -> Result<Usage, Error> {
        let mut kinds = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(Error::io("list", &self.root))? {
            let entry = entry.map_err(Error::io("list", &self.root))?;
            if entry.file_name() != "tmp" {
                let (files, bytes) = count(&entry.path());
                kinds.push((entry.file_name().to_string_lossy().into_owned(), files, bytes));
            }
        }
        kinds.sort();
        Ok(Usage { kinds })
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs/sha256").join(&hex[..2]).join(hex)
    }

    fn record_path(&self, kind: &str, key: &Key) -> PathBuf {
        let hex = key.to_string();
        self.root.join(kind).join(&hex[..2]).join(hex)
    }

    /// A path that nobody else uses.
    fn temporary_path(&self) -> PathBuf {
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let unique = std::ptr::from_ref(self).addr();
        self.root.join("tmp").join(format!("{}-{unique:x}-{number}", std::process::id()))
    }

    /// A new, locked temporary file.
    fn temporary(&self) -> Result<(File, PathBuf), Error> {
        let path = self.temporary_path();
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        // Best effort: on a file system without locks the age alone protects the file from being swept.
        let _ = file.try_lock();
        Ok((file, path))
    }

    /// Moves a finished temporary file to its place.
    fn publish(&self, temporary: &Path, path: &Path) -> Result<(), Error> {
        if fs::rename(temporary, path).is_ok() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        fs::rename(temporary, path).map_err(Error::io("move a finished file to", path))
    }

    /// Removes temporary files that nobody writes any more. Errors do not matter: the next run tries again.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(self.root.join("tmp")) else { return };
        for entry in entries.flatten() {
            let old = entry
                .metadata()
                .and_then(|m| m.modified())
                .is_ok_and(|modified| modified.elapsed().is_ok_and(|age| age > SWEEP_AGE));
            if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(entry.path()).or_else(|_| fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// Writes a file that a user keeps: into a temporary file beside it, synced, then renamed, so that a reader sees the old
/// bytes or the new ones, and a crash leaves one of the two.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name =
        path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?.to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let written = File::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path));
    written.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
    // Best effort: not every file system can sync a directory, and the file itself is whole either way.
    if let Some(directory) = path.parent() {
        let _ = File::open(directory).and_then(|directory| directory.sync_all());
    }
    Ok(())
}

/// Files and bytes below `path`; what cannot be read is not counted.
fn count(path: &Path) -> (u64, u64) {
    let Ok(entries) = fs::read_dir(path) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let (f, b) = count(&entry.path());
            (files + f, bytes + b)
        }
        Ok(metadata) => (files + 1, bytes + metadata.len()),
        Err(_) => (files, bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyHasher;

    #[test]
    fn a_blob_appears_only_when_it_is_whole_and_right() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let digest = Digest::of(b"hello");
        let mut writer = store.create_blob().unwrap();
        writer.write_all(b"hello").unwrap();
        assert_eq!(store.blob(&digest, None), None);
        assert_eq!(writer.finish(Some(&digest)).unwrap().size(), 5);
        assert!(store.blob(&digest, Some(5)).is_some());
        assert_eq!(store.blob(&digest, Some(6)), None, "a file cut short counts as absent");

        let mut writer = store.create_blob().unwrap();
        writer.write_all(b"other").unwrap();
        let error = writer.finish(Some(&digest)).unwrap_err();
        assert_eq!(error.exit_code(), ExitCode::Integrity);
        assert_eq!(fs::read_dir(directory.path().join("v1/tmp")).unwrap().count(), 0);
    }

    #[test]
    fn records_replace_each_other_and_broken_ones_count_as_absent() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let key = KeyHasher::new("test/1").finish();
        assert_eq!(store.record::<u32>("numbers", &key).unwrap(), None);
        store.put_record("numbers", &key, &1_u32).unwrap();
        store.put_record("numbers", &key, &2_u32).unwrap();
        assert_eq!(store.record("numbers", &key).unwrap(), Some(2_u32));
        store.write("numbers", &key, b"{").unwrap();
        assert_eq!(store.record::<u32>("numbers", &key).unwrap(), None);
    }
}
