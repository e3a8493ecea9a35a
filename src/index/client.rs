//! The face of the room.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use pep508_rs::PackageName;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use url::Url;

use super::cache::Freshness;
use super::download::{self, Download, Downloaded};
use super::flights::Flights;
use super::links::Links;
use super::lookup::Source;
use super::metadata::{Memo, Metadata};
use super::probe::Ranges;
use super::releases::{ReleaseFile, Releases};
use super::settings::{Settings, Strategy};
use super::web::Web;
use super::{Error, probe};
use crate::model::{Archive, Digest, Key};
use crate::net;
use crate::store::{Blob, Store};

/// The public Python index.
pub const DEFAULT_INDEX_URL: &str = "https://pypi.org/simple/";

/// [`DEFAULT_INDEX_URL`], parsed.
pub fn default_index_url() -> Url {
    match DEFAULT_INDEX_URL.parse() {
        Ok(url) => url,
        Err(_) => unreachable!("a constant URL"),
    }
}

/// The most speculative requests under way at once; what someone waits for is not held up by them.
const SPECULATION: usize = 40;

/// What went over the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes of pages and metadata, range requests for metadata included.
    pub index_bytes: u64,
    /// Requests for pages and metadata.
    pub index_requests: u64,
    /// Bytes of whole distributions.
    pub distribution_bytes: u64,
}

/// The indexes of a run. Clones share everything.
#[derive(Clone)]
pub struct Index(Arc<Inner>);

struct Inner {
    sources: Vec<Source>,
    pinned: BTreeMap<PackageName, Source>,
    links: Vec<Links>,
    strategy: Strategy,
    web: Web,
    store: Arc<Store>,
    memo: Memo,
    ranges: Ranges,
    releases: Flights<PackageName, Arc<Releases>>,
    metadata: Flights<Key, Arc<Metadata>>,
    urls: Flights<(PackageName, Url), (Archive, Arc<Metadata>)>,
    downloads: Flights<Digest, Blob>,
    speculation: Semaphore,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.sources.iter().map(|source| source.shown.as_str())).finish()
    }
}

impl Index {
    /// An index by its settings. Asks nothing yet.
    pub fn new(settings: Settings, client: net::Client, store: Arc<Store>) -> Result<Self, Error> {
        let pinned = settings.pinned.iter().map(|(name, url)| Ok((name.clone(), Source::new(url)?)));
        Ok(Self(Arc::new(Inner {
            sources: settings.index_urls().iter().map(Source::new).collect::<Result<_, _>>()?,
            pinned: pinned.collect::<Result<_, Error>>()?,
            links: settings.find_links.iter().map(Links::new).collect::<Result<_, _>>()?,
            strategy: settings.strategy,
            web: Web::new(&client, &settings),
            store,
            memo: Memo::default(),
            ranges: Ranges::default(),
            releases: Flights::default(),
            metadata: Flights::default(),
            urls: Flights::default(),
            downloads: Flights::default(),
            speculation: Semaphore::new(SPECULATION),
        })))
    }

    /// The releases of a project: from the index that it is pinned to, otherwise from the first index that has it (or
    /// from all, by the strategy) and the lists of links.
    pub async fn releases(&self, name: &PackageName) -> Result<Arc<Releases>, Error> {
        let work = async {
            let this = &*self.0;
            let asked = match this.pinned.get(name) {
                Some(source) => std::slice::from_ref(source),
                None => this.sources.as_slice(),
            };
            let mut links = Vec::new();
            if !this.pinned.contains_key(name) {
                for list in &this.links {
                    links.extend(list.releases(name, &this.web, &this.store).await?);
                }
            }
            let found = self.on_indexes(name, asked).await?;
            if let ([only], true) = (&found[..], links.is_empty()) {
                return Ok(Arc::clone(only));
            }
            let earlier_first = this.strategy == Strategy::UnsafeFirstMatch;
            Releases::merged(links, &found, earlier_first).map(Arc::new).ok_or_else(|| {
                Error::UnknownPackage {
                    name: name.clone(),
                    indexes: asked.iter().map(|source| source.shown.to_string()).collect(),
                }
            })
        };
        self.0.releases.get(name.clone(), work).await
    }

