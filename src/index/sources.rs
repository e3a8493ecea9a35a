//! What is no wheel yet. This room only says what it needs of whoever builds.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use pep508_rs::PackageName;
use url::Url;

use super::{Error, Metadata, ReleaseFile};
use crate::model::{Archive, Building};

/// What the names of source distributions end in.
const SDISTS: [&str; 5] = [".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"];

/// Looks into sources, and builds them where they do not tell their metadata; for one target.
pub trait Builder: Send + Sync {
    /// Which packages may be built.
    fn building(&self) -> &Building;

    /// The metadata of a source distribution of an index, which must be the distribution that its name promises.
    fn metadata<'a>(&'a self, file: &'a ReleaseFile) -> BoxFuture<'a, Result<Arc<Metadata>, Error>>;

    /// The sources behind a direct URL that a requirement of `name` gives, and their metadata.
    fn direct<'a>(
        &'a self,
        name: &'a PackageName,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<(Archive, Arc<Metadata>), Error>>;
}

/// Whether a direct URL names sources: a repository, a directory, or an archive that is no wheel.
pub fn names_sources(url: &Url) -> bool {
    url.scheme().starts_with("git+")
        || (url.scheme() == "file" && !url.path().ends_with(".whl"))
        || is_sdist(url.path())
}

/// Whether a file's name is that of a source distribution.
pub(super) fn is_sdist(file_name: &str) -> bool {
    SDISTS.iter().any(|extension| file_name.ends_with(extension))
}
