//! OCI image layouts: images in a directory.
//!
//! ```text
//! oci-layout            {"imageLayoutVersion":"1.0.0"}
//! index.json            an image index: the images, each with its name in the annotation org.opencontainers.image.ref.name
//! blobs/sha256/HEX      manifests, configs and layers
//! ```
//!
//! Several processes may write to one layout. Blobs appear by `rename`; `index.json` is changed under a lock on the
//! directory itself, so that no lock file stays behind. What a layout holds is checked whenever it is read.
//!
//! An archive is read as if it were a layout: an `oci-archive:` is one in a tar file, and what a `docker-archive:` holds
//! is presented as one.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use oci_spec::image::{ANNOTATION_REF_NAME, Descriptor, MediaType, OciLayout};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::archive::ArchiveFormat;
use super::docker_archive;
use super::error::{Error, shown};
use super::manifest::{MAX_MANIFEST_SIZE, Manifest};
use super::tarball::Tarball;
use crate::model::{Digest, Hasher, HashingWriter};
use crate::store::{Blob, Store};

const MARKER: &str = "oci-layout";
const INDEX: &str = "index.json";
const VERSION: &str = "1.0.0";
/// The start of the names of files that are being written.
const TEMPORARY: &str = ".bakehouse-";
/// The largest `index.json`: thousands of images.
const MAX_INDEX: u64 = 16 * 1024 * 1024;
/// How old such a file must be to be removed, besides being locked by nobody.
const SWEEP_AGE: Duration = Duration::from_secs(60 * 60);
/// How many names an error tells.
const NAMES_SHOWN: usize = 10;

/// An OCI layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    /// Where its files are, if not in a directory.
    archive: Option<Tarball>,
}

