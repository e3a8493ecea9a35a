//! The metadata of one wheel, by the least that has to be transferred.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use pep508_rs::PackageName;
use percent_encoding::percent_decode_str;
use reqwest::StatusCode;
use reqwest::header::{ACCEPT_ENCODING, RANGE};
use url::Url;

use super::cache::StoredUrl;
use super::client::blocking;
use super::download::Downloaded;
use super::metadata::{Memo, Metadata};
use super::page::{sha256_of_fragment, strip_credentials};
use super::releases::{CoreMetadata, ReleaseFile};
use super::sources::is_sdist;
use super::tail::{self, Reach, Step, Window};
use super::web::{self, ranged};
use super::{Error, Index};
use crate::model::{Archive, ArchiveKind, Digest, Key, KeyHasher, WheelName};
use crate::net;
use crate::store::{self, Blob};

/// The store's kind of records for metadata.
const METADATA: &str = "metadata";
/// The store's kind of records for direct URLs.
const URLS: &str = "urls";
/// The most ranges that are read of one archive: the end, the zip64 record, the directory, the header, the data.
const MOST_RANGES: usize = 6;
/// The end of an archive of unknown size that is read first.
const BLIND_TAIL: u64 = 64 << 10;

/// What this run has learned about reading the ends of archives.
#[derive(Debug, Default)]
pub(super) struct Ranges {
    /// Servers that do not answer range requests.
    refused: Mutex<HashSet<url::Origin>>,
    /// How far before the end of a project's archive its metadata began. Its other versions look alike.
    reaches: Mutex<HashMap<PackageName, Reach>>,
}

impl Ranges {
    fn are_refused_by(&self, url: &Url) -> bool {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(&url.origin())
    }

    fn refuse(&self, url: &Url) {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(url.origin());
    }

    /// What to read first of an archive of a project.
    fn first(&self, name: &PackageName, total: u64) -> Range<u64> {
        let reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        tail::first_range(total, reaches.get(name).copied())
    }

    fn learn(&self, name: &PackageName, reach: Reach) {
        self.reaches.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), reach);
    }
}

/// Names the metadata of an archive. The hash alone is not enough: metadata that was read without the archive is only as
/// true as its source, so another source must not answer for this one.
pub(super) fn metadata_key(archive: &Archive) -> Key {
    let mut url = archive.url.clone();
    url.set_query(None);
    let mut key = KeyHasher::new("metadata/2");
    key.text(url.as_str());
    if let Some(sha256) = &archive.sha256 {
        key.add(sha256.as_bytes());
    }
    key.finish()
}

/// The metadata of a file on an index.
pub(super) async fn metadata(index: &Index, file: &ReleaseFile, key: &Key) -> Result<Arc<Metadata>, Error> {
    let ArchiveKind::Wheel(wheel) = &file.archive.kind else {
        return Err(Error::SourceDistribution { file: file.archive.file_name.clone() });
    };
    // An archive without a hash may change, so what is known of it is not kept.
    let lasting = file.archive.sha256.is_some();
    if lasting {
        // Less work than handing it to another thread.
        let record = index.store().read(METADATA, key)?;
        let stored = record.and_then(|bytes| Metadata::from_record(&bytes, index.memo()));
        if let Some(metadata) = stored.filter(|metadata| agrees(metadata, wheel)) {
            return Ok(Arc::new(metadata));
        }
    }
    let bytes = content(index, file, wheel).await?;
    let metadata = Arc::new(understood(&bytes, wheel, index.memo())?);
    if lasting {
        index.store().write(METADATA, key, &metadata.to_record())?;
    }
    Ok(metadata)
}

/// Reads `METADATA` and checks that it is about this wheel.
fn understood(bytes: &[u8], wheel: &WheelName, memo: &Memo) -> Result<Metadata, Error> {
    let file = wheel.file_name();
    let metadata =
        Metadata::parse(bytes, memo).map_err(|reason| Error::Metadata { file: file.to_owned(), reason })?;
    if !agrees(&metadata, wheel) {
        return Err(Error::disagrees(file, &wheel.name, &wheel.version, (&metadata.name, &metadata.version)));
    }
    Ok(metadata)
}

fn agrees(metadata: &Metadata, wheel: &WheelName) -> bool {
    metadata.name == wheel.name && metadata.version == wheel.version
}

/// The bytes of a wheel's `METADATA`.
async fn content(index: &Index, file: &ReleaseFile, wheel: &WheelName) -> Result<Vec<u8>, Error> {
    let archive = &file.archive;
    let stored = archive.sha256.and_then(|sha256| index.store().blob(&sha256, archive.size));
    if let Some(blob) = stored {
        return from_blob(blob, wheel.clone()).await;
    }
    if archive.url.scheme() == "file" {
        return from_blob(index.fetch_for_metadata(archive).await?, wheel.clone()).await;
    }
    if file.core_metadata != CoreMetadata::Absent
        && let Some(bytes) = offered(index, archive, file.core_metadata).await?
    {
        return Ok(bytes);
    }
    if let Some(bytes) = from_ranges(index, archive, wheel).await? {
        return Ok(bytes);
    }
    from_blob(index.fetch_for_metadata(archive).await?, wheel.clone()).await
}

