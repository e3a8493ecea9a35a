//! Where the solver gets its facts from: a small blocking interface, and the real index behind it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use pep508_rs::PackageName;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

use crate::index::{self, Builder, Index, Metadata, ReleaseFile, Releases};
use crate::model::{Archive, ArchiveKind, Building};
use crate::net;

/// Why a fact is not to be had.
#[derive(Debug)]
pub enum Fault {
    /// No index has the package.
    UnknownPackage,
    /// This one file cannot be used: its metadata is missing, unreadable or contradicts its name. Other versions may
    /// serve.
    Unusable(String),
    /// Nothing can go on: the network or the index failed.
    Failed(index::Error),
}

/// Chooses the file whose metadata will be wanted, once the releases of a package are known.
pub type Choose = Box<dyn FnOnce(&Arc<Releases>) -> Option<ReleaseFile> + Send>;

/// Answers the solver's questions. The solver blocks on them, one at a time; what it will probably ask next it announces,
/// so that a source can fetch ahead.
pub trait Source: Send + Sync {
    /// All releases of a package.
    fn releases(&self, name: &PackageName) -> Result<Arc<Releases>, Fault>;

    /// The metadata of a file.
    fn metadata(&self, file: &ReleaseFile) -> Result<Arc<Metadata>, Fault>;

    /// The archive behind a direct URL, with its metadata.
    fn direct(&self, name: &PackageName, url: &Url) -> Result<(Archive, Arc<Metadata>), Fault>;

    /// Which packages may be built from their sources, so that their metadata is to be had.
    fn building(&self) -> Building {
        Building::default()
    }

    /// All releases of a package, where they are to be had without waiting.
    fn known_releases(&self, name: &PackageName) -> Option<Arc<Releases>> {
        let _ = name;
        None
    }

    /// Announces that the releases of a package will be wanted, and then the metadata of the file that `choose` names.
    fn expect_releases(&self, name: &PackageName, choose: Choose) {
        let _ = (name, choose);
    }

    /// The metadata of a file, where it is to be had without waiting.
    fn known_metadata(&self, file: &ReleaseFile) -> Option<Arc<Metadata>> {
        let _ = file;
        None
    }

    /// Announces that the metadata of some files will be wanted.
    fn expect_metadata(&self, files: Vec<ReleaseFile>) {
        let _ = files;
    }
}

/// The indexes of a run as a source. One serves any number of resolutions, at once or in turn, and asks for each fact
/// once. Dropped, it stops what it is still fetching ahead.
pub struct IndexSource {
    index: Index,
    builder: Option<Arc<dyn Builder>>,
    runtime: Handle,
    ahead: Mutex<JoinSet<()>>,
    guesses: Mutex<Vec<AbortHandle>>,
}

impl IndexSource {
    /// A source that fetches on `runtime`.
    pub fn new(index: Index, runtime: Handle) -> Self {
        Self { index, builder: None, runtime, ahead: Mutex::default(), guesses: Mutex::default() }
    }

    /// The same, with somebody who looks into sources, and builds them where they do not tell their metadata.
    pub fn with_builder(mut self, builder: Arc<dyn Builder>) -> Self {
        self.builder = Some(builder);
        self
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        // What is done needs no place any more.
        while ahead.try_join_next().is_some() {}
        ahead.spawn_on(work, &self.runtime);
    }
}

impl Source for IndexSource {
    fn releases(&self, name: &PackageName) -> Result<Arc<Releases>, Fault> {
        self.runtime.block_on(self.index.releases(name)).map_err(|error| match error {
            index::Error::UnknownPackage { .. } => Fault::UnknownPackage,
            error => Fault::Failed(error),
        })
    }

    fn metadata(&self, file: &ReleaseFile) -> Result<Arc<Metadata>, Fault> {
        if let (ArchiveKind::Sdist, Some(builder)) = (&file.archive.kind, &self.builder) {
            // Who allows a build wants to know why it fails; another version is no answer to that.
            return self.runtime.block_on(builder.metadata(file)).map_err(Fault::Failed);
        }
        let known = self.index.known_metadata(file);
        known.unwrap_or_else(|| self.runtime.block_on(self.index.metadata(file))).map_err(|error| {
            if error.is_unusable_file() || is_gone(&error) {
                Fault::Unusable(error.to_string())
            } else {
                Fault::Failed(error)
            }
        })
    }

    fn direct(&self, name: &PackageName, url: &Url) -> Result<(Archive, Arc<Metadata>), Fault> {
        let looked = match &self.builder {
            Some(builder) if index::names_sources(url) => self.runtime.block_on(builder.direct(name, url)),
            _ => self.runtime.block_on(self.index.url_archive(name, url)),
        };
        looked.map_err(Fault::Failed)
    }

    fn building(&self) -> Building {
        self.builder.as_ref().map(|builder| builder.building().clone()).unwrap_or_default()
    }

    fn known_releases(&self, name: &PackageName) -> Option<Arc<Releases>> {
        self.index.known_releases(name)
    }

    fn expect_releases(&self, name: &PackageName, choose: Choose) {
        let (index, name) = (self.index.clone(), name.clone());
        self.spawn(async move {
            // Whoever needs the answers gets the errors too.
            if let Ok(releases) = index.releases(&name).await
                && let Some(file) = choose(&releases)
            {
                let _ = index.metadata(&file).await;
            }
        });
    }

    fn known_metadata(&self, file: &ReleaseFile) -> Option<Arc<Metadata>> {
        self.index.known_metadata(file)?.ok()
    }

    fn expect_metadata(&self, files: Vec<ReleaseFile>) {
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.retain(|guess| !guess.is_finished());
        // Nothing is built on a guess.
        let wheels = files.into_iter().filter(|file| {
            file.archive.kind != ArchiveKind::Sdist && self.index.known_metadata(file).is_none()
        });
        guesses.extend(wheels.map(|file| self.index.prefetch_metadata(&self.runtime, file)));
    }
}

impl fmt::Debug for IndexSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("IndexSource").field(&self.index).finish()
    }
}

impl Drop for IndexSource {
    fn drop(&mut self) {
        let guesses = self.guesses.get_mut().unwrap_or_else(PoisonError::into_inner);
        guesses.iter().for_each(AbortHandle::abort);
    }
}

/// Whether a file that the index lists is not there.
fn is_gone(error: &index::Error) -> bool {
    let status = match error {
        index::Error::Net(error) => net::Error::status(error),
        _ => None,
    };
    status.is_some_and(|status| matches!(status.as_u16(), 404 | 410))
}
