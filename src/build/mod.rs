//! Sources into wheels (PEP 517): what `index/` and `resolve/` ask for through [`index::Builder`], handed in by `bake/`.
//!
//! Sources are an archive, a commit of a repository or a directory ([`BuiltFrom`]). They are unpacked with distrust
//! (`unpack`, `git`, `directory`); what they say of themselves is taken where it is final (`metadata`); otherwise a Python of
//! this machine (`python`) calls their backend (`backend`) in a virtual environment of its own (`environment`), which holds
//! what the build requires, resolved and unpacked by this program. The wheel is written anew (`repack`), so that equal files
//! are equal bytes, and kept by what it was built from. `docs/building.md` has the rules.

mod backend;
mod directory;
mod environment;
mod error;
mod git;
mod metadata;
mod process;
mod python;
mod repack;
mod tree;
mod unpack;

pub use directory::content;
pub use error::Error;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pep508_rs::PackageName;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::sync::{OnceCell, Semaphore};
use url::Url;

use crate::index::{self, Index, Metadata, ReleaseFile};
use crate::model::{
    Archive, ArchiveKind, Building, Built, BuiltFrom, Credentials, Digest, Key, KeyHasher, Pin, Requirement,
    Target, Version, VersionOrUrl, WheelName,
};
use crate::net::{redacted, without_credentials};
use crate::resolve;
use crate::store::Blob;
use tree::Tree;

/// The store's kind of records for the metadata of sources.
const METADATA: &str = "source-metadata";
/// The store's kind of records for wheels that were built.
const BUILT: &str = "built";
/// What decides a wheel besides its sources: how it is built and written.
const FORMAT: &str = "built/1";

/// How sources are built.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Which packages may be built.
    pub building: Building,
    /// The Python that builds, if the user names one.
    pub python: Option<PathBuf>,
    /// How long one call of a backend may take.
    pub timeout: Duration,
    /// How the requirements of builds are resolved.
    pub options: resolve::Options,
    /// How many builds run at once.
    pub jobs: usize,
}

/// Builds for all targets of a run; what is known is shared. Clones share everything.
#[derive(Clone)]
pub struct Builders(Arc<Shared>);

/// Something that is made once in a run.
type Once<T> = Mutex<HashMap<String, Arc<OnceCell<T>>>>;

struct Shared {
    settings: Settings,
    index: Index,
    trees: Once<Arc<Tree>>,
    wheels: Once<Wheel>,
    pythons: Once<Arc<(Vec<python::Python>, Vec<String>)>>,
    /// The commits that branches and tags of repositories stand for, by repository and revision.
    commits: Once<String>,
    /// What variables say of repositories, by their URL.
    credentials: Mutex<HashMap<String, Credentials>>,
    processes: Semaphore,
}

/// A wheel that was built.
#[derive(Debug, Clone)]
struct Wheel {
    name: WheelName,
    blob: Blob,
    requires: Vec<String>,
    metadata: Vec<u8>,
}

/// The same as the store keeps it.
#[derive(Serialize, Deserialize)]
struct WheelRecord {
    file_name: String,
    sha256: Digest,
    size: u64,
    requires: Vec<String>,
    metadata: String,
}

/// Who a distribution has to be.
#[derive(Debug, Clone, Copy)]
struct Expected<'e> {
    name: &'e PackageName,
    version: Option<&'e Version>,
}

impl fmt::Debug for Builders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Builders").field(&self.0.settings).finish()
    }
}

impl Builders {
    /// Builders that fetch through `index`.
    pub fn new(settings: Settings, index: Index) -> Self {
        let processes = Semaphore::new(settings.jobs.max(1));
        Self(Arc::new(Shared {
            settings,
            index,
            trees: Once::default(),
            wheels: Once::default(),
            pythons: Once::default(),
            commits: Once::default(),
            credentials: Mutex::default(),
            processes,
        }))
    }

    /// Keeps to the commit of an old lock where the same revision is asked for again.
    pub fn remember(&self, pin: &Pin) {
        if let Some(Built { from: BuiltFrom::Git { repository, requested, commit, .. }, .. }) = &pin.built {
            let known = once(&self.0.commits, &git::revision_key(repository, requested.as_deref()));
            let _ = known.set(commit.clone());
        }
    }

    /// Lets git use what a variable put into the URL of a requirement's repository.
    pub fn authorize(&self, requirement: &Requirement) {
        if let (Some(credentials), Some(VersionOrUrl::Url(url))) =
            (&requirement.credentials, &requirement.pep508.version_or_url)
            && let Ok((repository, _)) = git::parse(url)
        {
            lock(&self.0.credentials).insert(repository.to_string(), credentials.clone());
        }
    }