/// The metadata that the index offers beside the wheel; `None` if it is not there after all.
async fn offered(index: &Index, archive: &Archive, promised: CoreMetadata) -> Result<Option<Vec<u8>>, Error> {
    let mut url = archive.url.clone();
    url.set_path(&format!("{}.metadata", url.path()));
    let web = index.web();
    let request = || web.get(&web.index, &url);
    let answer = web.answer(&web.index, request, StatusCode::OK, tail::LARGEST_METADATA).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            tracing::debug!(url = %net::redacted(&url), "the metadata that the index offers is not there");
            return Ok(None);
        }
        status => return Err(web::unexpected(&answer.url, status)),
    }
    if let CoreMetadata::Hashed(expected) = promised {
        let actual = Digest::of(&answer.body);
        if actual != expected {
            return Err(Error::HashMismatch { url: net::redacted(&url), expected, actual });
        }
    }
    Ok(Some(answer.body))
}

/// The metadata from ranges of the wheel; `None` if the server does not give ranges.
async fn from_ranges(index: &Index, archive: &Archive, wheel: &WheelName) -> Result<Option<Vec<u8>>, Error> {
    let (web, url) = (index.web(), &archive.url);
    if index.ranges().are_refused_by(url) {
        return Ok(None);
    }
    let mut windows: Vec<Window> = Vec::new();
    let mut total = archive.size;
    let mut wanted = total.map(|total| index.ranges().first(&wheel.name, total));
    for _ in 0..MOST_RANGES {
        let request = || {
            let request = web.get(&web.index, url).header(ACCEPT_ENCODING, "identity");
            match &wanted {
                Some(range) => ranged(request, range),
                None => request.header(RANGE, format!("bytes=-{BLIND_TAIL}")),
            }
        };
        let limit = wanted.as_ref().map_or(BLIND_TAIL, |range| range.end - range.start);
        let answer = web.answer(&web.index, request, StatusCode::PARTIAL_CONTENT, limit).await?;
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {}
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::NOT_IMPLEMENTED => {
                tracing::debug!(url = %net::redacted(url), status = %answer.status, "the server gives no ranges");
                index.ranges().refuse(url);
                return Ok(None);
            }
            status => return Err(web::unexpected(&answer.url, status)),
        }
        // The answer must be the range that was asked for, of a file of the size that was promised.
        let Some((range, found_total)) = web::content_range(&answer.headers) else { return Ok(None) };
        if let Some(expected) = total.filter(|total| *total != found_total) {
            return Err(Error::SizeMismatch { url: net::redacted(url), expected, actual: found_total });
        }
        let expected = wanted.take().unwrap_or(found_total.saturating_sub(BLIND_TAIL)..found_total);
        if range != expected || answer.body.len() as u64 != range.end - range.start {
            tracing::debug!(url = %net::redacted(url), "the server gives other ranges than asked for");
            index.ranges().refuse(url);
            return Ok(None);
        }
        total = Some(found_total);
        tail::add(&mut windows, Window { start: range.start, bytes: answer.body });
        match tail::metadata(found_total, &windows, wheel) {
            Ok(Step::Found { bytes, offset }) => {
                index.ranges().learn(&wheel.name, Reach { total: found_total, len: found_total - offset });
                return Ok(Some(bytes));
            }
            Ok(Step::Need(range)) => wanted = Some(range),
            Err(reason) => return Err(unsound(wheel, reason)),
        }
    }
    Err(unsound(wheel, "its METADATA cannot be found".to_owned()))
}

/// The metadata from a whole wheel.
async fn from_blob(blob: Blob, wheel: WheelName) -> Result<Vec<u8>, Error> {
    blocking(move || {
        let mut file = blob.open()?;
        let mut windows = Vec::new();
        for _ in 0..=MOST_RANGES {
            match tail::metadata(blob.size(), &windows, &wheel).map_err(|reason| unsound(&wheel, reason))? {
                Step::Found { bytes, .. } => return Ok(bytes),
                Step::Need(range) => {
                    let window = read_range(&mut file, range);
                    tail::add(&mut windows, window.map_err(store::Error::io("read", blob.path()))?);
                }
            }
        }
        Err(unsound(&wheel, "its METADATA cannot be found".to_owned()))
    })
    .await
}

fn read_range(file: &mut std::fs::File, range: Range<u64>) -> std::io::Result<Window> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    Ok(Window { start: range.start, bytes })
}

fn unsound(wheel: &WheelName, reason: String) -> Error {
    Error::Archive { file: wheel.file_name().to_owned(), reason }
}

