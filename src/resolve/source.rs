//! Where the solver gets its facts from: a small blocking interface, and the real index behind it.

use std::sync::Arc;

use pep508_rs::PackageName;
use url::Url;

use crate::index::{self, Metadata, ReleaseFile, Releases};
use crate::model::Archive;

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

    /// Announces that the releases of a package will be wanted, and then the metadata of the file that `choose` names.
    fn expect_releases(&self, name: &PackageName, choose: Choose) {
        let _ = (name, choose);
    }

    /// Announces that the metadata of some files will be wanted.
    fn expect_metadata(&self, files: Vec<ReleaseFile>) {
        let _ = files;
    }
}