    /// The one for a target.
    pub fn for_target(&self, target: Target) -> Builder {
        Builder { shared: Arc::clone(&self.0), target, direct: Arc::default() }
    }
}

/// Builds for one target.
#[derive(Clone)]
pub struct Builder {
    shared: Arc<Shared>,
    target: Target,
    /// What stands behind direct URLs, by the name of the distribution.
    direct: Arc<Mutex<HashMap<PackageName, BuiltFrom>>>,
}

fn once<T>(all: &Once<T>, key: &str) -> Arc<OnceCell<T>> {
    Arc::clone(lock(all).entry(key.to_owned()).or_default())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Builder {
    /// The wheel for a distribution that was resolved to its sources: what is to be locked.
    pub async fn wheel(&self, pin: &Pin) -> Result<(Archive, Built), index::Error> {
        let from = match &pin.archive.kind {
            ArchiveKind::Sdist => BuiltFrom::Sdist(self.shared.index.hashed(&pin.archive).await?),
            _ => {
                let known = lock(&self.direct).get(&pin.name).cloned();
                known.ok_or_else(|| Error::Unusable {
                    what: pin.name.to_string(),
                    reason: "nobody knows its sources".to_owned(),
                })?
            }
        };
        self.check_allowed(&pin.name, &from)?;
        let expected = Expected { name: &pin.name, version: Some(&pin.version) };
        let wheel = self.build(&from, expected, None).await?;
        let archive = Archive {
            file_name: wheel.name.file_name().to_owned(),
            kind: ArchiveKind::Wheel(wheel.name),
            url: url_of(&from, &pin.archive.url),
            size: Some(wheel.blob.size()),
            sha256: Some(*wheel.blob.digest()),
        };
        Ok((archive, Built { from, requires: wheel.requires }))
    }

    /// The bytes of a wheel that is locked: from the store, or built again with what it was built with.
    pub async fn locked(&self, pin: &Pin, built: &Built) -> Result<Blob, index::Error> {
        let Some(sha256) = pin.archive.sha256 else {
            return Err(index::Error::NoHash { file: pin.archive.file_name.clone() });
        };
        if let Some(blob) = self.shared.index.store().blob(&sha256, pin.archive.size) {
            return Ok(blob);
        }
        self.check_allowed(&pin.name, &built.from)?;
        let expected = Expected { name: &pin.name, version: Some(&pin.version) };
        let wheel = self.build(&built.from, expected, Some(&built.requires)).await?;
        if *wheel.blob.digest() != sha256 {
            return Err(Error::Irreproducible {
                what: what(&built.from),
                wheel: pin.archive.file_name.clone(),
                name: pin.name.clone(),
            }
            .into());
        }
        Ok(wheel.blob)
    }

    fn check_allowed(&self, name: &PackageName, from: &BuiltFrom) -> Result<(), Error> {
        let building = &self.shared.settings.building;
        let allowed = match from {
            BuiltFrom::Sdist(_) => building.allows(name),
            _ => building.allows_direct(name),
        };
        if allowed { Ok(()) } else { Err(Error::NotAllowed { name: name.clone(), what: what(from) }) }
    }

    /// The sources, unpacked. Each once in a run.
    async fn tree(&self, from: &BuiltFrom) -> Result<Arc<Tree>, Error> {
        let cell = once(&self.shared.trees, &from.identity());
        cell.get_or_try_init(|| async { Ok(Arc::new(Tree::open(&self.shared, from).await?)) }).await.cloned()
    }

    /// The metadata of sources: as they state it, or as their backend makes it.
    async fn metadata_of(&self, from: &BuiltFrom, expected: Expected<'_>) -> Result<Metadata, Error> {
        let store = self.shared.index.store();
        let mut key = KeyHasher::new("source-metadata/1");
        key.text(&from.identity());
        let stated = key.finish();
        let made = key.text(&self.target.python.to_string()).text(&self.target.platform.to_string()).finish();
        for key in [&stated, &made] {
            if let Some(bytes) = store.read(METADATA, key)? {
                return self.understood(from, &bytes, expected);
            }
        }
        let tree = self.tree(from).await?;
        self.check_claims(&tree, from, expected)?;
        if let Some(text) = &tree.claims.metadata {
            let metadata = self.understood(from, text.as_bytes(), expected)?;
            store.write(METADATA, &stated, text.as_bytes())?;
            return Ok(metadata);
        }
        self.check_allowed(expected.name, from)?;
        let bytes = match self.prepared(&tree, from).await? {
            Some(bytes) => bytes,
            None => self.build(from, expected, None).await?.metadata,
        };
        let metadata = self.understood(from, &bytes, expected)?;
        store.write(METADATA, &made, &bytes)?;
        Ok(metadata)
    }

    /// Reads core metadata, which must be that of the distribution.
    fn understood(&self, from: &BuiltFrom, bytes: &[u8], expected: Expected<'_>) -> Result<Metadata, Error> {
        let metadata = self.shared.index.read_metadata(&what(from), bytes)?;
        if metadata.name != *expected.name
            || expected.version.is_some_and(|version| metadata.version != *version)
        {
            let found = format!("its metadata says {} {}", metadata.name, metadata.version);
            return Err(disagrees(from, expected, found));
        }
        Ok(metadata)
    }

    /// What PKG-INFO says is checked before any code of the sources runs.
    fn check_claims(&self, tree: &Tree, from: &BuiltFrom, expected: Expected<'_>) -> Result<(), Error> {
        let name = tree.claims.name.as_ref().and_then(|name| name.parse::<PackageName>().ok());
        let version = tree.claims.version.as_ref().and_then(|version| version.parse::<Version>().ok());
        let other_name = name.as_ref().is_some_and(|name| name != expected.name);
        let other_version = version.as_ref().zip(expected.version).is_some_and(|(a, b)| a != b);
        if other_name || other_version {
            let said = |text: &Option<String>| text.as_deref().unwrap_or_default().escape_debug().to_string();
            let found =
                format!("its PKG-INFO says {} {}", said(&tree.claims.name), said(&tree.claims.version));
            return Err(disagrees(from, expected, found));
        }
        Ok(())
    }

    /// The wheel of sources. `pinned`: the distributions that must build it, if that is known.
    async fn build(
        &self,
        from: &BuiltFrom,
        expected: Expected<'_>,
        pinned: Option<&[String]>,
    ) -> Result<Wheel, Error> {
        let mut key = KeyHasher::new(FORMAT);
        key.text(&from.identity()).text(&self.target.python.to_string());
        key.text(&pinned.map_or_else(|| "any".to_owned(), |pinned| pinned.join("\n")));
        for name in environment::PASSED_ON {
            key.text(&std::env::var(name).unwrap_or_default());
        }
        // What is pure is the same for every platform and C library.
        let pure = key.finish();
        let own = key.text(&self.target.platform.to_string()).text(&self.target.libc.to_string()).finish();
        let cell = once(&self.shared.wheels, &own.to_string());
        let make = || async {
            for key in [&pure, &own] {
                if let Some(wheel) = self.stored(key)? {
                    return Ok(wheel);
                }
            }
            let wheel = self.make(from, expected, pinned).await?;
            self.keep(if wheel.name.platform == ["any"] { &pure } else { &own }, &wheel)?;
            Ok::<_, Error>(wheel)
        };
        cell.get_or_try_init(make).await.cloned()
    }

    fn stored(&self, key: &Key) -> Result<Option<Wheel>, Error> {
        let store = self.shared.index.store();
        let Some(record) = store.record::<WheelRecord>(BUILT, key)? else { return Ok(None) };
        let (Ok(name), Some(blob)) =
            (record.file_name.parse(), store.blob(&record.sha256, Some(record.size)))
        else {
            return Ok(None);
        };
        let (requires, metadata) = (record.requires, record.metadata.into_bytes());
        Ok(Some(Wheel { name, blob, requires, metadata }))
    }

    fn keep(&self, key: &Key, wheel: &Wheel) -> Result<(), Error> {
        let record = WheelRecord {
            file_name: wheel.name.file_name().to_owned(),
            sha256: *wheel.blob.digest(),
            size: wheel.blob.size(),
            requires: wheel.requires.clone(),
            metadata: String::from_utf8_lossy(&wheel.metadata).into_owned(),
        };
        Ok(self.shared.index.store().put_record(BUILT, key, &record)?)
    }

    /// What stands behind a direct URL.
    async fn look_behind(&self, name: &PackageName, url: &Url) -> Result<(Archive, Arc<Metadata>), Error> {
        let shown = redacted(url);
        let building = &self.shared.settings.building;
        if !building.allows_direct(name) {
            return Err(Error::NotAllowed { name: name.clone(), what: shown });
        }
        let mut bare = without_credentials(url);
        bare.set_fragment(None);
        let from = if url.scheme().starts_with("git+") {
            git::resolve(&self.shared, url).await?
        } else if url.to_file_path().is_ok_and(|path| path.is_dir()) {
            directory::of_url(url).await?
        } else {
            self.archive(url, &bare).await?
        };
        let metadata = self.metadata_of(&from, Expected { name, version: None }).await?;
        let archive = Archive {
            kind: ArchiveKind::Sources,
            file_name: what(&from),
            url: url_of(&from, &bare),
            size: None,
            sha256: match &from {
                BuiltFrom::Archive { archive, .. } => archive.sha256,
                _ => None,
            },
        };
        lock(&self.direct).insert(name.clone(), from);
        Ok((archive, Arc::new(metadata)))
    }

    /// The archive of sources that a direct URL names.
    async fn archive(&self, url: &Url, bare: &Url) -> Result<BuiltFrom, Error> {
        let refused = |reason: &str| {
            Error::Index(index::Error::DirectUrl { url: redacted(url), reason: reason.to_owned() })
        };
        let last = url.path().rsplit('/').next().unwrap_or_default();
        let file_name =
            percent_decode_str(last).decode_utf8().map_err(|_| refused("its path is not UTF-8"))?;
        if file_name.contains(['/', '\\', '\0']) {
            return Err(refused("its file name has a separator"));
        }
        let sha256 = index::fragment_hash(url)
            .ok_or_else(|| refused("its fragment has a hash that is not a SHA-256"))?;
        let blob = self.shared.index.url_blob(url, sha256).await?;
        let archive = Archive {
            kind: ArchiveKind::Sources,
            file_name: file_name.into_owned(),
            url: bare.clone(),
            size: Some(blob.size()),
            sha256: Some(*blob.digest()),
        };
        Ok(BuiltFrom::Archive { archive, subdirectory: subdirectory(url)? })
    }
}

impl index::Builder for Builder {
    fn building(&self) -> &Building {
        &self.shared.settings.building
    }

    fn metadata<'a>(&'a self, file: &'a ReleaseFile) -> BoxFuture<'a, Result<Arc<Metadata>, index::Error>> {
        async move {
            let from = BuiltFrom::Sdist(self.shared.index.hashed(&file.archive).await?);
            let expected = Expected { name: &file.name, version: Some(&file.version) };
            Ok(Arc::new(self.metadata_of(&from, expected).await?))
        }
        .boxed()
    }

    fn direct<'a>(
        &'a self,
        name: &'a PackageName,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<(Archive, Arc<Metadata>), index::Error>> {
        async move { Ok(self.look_behind(name, url).await?) }.boxed()
    }
}

