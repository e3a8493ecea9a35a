//! Finding the archive that has a Python, and getting it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::StatusCode;
use url::Url;

use super::error::Error;
use super::name::ArchiveName;
use super::source::{ArchiveSource, Place};
use super::unpack;
use crate::base::debian::LockedPython;
use crate::base::download::{self, Failure};
use crate::model::{Arch, Digest, Platform, PythonMinor};
use crate::net;
use crate::store::{self, Blob, Store};

/// The file that names what is in a directory, with the hashes.
const SUMS: &str = "SHA256SUMS";
const MAX_SUMS: u64 = 16 << 20;
/// The largest archive.
const MAX_ARCHIVE: u64 = 2 << 30;

/// Which Python is wanted.
pub struct Wish<'w> {
    /// For which platform.
    pub platform: Platform,
    /// Whether a version will do.
    pub allowed: &'w (dyn Fn(PythonMinor) -> bool + Sync),
    /// What that is, for messages: `Python >=3.12`.
    pub wanted: &'w str,
}

/// Finds and gets archives.
pub struct Finder<'f> {
    /// Where to look, the first first.
    pub sources: &'f [ArchiveSource],
    /// The project's root, to which paths in its lock are relative.
    pub root: &'f Path,
    /// Asks servers.
    pub client: &'f net::Client,
    /// Keeps what was got.
    pub store: &'f Arc<Store>,
}

/// An archive that may do.
struct Candidate {
    /// Which of the sources has it.
    source: usize,
    place: Place,
    sha256: Option<Digest>,
    name: ArchiveName,
}

impl Finder<'_> {
    /// The archive with the newest Python that will do, as it is to be locked.
    pub async fn find(&self, wish: &Wish<'_>) -> Result<LockedPython, Error> {
        let mut all = Vec::new();
        for (number, source) in self.sources.iter().enumerate() {
            all.extend(self.candidates(number, source, wish.platform).await?);
        }
        let found = all.iter().map(|candidate| candidate.name.version());
        let mut found: Vec<String> = found.collect();
        let none = || {
            found.sort();
            found.dedup();
            Error::NoneFits { wanted: wish.wanted.to_owned(), found }
        };
        let fitting: Vec<Candidate> =
            all.into_iter().filter(|candidate| (wish.allowed)(candidate.name.minor)).collect();
        // The newest Python of all; of that, what the first place has.
        let minor = fitting.iter().map(|candidate| candidate.name.minor).max();
        let chosen = fitting.into_iter().filter(|candidate| Some(candidate.name.minor) == minor);
        let Some(chosen) = chosen.reduce(|best, other| {
            if other.source == best.source && other.name.rank() > best.name.rank() { other } else { best }
        }) else {
            return Err(none());
        };
        let archive = self.get(&chosen.place, chosen.sha256.as_ref()).await?;
        Ok(LockedPython {
            version: chosen.name.version(),
            platform: wish.platform,
            archive: chosen.place.recorded(self.root),
            size: archive.size(),
            sha256: *archive.digest(),
        })
    }

    /// What a source has for a platform.
    async fn candidates(
        &self,
        number: usize,
        source: &ArchiveSource,
        platform: Platform,
    ) -> Result<Vec<Candidate>, Error> {
        let named = match &source.place {
            Place::UrlDirectory(url) => self.sums(url).await?,
            Place::Directory(path) => listed(path)?,
            Place::Url(_) | Place::File(_) => {
                let (name, sha256) = match ArchiveName::parse(&source.place.file_name()) {
                    Some(name) => (name, source.sha256),
                    None => self.opened(source).await?,
                };
                let one = Candidate { source: number, place: source.place.clone(), sha256, name };
                return Ok(if one.name.platform == platform { vec![one] } else { Vec::new() });
            }
        };
        let candidates = named.into_iter().filter_map(|(file, sha256)| {
            let name = ArchiveName::parse(&file).filter(|name| name.platform == platform)?;
            Some(Candidate { source: number, place: source.place.below(&file), sha256, name })
        });
        Ok(candidates.collect())
    }

    /// An archive whose name tells nothing: it is looked into.
    async fn opened(&self, source: &ArchiveSource) -> Result<(ArchiveName, Option<Digest>), Error> {
        let shown = source.place.shown();
        let archive = self.get(&source.place, source.sha256.as_ref()).await?;
        let sha256 = Some(*archive.digest());
        let facts = match unpack::stored(self.store, archive.digest())? {
            Some((_, facts)) => facts,
            None => unpack::build(self.store, archive, shown.clone()).await?.1,
        };
        let arch = match facts.machine {
            62 => Arch::Amd64,
            183 => Arch::Arm64,
            _ => {
                return Err(Error::Archive { name: shown, problem: "it is for an unknown processor".into() });
            }
        };
        let version = facts.version("");
        let patch = version.rsplit('.').next().and_then(|patch| patch.parse().ok()).unwrap_or(0);
        let (minor, platform) = (facts.minor, Platform { arch });
        let name = ArchiveName { minor, patch, build: 0, stripped: false, gnu: true, platform };
        Ok((name, sha256))
    }

    /// The archives that a directory on a server says it has, with their hashes.
    async fn sums(&self, directory: &Url) -> Result<Vec<(String, Option<Digest>)>, Error> {
        let place = Place::UrlDirectory(directory.clone()).below(SUMS);
        let Place::Url(url) = &place else { return Ok(Vec::new()) };
        let bytes = download::bytes(self.client, url, MAX_SUMS).await?;
        sums(&String::from_utf8_lossy(&bytes), &place.shown())
    }

    /// The archive of a lock, its hash checked: from the store, from where it was, or from another place that has it.
    pub(super) async fn fetch(&self, locked: &LockedPython) -> Result<Blob, Error> {
        if let Some(blob) = self.store.blob(&locked.sha256, Some(locked.size)) {
            return Ok(blob);
        }
        let recorded = ArchiveSource::parse(&locked.archive, self.root)?.place;
        // A source may know the password of the place, which no lock has.
        let known = self.sources.iter().filter_map(|source| match &source.place {
            directory @ (Place::UrlDirectory(_) | Place::Directory(_)) => {
                Some(directory.below(&recorded.file_name()))
            }
            file if file.file_name() == recorded.file_name() => Some(file.clone()),
            _ => None,
        });
        let same = |place: &Place| place.recorded(self.root) == locked.archive;
        let mut places: Vec<Place> = known.collect();
        places.sort_by_key(|place| !same(place));
        if !places.iter().any(same) {
            places.insert(0, recorded);
        }
        let mut last = None;
        for place in places {
            match self.get(&place, Some(&locked.sha256)).await {
                Err(error) if is_absent(&error) => last = Some(error),
                other => return other,
            }
        }
        tracing::debug!("the archive is nowhere: {last:?}");
        Err(Error::Gone { version: locked.version.clone(), place: locked.shown() })
    }

    /// The bytes at a place, which must have the hash, in the store.
    async fn get(&self, place: &Place, sha256: Option<&Digest>) -> Result<Blob, Error> {
        if let Some(blob) = sha256.and_then(|sha256| self.store.blob(sha256, None)) {
            return Ok(blob);
        }
        match place {
            Place::Url(url) | Place::UrlDirectory(url) => self.download(url, sha256).await,
            Place::File(path) | Place::Directory(path) => {
                let (store, path, sha256) = (Arc::clone(self.store), path.clone(), sha256.copied());
                let copy = move || copied(&store, &path, sha256.as_ref());
                tokio::task::spawn_blocking(copy).await.map_err(Error::Worker)?
            }
        }
    }

    async fn download(&self, url: &Url, sha256: Option<&Digest>) -> Result<Blob, Error> {
        let got = download::into_store((self.client, self.store), url, sha256, MAX_ARCHIVE).await;
        got.map_err(|failure| match failure {
            Failure::Net(error) => error.into(),
            Failure::Store(error) => error.into(),
            Failure::TooLarge => net::Error::TooLarge { url: net::redacted(url), limit: MAX_ARCHIVE }.into(),
            Failure::Digest { expected, actual } => {
                Error::Digest { place: net::redacted(url), expected, actual }
            }
        })
    }
}

