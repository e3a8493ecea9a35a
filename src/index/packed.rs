//! A project's page in packed form: what the store keeps, and what a resolution works on without reading it again.
//!
//! In terms of [`typed`](super::typed):
//!
//! ```text
//! table    its length
//!          values of Requires-Python: their number, each with a byte that tells whether it is readable
//!          versions, ascending: their number, each with the length of its block
//! blocks   for each version its files: flags, file name, URL, and what the flags announce
//! ```
//!
//! The table is read at once, the files of a version when somebody looks at them: a large page stays on disk until then.
//! What does not read as it should counts as absent.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::PackageName;
use serde::{Deserialize, Serialize};
use url::Url;

use super::lenient;
use super::releases::{CoreMetadata, Files, ReleaseFile, Releases};
use super::typed::{Reader, put_number, put_specifiers, put_text, put_version};
use crate::model::{Archive, ArchiveKind, Digest, Timestamp, WheelName};

const SHA256: u8 = 1;
const SIZE: u8 = 2;
const REQUIRES_PYTHON: u8 = 4;
const YANKED: u8 = 8;
const UPLOAD_TIME: u8 = 16;
const CORE_METADATA: u8 = 32;
const CORE_METADATA_HASH: u8 = 64;
/// The URL ends with the file name, which is not repeated.
const NAMED_BY_URL: u8 = 128;

/// A file as an index lists it: what both formats of the Simple API have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed<'a> {
    /// The file name.
    pub(super) file_name: Cow<'a, str>,
    /// The absolute URL, without credentials and fragment.
    pub(super) url: Cow<'a, str>,
    pub(super) sha256: Option<Digest>,
    pub(super) size: Option<u64>,
    pub(super) requires_python: Option<Cow<'a, str>>,
    pub(super) yanked: Option<Cow<'a, str>>,
    pub(super) upload_time: Option<Cow<'a, str>>,
    pub(super) core_metadata: CoreMetadata,
}

impl Listed<'_> {
    /// The same, borrowed from nothing.
    pub(super) fn into_owned(self) -> Listed<'static> {
        let owned = |text: Cow<'_, str>| -> Cow<'static, str> { Cow::Owned(text.into_owned()) };
        Listed {
            file_name: owned(self.file_name),
            url: owned(self.url),
            sha256: self.sha256,
            size: self.size,
            requires_python: self.requires_python.map(owned),
            yanked: self.yanked.map(owned),
            upload_time: self.upload_time.map(owned),
            core_metadata: self.core_metadata,
        }
    }
}

