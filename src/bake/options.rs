//! What the user wants of a run.

use std::path::PathBuf;

use super::{CacheKey, Resolving};
use crate::base::Source;
use crate::model::{Platform, PythonMinor};

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    /// Lock, assemble, deliver.
    Build,
    /// Tell what `Build` would do.
    Plan,
    /// Write the locks.
    Lock,
    /// Fail if a lock is stale.
    CheckLocks,
}

/// What to do about a lock that is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Lock again, preferring the versions of the old lock.
    Update,
    /// Lock again in any case, preferring nothing.
    Upgrade,
    /// Fail.
    Require,
    /// Use it as it is.
    Ignore,
}

/// Where images go.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    /// The registry and the start of the repository's name: an image goes to `PREFIX/NAME`.
    pub push: Option<String>,
    /// The directory of an OCI layout.
    pub output: Option<PathBuf>,
    /// The tags.
    pub tags: Vec<String>,
    /// Further labels.
    pub labels: Vec<(String, String)>,
}

/// How the records in a registry are used.
#[derive(Debug, Clone, Default)]
pub struct RemoteCache {
    /// Whether they are not used at all.
    pub off: bool,
    /// The repository they are in, if not `bakehouse-cache` beside the pushed images.
    pub repository: Option<String>,
    /// Whether layers that they name are read and hashed before they are used.
    pub verify: bool,
    /// The key that seals records, and that they must be sealed with.
    pub key: Option<CacheKey>,
}

/// What a run works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project's folder.
    pub project: PathBuf,
    /// The components to work on, as named by the user; empty for all.
    pub components: Vec<String>,
    /// The branch that is built for; otherwise what the CI system or git says.
    pub branch: Option<String>,
    /// The base image; goes before what the project's files say.
    pub base: Option<Source>,
    /// The Python; goes before what the project's files say.
    pub python: Option<PythonMinor>,
    /// The platform.
    pub platform: Platform,
    /// How distributions are chosen and where they come from.
    pub resolving: Resolving,
    /// What to do about a stale lock.
    pub freshness: Freshness,
    /// Where images go.
    pub delivery: Delivery,
    /// How the records in a registry are used.
    pub remote_cache: RemoteCache,
    /// Whether the network must not be used.
    pub offline: bool,
    /// Whether registries are reached by plain HTTP.
    pub plain_http: bool,
    /// How many distributions and layers are worked on at once.
    pub jobs: usize,
    /// The directory of the store.
    pub cache_dir: PathBuf,
    /// The time stamp of images, in seconds since 1970.
    pub created: i64,
}