/// Checks that a wheel says of itself what the metadata said that this store has of it: that may have been read without the
/// wheel, and a resolution relied on it.
pub(super) async fn confirm(index: &Index, archive: &Archive, blob: &Blob) -> Result<(), Error> {
    let ArchiveKind::Wheel(wheel) = &archive.kind else { return Ok(()) };
    let record = index.store().read(METADATA, &metadata_key(archive))?;
    let Some(known) = record.and_then(|bytes| Metadata::from_record(&bytes, index.memo())) else {
        return Ok(());
    };
    let bytes = from_blob(blob.clone(), wheel.clone()).await?;
    let own = understood(&bytes, wheel, index.memo())?;
    match known.difference(&own) {
        None => Ok(()),
        Some((field, expected, found)) => {
            let file = wheel.file_name().to_owned();
            Err(Error::MetadataDiffers { file, field, expected, found })
        }
    }
}

/// The wheel behind a direct URL, in the store, and its metadata.
pub(super) async fn url_archive(
    index: &Index,
    name: &PackageName,
    url: &Url,
) -> Result<(Archive, Arc<Metadata>), Error> {
    let refused = |reason: &str| Error::DirectUrl { url: net::redacted(url), reason: reason.to_owned() };
    if url.scheme().starts_with("git+") {
        return Err(Error::SourceDistribution { file: net::redacted(url) });
    }
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let file_name = percent_decode_str(last).decode_utf8().map_err(|_| refused("its path is not UTF-8"))?;
    if is_sdist(&file_name) {
        return Err(Error::SourceDistribution { file: file_name.into_owned() });
    }
    let wheel: WheelName = file_name.parse().map_err(|_| refused("it does not name a wheel"))?;
    if wheel.name != *name {
        return Err(Error::Disagrees {
            file: net::redacted(url),
            expected: name.to_string(),
            found: wheel.name.to_string(),
        });
    }
    let sha256 =
        fragment_hash(url).ok_or_else(|| refused("its fragment has a hash that is not a SHA-256"))?;
    let blob = url_blob(index, url, sha256).await?;
    let mut bare = url.clone();
    strip_credentials(&mut bare);
    bare.set_fragment(None);
    let archive = Archive {
        kind: ArchiveKind::Wheel(wheel.clone()),
        file_name: wheel.file_name().to_owned(),
        url: bare,
        size: Some(blob.size()),
        sha256: Some(*blob.digest()),
    };
    let bytes = from_blob(blob, wheel.clone()).await?;
    let metadata = understood(&bytes, &wheel, index.memo())?;
    Ok((archive, Arc::new(metadata)))
}

/// The hash that a URL's fragment gives; nothing at all if it is one that is of no use.
pub fn fragment_hash(url: &Url) -> Option<Option<Digest>> {
    let fragment = url.fragment().unwrap_or_default();
    let sha256 = sha256_of_fragment(fragment);
    (sha256.is_some() || !fragment.split('&').any(names_hash)).then_some(sha256)
}

/// Whether a part of a fragment, such as `md5=HEX`, is a hash.
fn names_hash(part: &str) -> bool {
    ["md5=", "sha1=", "sha224=", "sha256=", "sha384=", "sha512="].iter().any(|kind| part.starts_with(kind))
}

/// The bytes behind a direct URL. Without a hash to go by, the server is asked whether they have changed.
pub(super) async fn url_blob(index: &Index, url: &Url, sha256: Option<Digest>) -> Result<Blob, Error> {
    let store = index.store();
    if let Some(blob) = sha256.and_then(|sha256| store.blob(&sha256, None)) {
        return Ok(blob);
    }
    let mut bare = url.clone();
    strip_credentials(&mut bare);
    bare.set_fragment(None);
    let key = KeyHasher::new("url/1").text(bare.as_str()).text(url.username()).finish();
    let known: Option<StoredUrl> = match url.scheme() {
        "file" => None,
        _ => store.record(URLS, &key)?,
    };
    // Of use only if the bytes are still there, and are those that are wanted.
    let known = known.and_then(|known| {
        let blob = store.blob(&known.sha256, Some(known.size))?;
        sha256.is_none_or(|sha256| sha256 == known.sha256).then_some((known.freshness, blob))
    });
    if let Some((freshness, blob)) = &known
        && (index.web().is_offline() || freshness.is_fresh())
    {
        return Ok(blob.clone());
    }
    let condition = known.as_ref().map(|(freshness, _)| freshness).filter(|known| known.has_validator());
    let (freshness, blob) = match (index.download(url, sha256, None, condition).await?, &known) {
        (Downloaded::File(blob, freshness), _) => (freshness, blob),
        (Downloaded::Unchanged(freshness), Some((_, blob))) => (freshness, blob.clone()),
        (Downloaded::Unchanged(_), None) => unreachable!("the request had no condition"),
    };
    if url.scheme() != "file" {
        store.put_record(URLS, &key, &StoredUrl { freshness, sha256: *blob.digest(), size: blob.size() })?;
    }
    Ok(blob)
}