    /// The releases of a project, where this run knows them already.
    pub fn known_releases(&self, name: &PackageName) -> Option<Arc<Releases>> {
        self.0.releases.known(name)?.ok()
    }

    /// What the indexes have of a project, in their order; by the default strategy only what the first has that has it.
    async fn on_indexes(&self, name: &PackageName, asked: &[Source]) -> Result<Vec<Arc<Releases>>, Error> {
        let this = &*self.0;
        if this.strategy != Strategy::FirstIndex {
            let answers = futures_util::future::try_join_all(
                asked.iter().map(|source| source.releases(name, &this.web, &this.store)),
            )
            .await?;
            return Ok(answers.into_iter().flatten().collect());
        }
        for source in asked {
            if let Some(releases) = source.releases(name, &this.web, &this.store).await? {
                return Ok(vec![releases]);
            }
        }
        Ok(Vec::new())
    }

    /// An archive with its hash: where the index does not tell it, the bytes are read for it, and kept.
    pub async fn hashed(&self, archive: &Archive) -> Result<Archive, Error> {
        if archive.sha256.is_some() {
            return Ok(archive.clone());
        }
        let blob = self.unhashed(archive).await?;
        Ok(Archive { sha256: Some(*blob.digest()), size: Some(blob.size()), ..archive.clone() })
    }

    async fn unhashed(&self, archive: &Archive) -> Result<Blob, Error> {
        match self.download(&archive.url, None, archive.size, None).await? {
            Downloaded::File(blob, _) => Ok(blob),
            Downloaded::Unchanged(_) => unreachable!("the request had no condition"),
        }
    }

    /// The bytes of an archive whose metadata is wanted, whether it has a hash or not.
    pub(super) async fn fetch_for_metadata(&self, archive: &Archive) -> Result<Blob, Error> {
        match archive.sha256 {
            Some(_) => self.fetch(archive).await,
            None => self.unhashed(archive).await,
        }
    }

    /// The metadata of a wheel on an index: as the index offers it, from the end of the wheel, or from the whole wheel,
    /// whichever is the least that works.
    pub async fn metadata(&self, file: &ReleaseFile) -> Result<Arc<Metadata>, Error> {
        let key = probe::metadata_key(&file.archive);
        // What fetches is large, and seldom needed twice.
        self.0.metadata.get(key, Box::pin(probe::metadata(self, file, &key))).await
    }

    /// What is known of the metadata of a file already, in this run.
    pub fn known_metadata(&self, file: &ReleaseFile) -> Option<Result<Arc<Metadata>, Error>> {
        self.0.metadata.known(&probe::metadata_key(&file.archive))
    }

    /// The wheel behind a direct URL (`https`, `http` or `file`) that a requirement of `name` gives: downloaded, hashed
    /// (a `#sha256=` fragment must agree) and read. The archive's URL is without credentials and fragment.
    pub async fn url_archive(
        &self,
        name: &PackageName,
        url: &Url,
    ) -> Result<(Archive, Arc<Metadata>), Error> {
        self.0.urls.get((name.clone(), url.clone()), probe::url_archive(self, name, url)).await
    }

    /// Reads core metadata that is in the file `file` of somebody else's making.
    pub fn read_metadata(&self, file: &str, bytes: &[u8]) -> Result<Metadata, Error> {
        Metadata::parse(bytes, &self.0.memo)
            .map_err(|reason| Error::Metadata { file: file.to_owned(), reason })
    }