/// Copies a file into the store.
fn copied(store: &Store, path: &Path, sha256: Option<&Digest>) -> Result<Blob, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mut writer = store.create_blob()?;
    io::copy(&mut file, &mut writer).map_err(failed)?;
    writer.finish(sha256).map_err(|error| wrong_digest(error, path.display().to_string()))
}

fn wrong_digest(error: store::Error, place: String) -> Error {
    match error {
        store::Error::DigestMismatch { expected, actual } => Error::Digest { place, expected, actual },
        error => error.into(),
    }
}

/// Whether there is nothing at a place.
fn is_absent(error: &Error) -> bool {
    match error {
        Error::Net(error) => error.status().is_some_and(|status| {
            matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN)
        }),
        Error::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// The archives in a directory of this machine, with the hashes that its list has.
fn listed(directory: &PathBuf) -> Result<Vec<(String, Option<Digest>)>, Error> {
    let failed = |source| Error::File { path: directory.clone(), source };
    let mut known = Vec::new();
    let file = directory.join(SUMS);
    if file.is_file() {
        let text = std::fs::read_to_string(&file).map_err(failed)?;
        known = sums(&text, &file.display().to_string())?;
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        let sha256 = known.iter().find(|(known, _)| *known == name).and_then(|(_, sha256)| *sha256);
        files.push((name, sha256));
    }
    files.sort();
    Ok(files)
}

/// The lines of a list: a hash, spaces, perhaps a star, a name.
fn sums(text: &str, place: &str) -> Result<Vec<(String, Option<Digest>)>, Error> {
    let wrong = || Error::List { place: place.to_owned(), problem: "a line is not a hash and a name".into() };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| {
            let (hash, name) = line.split_once(char::is_whitespace).ok_or_else(wrong)?;
            let name = name.trim_start().trim_start_matches('*');
            let sha256 = Digest::from_hex(hash).map_err(|_| wrong())?;
            Ok((name.to_owned(), Some(sha256)))
        })
        .collect()
}