/// Sorts listed files by version and packs them. A file whose name cannot belong to the project is left out.
pub(super) fn pack(name: &PackageName, listed: &[Listed<'_>]) -> Vec<u8> {
    let mut versions: BTreeMap<Version, Vec<&Listed<'_>>> = BTreeMap::new();
    let mut names = Names { name, last: None };
    let mut seen = HashSet::with_capacity(listed.len());
    for file in listed {
        if !seen.insert(file.file_name.as_ref()) {
            continue;
        }
        match names.version(&file.file_name) {
            Ok(version) => versions.entry(version).or_default().push(file),
            Err(reason) => left_out(name, &file.file_name, reason),
        }
    }

    let mut specifiers: Vec<&str> = Vec::new();
    let mut positions = HashMap::new();
    let mut blocks = Vec::with_capacity(listed.len() * 192);
    let mut rows = Vec::new();
    put_number(&mut rows, versions.len() as u64);
    for (version, files) in &versions {
        let start = blocks.len();
        for file in files {
            let requires_python =
                file.requires_python.as_deref().map(str::trim).filter(|text| !text.is_empty());
            let requires_python = requires_python.map(|text| {
                *positions.entry(text).or_insert_with(|| {
                    specifiers.push(text);
                    specifiers.len() as u64 - 1
                })
            });
            put_file(&mut blocks, file, requires_python);
        }
        put_version(&mut rows, version);
        put_number(&mut rows, (blocks.len() - start) as u64);
    }
    let mut table = Vec::with_capacity(rows.len() + 256);
    put_number(&mut table, specifiers.len() as u64);
    for text in specifiers {
        match lenient::specifiers(text) {
            Some(read) => {
                table.push(1);
                put_specifiers(&mut table, &read);
            }
            None => table.push(0),
        }
    }
    table.append(&mut rows);
    let mut packed = Vec::with_capacity(table.len() + blocks.len() + 8);
    put_number(&mut packed, table.len() as u64);
    packed.append(&mut table);
    packed.append(&mut blocks);
    packed
}

fn put_file(out: &mut Vec<u8>, file: &Listed<'_>, requires_python: Option<u64>) {
    let folder = file.url.strip_suffix(file.file_name.as_ref());
    let flag = |condition: bool, flag: u8| if condition { flag } else { 0 };
    out.push(
        flag(file.sha256.is_some(), SHA256)
            | flag(file.size.is_some(), SIZE)
            | flag(requires_python.is_some(), REQUIRES_PYTHON)
            | flag(file.yanked.is_some(), YANKED)
            | flag(file.upload_time.is_some(), UPLOAD_TIME)
            | flag(file.core_metadata != CoreMetadata::Absent, CORE_METADATA)
            | flag(matches!(file.core_metadata, CoreMetadata::Hashed(_)), CORE_METADATA_HASH)
            | flag(folder.is_some(), NAMED_BY_URL),
    );
    put_text(out, &file.file_name);
    put_text(out, folder.unwrap_or(&file.url));
    if let Some(sha256) = &file.sha256 {
        out.extend_from_slice(sha256.as_bytes());
    }
    for number in [file.size, requires_python].into_iter().flatten() {
        put_number(out, number);
    }
    for text in [&file.yanked, &file.upload_time].into_iter().flatten() {
        put_text(out, text);
    }
    if let CoreMetadata::Hashed(sha256) = &file.core_metadata {
        out.extend_from_slice(sha256.as_bytes());
    }
}

/// The schemes that the URLs of an index may have.
pub(super) const WEB: &[&str] = &["https", "http"];

/// The most pages that are kept open on disk at once: there may be a limit to open files.
const MOST_OPEN: usize = 256;
/// As much of a file is read at once: smaller pages whole, of the others the table nearly always.
const FIRST_READ: usize = 32 << 10;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Packed bytes, in memory or on disk.
#[derive(Clone)]
pub(super) enum Bytes {
    Memory(Arc<Vec<u8>>),
    Disk(Arc<OpenFile>),
}

/// A file that stays open, and so the same, whatever takes its place.
pub(super) struct OpenFile {
    file: File,
    len: u64,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Bytes {
    /// The bytes of a file: left on disk if they are many.
    pub(super) fn of(file: File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        let is_large = len > FIRST_READ as u64;
        if is_large && OPEN.fetch_add(1, Ordering::Relaxed) < MOST_OPEN {
            return Ok(Self::Disk(Arc::new(OpenFile { file, len })));
        }
        if is_large {
            OPEN.fetch_sub(1, Ordering::Relaxed);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(Self::Memory(Arc::new(bytes)))
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::Disk(open) => usize::try_from(open.len).unwrap_or(usize::MAX),
        }
    }

    /// The bytes of a range, which must be there; nothing if they are not.
    pub(super) fn get(&self, range: Range<usize>) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Memory(bytes) => bytes.get(range).map(Cow::Borrowed),
            Self::Disk(open) => {
                if range.end > self.len() {
                    return None;
                }
                let mut bytes = vec![0; range.end.checked_sub(range.start)?];
                let read = open.file.read_exact_at(&mut bytes, range.start as u64);
                if let Err(error) = &read {
                    tracing::warn!(%error, "cannot read a page in the store");
                }
                read.ok().map(|()| Cow::Owned(bytes))
            }
        }
    }

    /// The first bytes.
    pub(super) fn head(&self) -> Option<Cow<'_, [u8]>> {
        self.get(0..self.len().min(FIRST_READ))
    }
}

