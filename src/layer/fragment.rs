//! A wheel's fragment: its installed files as tar entries in gzip members.

use std::collections::HashMap;
use std::io;

use serde::{Deserialize, Serialize};
use url::Url;

use super::splice::{self, Ended, Splicer};
use super::tar::{self, Kind};
use super::writer::Attributes;
use super::{Compression, Error, PREFIX};
use crate::dist::{
    Archive, Entry, Flaw, Inflater, Layout, Method, Plan, Planned, Sink, Source, Wheel, direct_url_json,
};
use crate::model::{Digest, Hasher, Key, KeyHasher, PythonMinor, WheelName};
use crate::store::{self, Blob, BlobWriter, Store};

/// The version of everything here that decides a fragment's bytes: the install plan with its texts, the order of the
/// files, the tar headers. The compression has a name of its own.
const FORMAT: &str = "fragment/2";
pub(super) const RECORDS: &str = "fragments";
const FILE_RECORDS: &str = "fragment-files";

/// What a wheel's fragment is made from.
#[derive(Debug, Clone, Copy)]
pub struct WheelInputs<'a> {
    /// The hash of the wheel.
    pub sha256: &'a Digest,
    /// Its file name.
    pub name: &'a WheelName,
    /// The Python it is installed for.
    pub python: PythonMinor,
    /// The URL that the requirement itself named, if it did.
    pub direct_url: Option<&'a Url>,
    /// How it is compressed.
    pub compression: Compression,
}

/// A fragment in the store. A layer of this fragment alone needs nothing more to be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fragment {
    /// Its key.
    pub key: Key,
    /// The digest of its compressed bytes, which is its blob's name.
    pub digest: Digest,
    /// How many compressed bytes.
    pub size: u64,
    /// The digest of its tar entries.
    pub tar_digest: Digest,
    /// How many bytes of tar.
    pub uncompressed_size: u64,
    /// How many files.
    pub files: u32,
    /// The digest of the layer that has only this fragment.
    pub layer_digest: Digest,
    /// The diff ID of that layer.
    pub layer_diff_id: Digest,
    /// How it is compressed.
    #[serde(default, skip_serializing_if = "Compression::is_default")]
    pub compression: Compression,
    /// The members at its start that hold directories alone. A layer of several fragments has its own instead.
    #[serde(default)]
    pub head: Extent,
    /// Directories that it has with attributes of its own. They are not among its bytes: a layer's head has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<Directory>,
}

/// A directory with attributes of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// Its path in the image, without the leading `/`.
    pub path: String,
    /// Who owns it, and who may do what.
    #[serde(flatten)]
    pub attributes: Attributes,
}

/// The length of a part, compressed and not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Extent {
    /// How many compressed bytes.
    pub size: u64,
    /// How many bytes of tar.
    pub uncompressed_size: u64,
}

/// A file that a fragment puts into the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// Its path in the image, without the leading `/`.
    pub path: String,
    /// The hash of its bytes.
    pub sha256: Digest,
    /// Whether it can be executed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// The key of a wheel's fragment: a pure function of everything that decides its bytes.
pub fn fragment_key(inputs: &WheelInputs<'_>) -> Key {
    let mut key = KeyHasher::new(FORMAT);
    key.text("wheel").text(&inputs.sha256.hex()).text(PREFIX);
    key.text(&inputs.name.tags()).text(&inputs.python.to_string());
    key.text(&inputs.direct_url.map_or_else(String::new, direct_url_json));
    // No bytecode is put into images yet.
    key.text(inputs.compression.profile()).text("bytecode=none");
    key.finish()
}

/// The fragment with this key, if it and its bytes are in the store.
pub fn stored_fragment(store: &Store, key: &Key) -> Result<Option<Fragment>, Error> {
    let record: Option<Fragment> = store.record(RECORDS, key)?;
    Ok(record.filter(|f| f.key == *key && store.blob(&f.digest, Some(f.size)).is_some()))
}

/// The files of a fragment, if their record is in the store; sorted by path.
pub fn fragment_files(store: &Store, key: &Key) -> Result<Option<Vec<InstalledFile>>, Error> {
    Ok(store.record(FILE_RECORDS, key)?)
}

/// Whether the record of a fragment's files is in the store.
pub fn has_fragment_files(store: &Store, key: &Key) -> bool {
    store.has_record(FILE_RECORDS, key)
}