/// `index.json`. What belongs to others is kept as it is.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Layout {
    /// Opens a layout.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::checked(Self::at(path, None))
    }

    /// Opens an archive for reading. One that is compressed is unpacked into the store.
    pub fn open_archive(path: &Path, format: ArchiveFormat, store: &Store) -> Result<Self, Error> {
        let mut archive = Tarball::open(path, store)?;
        if format == ArchiveFormat::Docker {
            docker_archive::present_as_layout(&mut archive, path)?;
        }
        Self::checked(Self::at(path, Some(archive)))
    }

    fn at(path: &Path, archive: Option<Tarball>) -> Self {
        Self { path: path.to_owned(), archive }
    }

    fn checked(this: Self) -> Result<Self, Error> {
        let marker = this.read(MARKER, 64 * 1024)?;
        let marker: OciLayout = marker
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| this.bad(format!("it has no valid `{MARKER}` file")))?;
        if !marker.image_layout_version().starts_with("1.") {
            return Err(this.bad(format!("its version is {}", shown(marker.image_layout_version()))));
        }
        Ok(this)
    }

    /// Opens a layout for writing, and makes one where there is none. A directory that holds something else is refused.
    pub fn create(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(Error::io("create", path))?;
        let this = Self::at(path, None);
        let _lock = this.lock()?;
        sweep(path);
        if this.read(MARKER, 64 * 1024)?.is_none() {
            let mut entries = fs::read_dir(path).map_err(Error::io("list", path))?;
            if entries.any(|entry| entry.is_ok_and(|entry| !is_temporary(&entry))) {
                return Err(Error::NotALayout { path: path.to_owned() });
            }
            this.write(Path::new(MARKER), layout_marker().as_bytes())?;
        }
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).map_err(Error::io("create", &blobs))?;
        if this.read(INDEX, MAX_INDEX)?.is_none() {
            this.write_index(Index::default())?;
        }
        Self::open(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a blob is there with the right length. (Its content is checked when it is read.)
    pub fn has_blob(&self, digest: &Digest, size: u64) -> bool {
        self.blob_size(digest) == Some(size)
    }

    /// The length of a blob, if it is there.
    fn blob_size(&self, digest: &Digest) -> Option<u64> {
        match &self.archive {
            Some(archive) => archive.size(&blob_name(digest)),
            // Anything but a plain file could block.
            None => fs::metadata(self.blob_path(digest)).ok().filter(fs::Metadata::is_file).map(|f| f.len()),
        }
    }

    /// Writes a blob, unless it is there. Nothing appears unless length and digest are right.
    pub fn put_blob(&self, digest: &Digest, size: u64, reader: &mut dyn Read) -> Result<(), Error> {
        if self.has_blob(digest, size) {
            return Ok(());
        }
        let (file, temporary) = temporary(&self.path)?;
        let written = || {
            let mut writer = HashingWriter::new(file);
            let mut limited = reader.take(size.saturating_add(1));
            io::copy(&mut limited, &mut writer).map_err(Error::io("write", &temporary))?;
            let (_, actual, length) = writer.finish();
            self.check(digest, size, actual, length)
        };
        let moved = written().and_then(|()| self.publish(&temporary, &self.blob_path(digest)));
        moved.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    /// Opens a blob. Reading it to the end fails if its length or digest is wrong.
    pub fn open_blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<CheckedReader<Box<dyn Read + Send>>, Error> {
        let missing = || self.missing(format!("blob {digest}"), Vec::new());
        let inner: Box<dyn Read + Send> = match &self.archive {
            Some(archive) => archive.read(&blob_name(digest))?.ok_or_else(missing)?,
            None => {
                self.blob_size(digest).ok_or_else(missing)?;
                let path = self.blob_path(digest);
                Box::new(File::open(&path).map_err(Error::io("open", &path))?)
            }
        };
        Ok(CheckedReader {
            inner,
            what: self.blob(digest),
            digest: *digest,
            size,
            length: 0,
            hasher: Hasher::default(),
        })
    }

    /// Copies a blob into the store, unless it is there already.
    pub fn pull_blob(&self, store: &Store, digest: &Digest, size: u64) -> Result<Blob, Error> {
        if let Some(blob) = store.blob(digest, Some(size)) {
            return Ok(blob);
        }
        let mut reader = self.open_blob(digest, size)?;
        let mut writer = store.create_blob()?;
        io::copy(&mut reader, &mut writer).map_err(|error| self.read_error(digest, error))?;
        Ok(writer.finish(Some(digest))?)
    }

    /// The bytes of a small blob (a config, say), checked.
    pub fn blob_bytes(&self, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        if size > MAX_MANIFEST_SIZE {
            return Err(self.bad(format!("{size} bytes are too many for the document {digest}")));
        }
        let mut bytes = Vec::new();
        let mut reader = self.open_blob(digest, size)?;
        reader.read_to_end(&mut bytes).map_err(|error| self.read_error(digest, error))?;
        Ok(bytes)
    }

    /// The images that `index.json` lists, in its order. Entries that are not understood are left out.
    pub fn images(&self) -> Result<Vec<Descriptor>, Error> {
        let index = self.read_index()?;
        Ok(index.manifests.iter().filter_map(|entry| Descriptor::deserialize(entry).ok()).collect())
    }

    /// The manifest or image index with a name (`ref.name`) or a digest; without either, the only one there is.
    pub fn manifest(&self, name_or_digest: Option<&str>) -> Result<Manifest, Error> {
        let images = self.images()?;
        let name = |image: &Descriptor| image.annotations().as_ref()?.get(ANNOTATION_REF_NAME).cloned();
        if let Some(Ok(digest)) = name_or_digest.map(str::parse::<Digest>) {
            // The manifests of an image index are not listed themselves: there, the blob alone knows its length.
            let missing = || self.missing(format!("manifest {digest}"), Vec::new());
            let size = self.blob_size(&digest).ok_or_else(missing)?;
            let listed = images.iter().find(|image| image.digest().as_ref() == digest.to_string());
            return self.read_manifest(&digest, size, listed.map(Descriptor::media_type));
        }
        let mut found: Vec<&Descriptor> = images
            .iter()
            .filter(|image| name_or_digest.is_none_or(|wanted| name(image).as_deref() == Some(wanted)))
            .collect();
        // One manifest may have several names.
        found.sort_by(|a, b| a.digest().as_ref().cmp(b.digest().as_ref()));
        found.dedup_by_key(|image| image.digest());
        let names = || images.iter().filter_map(name).map(|name| shown(&name)).take(NAMES_SHOWN).collect();
        match (found.as_slice(), name_or_digest) {
            ([image], _) => {
                let digest = self.digest(image)?;
                self.read_manifest(&digest, image.size(), Some(image.media_type()))
            }
            ([], Some(name)) => Err(self.missing(format!("image named `{}`", shown(name)), names())),
            ([], None) => Err(self.missing("images".into(), Vec::new())),
            (_, Some(name)) => Err(self.bad(format!("several images are named `{}`", shown(name)))),
            (_, None) => Err(self.missing("single image: say which one".into(), names())),
        }
    }

    /// Lists a manifest in `index.json` under a name; what had the name before loses it. The manifest must be there.
    pub fn tag(&self, descriptor: &Descriptor, name: &str) -> Result<(), Error> {
        self.tag_all(&[(descriptor.clone(), name.to_owned())])
    }

    /// Lists manifests under names, all at once.
    pub fn tag_all(&self, images: &[(Descriptor, String)]) -> Result<(), Error> {
        if images.is_empty() {
            return Ok(());
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._:@+/".contains(c);
        let (mut entries, mut names) = (Vec::new(), HashSet::new());
        for (descriptor, name) in images {
            if name.is_empty() || name.len() > 1024 || !name.chars().all(legal) {
                return Err(Error::name(name, "a name for an image in an OCI layout"));
            }
            let digest = self.digest(descriptor)?;
            if !self.has_blob(&digest, descriptor.size()) {
                return Err(self.missing(format!("blob {digest}"), Vec::new()));
            }
            entries.push(entry(descriptor, name).map_err(|error| self.bad(error.to_string()))?);
            names.insert(name.as_str());
        }
        let _lock = self.lock()?;
        let mut index = self.read_index()?;
        index.manifests.retain(|other| ref_name(other).is_none_or(|name| !names.contains(name)));
        index.manifests.extend(entries);
        self.write_index(index)
    }

    fn read_manifest(
        &self,
        digest: &Digest,
        size: u64,
        media_type: Option<&MediaType>,
    ) -> Result<Manifest, Error> {
        let bytes = self.blob_bytes(digest, size)?;
        let reference = format!("{}@{digest}", self.path.display());
        Manifest::new(bytes.into(), media_type.map(AsRef::as_ref), &reference)
    }

    fn read_index(&self) -> Result<Index, Error> {
        let bytes = self.read(INDEX, MAX_INDEX)?.ok_or_else(|| self.bad(format!("it has no `{INDEX}`")))?;
        serde_json::from_slice(&bytes).map_err(|error| self.bad(format!("its `{INDEX}` is broken: {error}")))
    }

    fn write_index(&self, index: Index) -> Result<(), Error> {
        let text = index.document().map_err(|error| self.bad(error.to_string()))?;
        self.write(Path::new(INDEX), text.as_bytes())
    }

    fn digest(&self, descriptor: &Descriptor) -> Result<Digest, Error> {
        let text = descriptor.digest().as_ref();
        text.parse().map_err(|_| self.bad(format!("`{}` is not a SHA-256 digest", shown(text))))
    }

    /// Keeps other processes from changing the index until the file is dropped. Where the file system knows no locks,
    /// there are none.
    fn lock(&self) -> Result<File, Error> {
        let directory = File::open(&self.path).map_err(Error::io("open", &self.path))?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => directory.lock().map_err(Error::io("lock", &self.path))?,
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %self.path.display(), %error, "the layout cannot be locked");
            }
        }
        Ok(directory)
    }

    /// A small file of the layout; `None` if it is not there.
    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        if let Some(archive) = &self.archive {
            return archive.small(name, limit);
        }
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= limit => {}
            Ok(_) => return Err(self.bad(format!("`{name}` is not a file of reasonable size"))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        }
        fs::read(&path).map(Some).map_err(Error::io("read", &path))
    }

    /// Writes a small file so that it is there whole, even after a crash, or not at all.
    fn write(&self, name: &Path, bytes: &[u8]) -> Result<(), Error> {
        let (mut file, temporary) = temporary(&self.path)?;
        let written =
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", &temporary));
        let moved = written.and_then(|()| self.publish(&temporary, &self.path.join(name)));
        moved.inspect_err(|_| drop(fs::remove_file(&temporary)))
    }

    fn publish(&self, temporary: &Path, path: &Path) -> Result<(), Error> {
        fs::rename(temporary, path).map_err(Error::io("move a finished file to", path))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.path.join(blob_name(digest))
    }

    /// A blob, for messages.
    fn blob(&self, digest: &Digest) -> String {
        format!("the blob {digest} of `{}`", self.path.display())
    }

    fn check(&self, digest: &Digest, size: u64, actual: Digest, length: u64) -> Result<(), Error> {
        check(&self.blob(digest), digest, size, actual, length)
    }

    /// An error of a [`CheckedReader`] as what it is.
    fn read_error(&self, digest: &Digest, error: io::Error) -> Error {
        let path = self.blob_path(digest);
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(source) => Error::Io { action: "copy", path, source },
        }
    }

    fn bad(&self, problem: String) -> Error {
        Error::BadLayout { path: self.path.clone(), problem }
    }

    fn missing(&self, wanted: String, names: Vec<String>) -> Error {
        Error::NotInLayout { path: self.path.clone(), wanted, names }
    }
}