    /// The bytes of an archive behind a URL that a requirement names, `sha256` if it says so.
    pub async fn url_blob(&self, url: &Url, sha256: Option<Digest>) -> Result<Blob, Error> {
        probe::url_blob(self, url, sha256).await
    }

    /// The store that everything is kept in.
    pub fn store(&self) -> &Arc<Store> {
        &self.0.store
    }

    /// Whether the network must not be used.
    pub fn is_offline(&self) -> bool {
        self.0.web.is_offline()
    }

    /// The bytes of an archive, in the store, their SHA-256 and size checked.
    pub async fn fetch(&self, archive: &Archive) -> Result<Blob, Error> {
        let Some(sha256) = archive.sha256 else {
            return Err(Error::NoHash { file: archive.file_name.clone() });
        };
        if let Some(blob) = self.0.store.blob(&sha256, archive.size) {
            return Ok(blob);
        }
        let work = async {
            match self.download(&archive.url, Some(sha256), archive.size, None).await? {
                Downloaded::File(blob, _) => Ok(blob),
                Downloaded::Unchanged(_) => unreachable!("the request had no condition"),
            }
        };
        self.0.downloads.get(sha256, work).await
    }

    /// Checks that a wheel's own metadata, now that its bytes are there, is what was known of it before.
    pub async fn confirm(&self, archive: &Archive, blob: &Blob) -> Result<(), Error> {
        probe::confirm(self, archive, blob).await
    }

    /// Asks for the releases of a project in the background, in the hope that they will be needed. Abort it when they are
    /// not: whoever waits for the same answer takes over.
    pub fn prefetch_releases(&self, runtime: &Handle, name: PackageName) -> AbortHandle {
        let this = self.clone();
        let task = runtime.spawn(async move {
            // Nothing closes the semaphore. Whoever needs the answer gets the error too.
            let _permit = this.0.speculation.acquire().await;
            let _ = this.releases(&name).await;
        });
        task.abort_handle()
    }

    /// Asks for the metadata of a file in the background, in the hope that it will be needed; otherwise like
    /// [`Index::prefetch_releases`].
    pub fn prefetch_metadata(&self, runtime: &Handle, file: ReleaseFile) -> AbortHandle {
        let this = self.clone();
        let task = runtime.spawn(async move {
            let _permit = this.0.speculation.acquire().await;
            let _ = this.metadata(&file).await;
        });
        task.abort_handle()
    }

    /// What went over the network so far.
    pub fn counters(&self) -> Counters {
        let (index, files) = (self.0.web.index.counters(), self.0.web.files.counters());
        Counters {
            index_bytes: index.received(),
            index_requests: index.requests(),
            distribution_bytes: files.received(),
        }
    }

    pub(super) fn web(&self) -> &Web {
        &self.0.web
    }

    pub(super) fn memo(&self) -> &Memo {
        &self.0.memo
    }

    pub(super) fn ranges(&self) -> &Ranges {
        &self.0.ranges
    }

    /// Takes a file into the store, from the network or from disk.
    pub(super) async fn download(
        &self,
        url: &Url,
        sha256: Option<Digest>,
        size: Option<u64>,
        known: Option<&Freshness>,
    ) -> Result<Downloaded, Error> {
        match url.scheme() {
            "https" | "http" => Download { url, sha256, size, known }.run(self.web(), self.store()).await,
            "file" => {
                let Ok(path) = url.to_file_path() else {
                    return Err(Error::DirectUrl {
                        url: net::redacted(url),
                        reason: "it does not name a local file".to_owned(),
                    });
                };
                let store = Arc::clone(self.store());
                let blob = blocking(move || download::import(&path, sha256, size, &store)).await?;
                Ok(Downloaded::File(blob, Freshness::default()))
            }
            scheme => Err(Error::DirectUrl {
                url: net::redacted(url),
                reason: format!("`{scheme}` is neither https, http nor file"),
            }),
        }
    }
}

/// Runs what blocks or computes for long apart from the threads that serve the network.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await?
}