/// The directory inside sources that a URL's fragment names.
fn subdirectory(url: &Url) -> Result<Option<String>, Error> {
    let mut parts = url.fragment().unwrap_or_default().split('&');
    let Some(named) = parts.find_map(|part| part.strip_prefix("subdirectory=")) else { return Ok(None) };
    let decoded = percent_decode_str(named).decode_utf8_lossy().trim_matches('/').to_owned();
    match crate::dist::unsafe_path(&decoded) {
        None => Ok(Some(decoded)),
        Some(reason) => {
            let reason = format!("its subdirectory cannot be used: {reason}");
            Err(Error::Index(index::Error::DirectUrl { url: redacted(url), reason }))
        }
    }
}

/// What messages call sources.
fn what(from: &BuiltFrom) -> String {
    match from {
        BuiltFrom::Sdist(archive) => archive.file_name.clone(),
        BuiltFrom::Archive { archive, .. } => redacted(&archive.url),
        BuiltFrom::Git { repository, commit, .. } => {
            format!("{}@{}", redacted(repository), commit.get(..12).unwrap_or(commit))
        }
        BuiltFrom::Directory { path, .. } => path.display().to_string(),
    }
}

/// Where sources are.
fn url_of(from: &BuiltFrom, otherwise: &Url) -> Url {
    match from {
        BuiltFrom::Sdist(archive) | BuiltFrom::Archive { archive, .. } => archive.url.clone(),
        BuiltFrom::Git { repository, .. } => repository.clone(),
        BuiltFrom::Directory { path, .. } => {
            Url::from_directory_path(path).unwrap_or_else(|()| otherwise.clone())
        }
    }
}

fn disagrees(from: &BuiltFrom, expected: Expected<'_>, found: String) -> Error {
    let expected = match expected.version {
        Some(version) => format!("{} {version}", expected.name),
        None => expected.name.to_string(),
    };
    Error::Disagrees { what: what(from), expected, found }
}