/// Makes the fragment of a wheel and puts it into the store. Busy with one core until it is done (zstd frames are
/// compressed on others meanwhile); holds a few megabytes and a few frames, besides the buffers for large entries that all
/// such work in a process shares.
pub fn build_fragment(store: &Store, wheel: &Blob, inputs: &WheelInputs<'_>) -> Result<Fragment, Error> {
    if wheel.digest() != inputs.sha256 {
        return Err(Error::WrongArchive {
            archive: inputs.name.to_string(),
            expected: *inputs.sha256,
            actual: *wheel.digest(),
        });
    }
    let wheel = Wheel::open(wheel.open()?, inputs.name)?;
    let plan = wheel.plan(&Layout { prefix: PREFIX, python: inputs.python }, inputs.direct_url)?;

    let blob = store.create_blob()?;
    let path = blob.path().to_owned();
    let write_error = |source| Error::from(store::Error::Io { action: "write", path: path.clone(), source });
    let mut builder = Builder::new(wheel.archive(), &plan, Splicer::new(blob, inputs.compression));
    builder.directories().map_err(write_error)?;
    let uncompressed_size = builder.out.settle().map_err(write_error)?;
    let head = Extent { size: builder.out.get_ref().len(), uncompressed_size };
    builder.files().map_err(|error| match error {
        Stop::Write(source) => write_error(source),
        Stop::Dist(error) => error.into(),
    })?;
    let Builder { out, mut files, .. } = builder;
    let (mut fragment, blob) = finish(out, fragment_key(inputs), files.len()).map_err(write_error)?;
    fragment.head = head;
    blob.finish(Some(&fragment.digest))?;
    // The list first: whoever finds the fragment finds it.
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    store.put_record(FILE_RECORDS, &fragment.key, &files)?;
    store.put_record(RECORDS, &fragment.key, &fragment)?;
    Ok(fragment)
}

/// Ends a fragment: everything about it is known, but it is not in the store yet.
pub(super) fn finish<'s>(
    out: Splicer<BlobWriter<'s>>,
    key: Key,
    files: usize,
) -> io::Result<(Fragment, BlobWriter<'s>)> {
    let compression = out.compression();
    let (blob, tar, uncompressed_size) = out.finish()?;
    let (hasher, size) = (blob.hasher(), blob.len());
    let layer: Ended = splice::ended(compression, hasher.clone(), size, tar.clone(), uncompressed_size)?;
    let fragment = Fragment {
        key,
        digest: hasher.finish(),
        size,
        tar_digest: tar.finish(),
        uncompressed_size,
        files: u32::try_from(files).unwrap_or(u32::MAX),
        layer_digest: layer.digest,
        layer_diff_id: layer.diff_id,
        compression,
        head: Extent::default(),
        directories: Vec::new(),
    };
    Ok((fragment, blob))
}

/// Why building stopped.
enum Stop {
    Dist(crate::dist::Error),
    Write(io::Error),
}

impl From<crate::dist::Error> for Stop {
    fn from(error: crate::dist::Error) -> Self {
        Self::Dist(error)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// A fragment in the making.
struct Builder<'a, W> {
    archive: &'a Archive,
    plan: &'a Plan,
    /// How many files have each name, without their directories.
    namesakes: HashMap<&'a str, u32>,
    out: Splicer<W>,
    files: Vec<InstalledFile>,
}

impl<'a, W: io::Write> Builder<'a, W> {
    fn new(archive: &'a Archive, plan: &'a Plan, out: Splicer<W>) -> Self {
        let mut namesakes = HashMap::new();
        for file in &plan.files {
            *namesakes.entry(file_name(&file.path)).or_default() += 1;
        }
        Self { archive, plan, namesakes, out, files: Vec::new() }
    }

    /// The files that are compressed here, then the ones that are spliced, each in the plan's order: so the small ones
    /// stand together and compress well.
    fn files(&mut self) -> Result<(), Stop> {
        let mut inflater = Inflater::default();
        for splice in [false, true] {
            for file in &self.plan.files {
                if self.is_spliced(file) == splice {
                    self.file(&mut inflater, file)?;
                }
            }
        }
        Ok(())
    }