impl Index {
    /// The bytes of `index.json`: the same for the same images.
    fn document(mut self) -> Result<String, serde_json::Error> {
        self.rest.insert("schemaVersion".into(), 2.into());
        self.rest.entry("mediaType").or_insert_with(|| MediaType::ImageIndex.to_string().into());
        self.manifests.sort_by_cached_key(|entry| {
            let digest = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
            (ref_name(entry).unwrap_or_default().to_owned(), digest.to_owned())
        });
        // By way of a value, whose keys are sorted.
        Ok(serde_json::to_value(self)?.to_string())
    }
}

/// The bytes of the file `oci-layout`.
pub fn layout_marker() -> String {
    serde_json::json!({ "imageLayoutVersion": VERSION }).to_string()
}

/// The bytes of an `index.json` that lists images by their names.
pub fn index_document<'a>(
    images: impl IntoIterator<Item = (&'a Descriptor, &'a str)>,
) -> Result<String, serde_json::Error> {
    let manifests = images.into_iter().map(|(image, name)| entry(image, name)).collect::<Result<_, _>>()?;
    Index { manifests, rest: Map::new() }.document()
}

/// An image as `index.json` lists it.
fn entry(descriptor: &Descriptor, name: &str) -> Result<Value, serde_json::Error> {
    let mut named = descriptor.clone();
    let mut annotations = descriptor.annotations().clone().unwrap_or_default();
    annotations.insert(ANNOTATION_REF_NAME.to_owned(), name.to_owned());
    named.set_annotations(Some(annotations));
    // By way of a value: its maps are sorted, those of the descriptor are not.
    serde_json::to_value(&named)
}