/// Reads what [`pack`] made, which stands in `bytes` from `at` on. A file whose URL has another scheme than `schemes` is
/// left out. `head` is the beginning of `bytes`.
pub(super) fn unpack(
    name: &PackageName,
    index: &Url,
    (bytes, at): (Bytes, usize),
    head: &[u8],
    schemes: &'static [&'static str],
) -> Option<Releases> {
    let mut reader = Reader { bytes: head.get(at..)? };
    let table_len = usize::try_from(reader.number()?).ok()?;
    let table_at = head.len() - reader.bytes.len();
    let mut start = table_at.checked_add(table_len)?;
    let table = match head.get(table_at..start) {
        Some(table) => Cow::Borrowed(table),
        None => bytes.get(table_at..start)?,
    };
    let mut reader = Reader { bytes: &table };
    let mut specifiers = Vec::new();
    for _ in 0..reader.len()? {
        specifiers.push(if reader.byte()? == 0 { None } else { Some(reader.specifiers()?) });
    }
    let mut rows = Vec::with_capacity(reader.len()?);
    for _ in 0..rows.capacity() {
        let version = reader.version()?;
        let end = start.checked_add(usize::try_from(reader.number()?).ok()?)?;
        rows.push((version, start..end));
        start = end;
    }
    if start > bytes.len() {
        return None;
    }
    let page = Arc::new(Page { name: name.clone(), bytes, specifiers, schemes });
    let files = |(version, block): (Version, Range<usize>)| {
        let packed = Packed { page: Arc::clone(&page), version: version.clone(), block };
        (version, Files::packed(packed))
    };
    let versions = rows.into_iter().map(files).collect();
    let (elsewhere, earlier_index_first) = (BTreeMap::new(), false);
    Some(Releases { name: name.clone(), index: index.clone(), versions, elsewhere, earlier_index_first })
}

/// The bytes of a page, and what they have in common.
struct Page {
    name: PackageName,
    bytes: Bytes,
    /// The values of `Requires-Python`; none where one is not readable.
    specifiers: Vec<Option<VersionSpecifiers>>,
    schemes: &'static [&'static str],
}

/// The files of one version in a page.
#[derive(Clone)]
pub(super) struct Packed {
    page: Arc<Page>,
    version: Version,
    block: Range<usize>,
}

impl Packed {
    /// Takes the files apart. One that says things that cannot be understood is left out.
    pub(super) fn files(&self) -> Vec<ReleaseFile> {
        let block = self.page.bytes.get(self.block.clone()).unwrap_or_default();
        let mut reader = Reader { bytes: &block };
        let mut files = Vec::new();
        while !reader.bytes.is_empty() {
            let Some((file_name, file)) = self.file(&mut reader) else { break };
            match file {
                Ok(file) => files.push(file),
                Err(reason) => left_out(&self.page.name, file_name, reason),
            }
        }
        files
    }

    /// The next file with its name, and why it is no use where that is so.
    fn file<'b>(&self, reader: &mut Reader<'b>) -> Option<(&'b str, Result<ReleaseFile, &'static str>)> {
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let file_name = reader.text()?;
        let place = reader.text()?;
        let sha256 = if has(SHA256) { Some(reader.digest()?) } else { None };
        let size = if has(SIZE) { Some(reader.number()?) } else { None };
        let requires_python = if has(REQUIRES_PYTHON) {
            Some(self.page.specifiers.get(usize::try_from(reader.number()?).ok()?)?)
        } else {
            None
        };
        let yanked = if has(YANKED) { Some(reader.text()?.to_owned()) } else { None };
        let upload_time = if has(UPLOAD_TIME) { Timestamp::from_rfc3339(reader.text()?) } else { None };
        let core_metadata = match (has(CORE_METADATA), has(CORE_METADATA_HASH)) {
            (true, true) => CoreMetadata::Hashed(reader.digest()?),
            (true, false) => CoreMetadata::Offered,
            (false, _) => CoreMetadata::Absent,
        };
        let url =
            if has(NAMED_BY_URL) { Url::parse(&format!("{place}{file_name}")) } else { Url::parse(place) };
        let file = || {
            let kind = kind(&self.page.name, file_name)?;
            let version = match &kind {
                ArchiveKind::Wheel(wheel) => wheel.version.clone(),
                // As it is written in this name: equal versions may be written differently.
                ArchiveKind::Sdist | ArchiveKind::Sources => {
                    sdist_version(&self.page.name, file_name).unwrap_or_else(|| self.version.clone())
                }
            };
            let url = url.map_err(|_| "its URL is not readable")?;
            if !self.page.schemes.contains(&url.scheme()) {
                return Err("its URL is of a kind that an index must not have");
            }
            let requires_python = match requires_python {
                None => None,
                Some(read) => Some(read.clone().ok_or("its Requires-Python is not readable")?),
            };
            Ok(ReleaseFile {
                name: self.page.name.clone(),
                version,
                archive: Archive { kind, file_name: file_name.to_owned(), url, size, sha256 },
                requires_python,
                yanked,
                upload_time,
                core_metadata,
            })
        };
        Some((file_name, file()))
    }
}