    fn is_spliced(&self, file: &Planned) -> bool {
        match &file.source {
            Source::Entry { index, .. } => {
                let entry = &self.archive.entries()[*index];
                let namesakes = self.namesakes.get(file_name(&file.path)).copied().unwrap_or(0);
                entry.method == Method::Deflate && self.out.keeps_stream(entry.compressed, namesakes)
            }
            Source::Bytes(_) => false,
        }
    }

    /// Every directory that something is in, each once, parents first.
    fn directories(&mut self) -> io::Result<()> {
        let plan = self.plan;
        let files = plan.files.iter().map(|file| file.path.rsplit_once('/').map_or("", |(parent, _)| parent));
        let mut needed: Vec<&str> = files.chain(plan.directories.iter().map(String::as_str)).collect();
        needed.sort_unstable_by(|a, b| crate::dist::path_order(a, b));
        needed.dedup();
        let mut previous = String::new();
        for directory in needed {
            let path = if directory.is_empty() { PREFIX.to_owned() } else { format!("{PREFIX}/{directory}") };
            for parent in new_parents(&previous, &path) {
                self.out.gather(&tar::header(parent, Kind::Directory))?;
            }
            previous = path;
        }
        Ok(())
    }

    fn file(&mut self, inflater: &mut Inflater, file: &Planned) -> Result<(), Stop> {
        let path = format!("{PREFIX}/{}", file.path);
        let (size, sha256) = match &file.source {
            Source::Bytes(bytes) => {
                self.header(&path, bytes.len() as u64, file.executable)?;
                let mut hasher = Hasher::default();
                self.out.gather_file(bytes, &mut hasher)?;
                (bytes.len() as u64, hasher.finish())
            }
            Source::Entry { index, sha256 } => {
                let entry = &self.archive.entries()[*index];
                self.header(&path, entry.size, file.executable)?;
                let actual = self.entry(inflater, entry, self.is_spliced(file))?;
                if let Some(expected) = sha256.filter(|&expected| expected != actual) {
                    return Err(self.archive.flaw(&entry.name, Flaw::RecordHash { expected, actual }).into());
                }
                (entry.size, actual)
            }
        };
        self.out.gather(tar::padding(size))?;
        self.files.push(InstalledFile { path, sha256, executable: file.executable });
        Ok(())
    }

    fn header(&mut self, path: &str, size: u64, executable: bool) -> io::Result<()> {
        self.out.gather(&tar::header(path, Kind::File { size, executable }))
    }

    /// Writes an entry's bytes; gives their hash.
    fn entry(&mut self, inflater: &mut Inflater, entry: &Entry, splice: bool) -> Result<Digest, Stop> {
        if splice {
            self.out.begin()?;
        }
        let mut sink = EntrySink { out: &mut self.out, splice, hasher: Hasher::default() };
        inflater.unpack(self.archive, entry, &mut sink)?;
        let sha256 = sink.hasher.finish();
        if splice {
            self.out.end(entry.crc32, entry.size)?;
        }
        Ok(sha256)
    }
}

/// Takes an entry's bytes into the fragment.
struct EntrySink<'a, W> {
    out: &'a mut Splicer<W>,
    splice: bool,
    hasher: Hasher,
}

impl<W: io::Write> Sink for EntrySink<'_, W> {
    type Error = Stop;

    fn packed(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.splice {
            self.out.packed(bytes)?;
        }
        Ok(())
    }

    fn plain(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.splice {
            self.out.plain(bytes, &mut self.hasher);
        } else {
            self.out.gather_file(bytes, &mut self.hasher)?;
        }
        Ok(())
    }
}

/// The last component of a path.
fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// `path` and the directories above it, parents first, without those that are `previous` or above it.
pub(super) fn new_parents<'a>(previous: &str, path: &'a str) -> impl Iterator<Item = &'a str> {
    let common = previous.split('/').zip(path.split('/')).take_while(|(a, b)| a == b).count();
    let common = if previous.is_empty() { 0 } else { common };
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.skip(common).map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_is_announced_once() {
        let new = |previous, path| new_parents(previous, path).collect::<Vec<_>>();
        assert_eq!(new("", "a/b/c"), ["a", "a/b", "a/b/c"]);
        assert_eq!(new("a/b/c", "a/b/d/e"), ["a/b/d", "a/b/d/e"]);
        assert_eq!(new("a/b", "a/b"), [""; 0]);
        assert_eq!(new("a/b", "ab"), ["ab"]);
    }
}