/// The name of a blob's file.
pub(super) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A new, locked file in a directory, to be renamed when it is whole.
pub(super) fn temporary(directory: &Path) -> Result<(File, PathBuf), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("{TEMPORARY}{}-{number}", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => {
                // Best effort, against being swept.
                let _ = file.try_lock();
                return Ok((file, path));
            }
            // Left behind by a killed process.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &path)(error)),
        }
    }
}

/// Removes what killed processes left in a directory. Errors do not matter: the next run tries again.
pub(super) fn sweep(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(is_temporary) {
        let modified = entry.metadata().and_then(|found| found.modified());
        let old = modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > SWEEP_AGE));
        if old && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().starts_with(TEMPORARY)
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(ANNOTATION_REF_NAME)?.as_str()
}

pub(super) fn check(
    what: &str,
    digest: &Digest,
    size: u64,
    actual: Digest,
    length: u64,
) -> Result<(), Error> {
    if length != size {
        return Err(Error::SizeMismatch { what: what.to_owned(), expected: size, actual: length });
    }
    if actual != *digest {
        return Err(Error::DigestMismatch { what: what.to_owned(), expected: *digest, actual });
    }
    Ok(())
}

/// A reader that fails at the end if what it read has not the right length or digest.
pub struct CheckedReader<R> {
    inner: R,
    what: String,
    digest: Digest,
    size: u64,
    length: u64,
    hasher: Hasher,
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        if self.length > self.size || (read == 0 && !buffer.is_empty()) {
            let actual = self.hasher.clone().finish();
            check(&self.what, &self.digest, self.size, actual, self.length)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Ok(read)
    }
}