fn left_out(name: &PackageName, file: &str, reason: &str) {
    tracing::debug!(%name, file, reason, "a file of the index is left out");
}

/// What a file is by its name.
fn kind(name: &PackageName, file_name: &str) -> Result<ArchiveKind, &'static str> {
    if !file_name.ends_with(".whl") {
        return Ok(ArchiveKind::Sdist);
    }
    let wheel: WheelName = file_name.parse().map_err(|_| "it has no wheel's name")?;
    if wheel.name == *name { Ok(ArchiveKind::Wheel(wheel)) } else { Err("it is of another project") }
}

/// Reads versions from file names. Neighbours mostly spell name and version alike.
struct Names<'n, 'f> {
    name: &'n PackageName,
    last: Option<(&'f str, Version)>,
}

impl<'f> Names<'_, 'f> {
    fn version(&mut self, file_name: &'f str) -> Result<Version, &'static str> {
        if !file_name.ends_with(".whl") {
            return sdist_version(self.name, file_name).ok_or("it is neither a wheel nor an sdist");
        }
        let (name, rest) = file_name.split_once('-').ok_or("it has no wheel's name")?;
        let (version, rest) = rest.split_once('-').ok_or("it has no wheel's name")?;
        if !(2..=3).contains(&rest.matches('-').count()) {
            return Err("it has no wheel's name");
        }
        let stem = &file_name[..name.len() + 1 + version.len()];
        if let Some((_, known)) = self.last.as_ref().filter(|(last, _)| *last == stem) {
            return Ok(known.clone());
        }
        if !name.parse().is_ok_and(|name: PackageName| name == *self.name) {
            return Err("it is of another project");
        }
        let version: Version = version.replace('_', "-").parse().map_err(|_| "it has no wheel's name")?;
        self.last = Some((stem, version.clone()));
        Ok(version)
    }
}

/// The version of a source distribution from its file name, `NAME-VERSION.EXTENSION`. Old names contain hyphens, so the
/// split is where the part before it is the project's name.
fn sdist_version(name: &PackageName, file_name: &str) -> Option<Version> {
    const EXTENSIONS: [&str; 6] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz", ".tar.Z"];
    if file_name.len() > 255 || file_name.contains(['/', '\\', '\0']) {
        return None;
    }
    let stem = EXTENSIONS.iter().find_map(|extension| file_name.strip_suffix(extension))?;
    stem.match_indices('-').find_map(|(at, _)| {
        let own = stem[..at].parse().is_ok_and(|prefix: PackageName| prefix == *name);
        own.then(|| stem[at + 1..].parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(file_name: &str) -> Listed<'_> {
        Listed {
            file_name: file_name.into(),
            url: format!("https://files.example/{file_name}").into(),
            ..Listed::default()
        }
    }

    fn name() -> PackageName {
        "foo-bar".parse().unwrap()
    }

    fn read(bytes: Vec<u8>) -> Option<Releases> {
        let url = Url::parse("https://index.example/simple/").unwrap();
        let head = &bytes[..bytes.len().min(40)];
        unpack(&name(), &url, (Bytes::Memory(Arc::new(bytes.clone())), 0), head, WEB)
    }

    #[test]
    fn only_files_of_the_project_are_kept() {
        let mut files: Vec<Listed<'_>> = [
            "foo_bar-1.0-py3-none-any.whl",
            "foo_bar-1.0-py3-none-any.whl",
            "foo-bar-1.0.tar.gz",
            "Foo.Bar-2.0.zip",
            "foo-bar-baz-1.0.tar.gz",
            "foo-bar-notaversion.tar.gz",
            "other-1.0-py3-none-any.whl",
            "foo_bar-1.0-py3.whl",
            "foo_bar-1.0-b-py3-none-any.whl",
            "foo_bar-1.0.win32.exe",
            "foo_bar-1.0-py2.7.egg",
        ]
        .map(listed)
        .into();
        files.push(Listed { url: "file:///etc/passwd".into(), ..listed("foo_bar-3-py3-none-any.whl") });
        files.push(Listed { requires_python: Some("three".into()), ..listed("foo_bar-4-py3-none-any.whl") });
        files
            .push(Listed { requires_python: Some(">=3.6.*".into()), ..listed("foo_bar-5-py3-none-any.whl") });
        let releases = read(pack(&name(), &files)).unwrap();
        let kept: Vec<_> =
            releases.versions.values().flatten().map(|file| file.archive.file_name.as_str()).collect();
        assert_eq!(
            kept,
            [
                "foo_bar-1.0-py3-none-any.whl",
                "foo-bar-1.0.tar.gz",
                "Foo.Bar-2.0.zip",
                "foo_bar-5-py3-none-any.whl"
            ]
        );
    }

    #[test]
    fn a_page_reads_as_it_was_packed() {
        let file = Listed {
            sha256: Some(Digest::of(b"x")),
            size: Some(123_456_789),
            requires_python: Some(" >=3.8 ".into()),
            yanked: Some("broken".into()),
            upload_time: Some("2024-01-02T03:04:05Z".into()),
            core_metadata: CoreMetadata::Hashed(Digest::of(b"y")),
            url: "https://files.example/somewhere?else".into(),
            ..listed("foo_bar-1.0.0-2b-cp311-abi3-manylinux_2_17_x86_64.whl")
        };
        let offered =
            Listed { core_metadata: CoreMetadata::Offered, ..listed("foo_bar-1.0-py3-none-any.whl") };
        let packed = pack(&name(), &[file.clone(), offered]);
        let releases = read(packed.clone()).unwrap();
        assert_eq!(releases.versions.len(), 1, "1.0 is 1.0.0");
        let [first, second] = releases.versions[&"1.0".parse().unwrap()].as_slice() else {
            panic!("two files")
        };
        assert_eq!(first.archive.sha256, file.sha256);
        assert_eq!(first.archive.size, file.size);
        assert_eq!(first.archive.url.as_str(), file.url);
        assert_eq!(first.requires_python, ">=3.8".parse().ok());
        assert_eq!(first.yanked.as_deref(), file.yanked.as_deref());
        assert_eq!(first.upload_time, file.upload_time.as_deref().and_then(Timestamp::from_rfc3339));
        assert_eq!(first.core_metadata, file.core_metadata);
        assert_eq!(first.version.to_string(), "1.0.0");
        assert_eq!(second.version.to_string(), "1.0");
        assert_eq!(second.archive.url.as_str(), "https://files.example/foo_bar-1.0-py3-none-any.whl");
        assert_eq!(second.core_metadata, CoreMetadata::Offered);

        // Whatever a disk makes of it, nothing breaks.
        for end in 0..packed.len() {
            if let Some(releases) = read(packed[..end].to_vec()) {
                releases.versions.values().flatten().for_each(drop);
            }
        }
        for at in 0..packed.len() {
            let mut broken = packed.clone();
            broken[at] ^= 0xff;
            if let Some(releases) = read(broken) {
                releases.versions.values().flatten().for_each(drop);
            }
        }
    }
}
